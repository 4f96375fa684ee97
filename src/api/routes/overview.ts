// The ten-second page and what stands behind it: verdict, incidents, runway; and the stream that says what has changed.

import { z } from 'zod'
import { atMost } from '../../base/clock.ts'
import { idParams, iso, isoOrNull, language as lang, problem } from '../../contract/basics.ts'
import { incident, incidentDetails, incidentDetailsJson, incidentJson } from '../../contract/incidents.ts'
import { overview, type OverviewJson } from '../../contract/overview.ts'
import { runwayItem, runwayJson } from '../../contract/runway.ts'
import { hourlyMail } from '../../db/hourly.ts'
import { listIncidents, loadIncident } from '../../db/incident-lists.ts'
import { readRunway } from '../../db/runway.ts'
import { readStatus, type AccountStatus } from '../../db/status.ts'
import { overviewOf } from '../../health/overview.ts'
import { yesterdayEvening, type Language } from '../../health/phrases.ts'
import { runwayOf } from '../../health/runway.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs } from '../guard.ts'
import { languageOf } from '../language.ts'
import { Refused } from '../problems.ts'

/** All tabs that ask within it share one reading. */
const SHARED_MS = 1_000
const RUNWAY_SHOWN = 5
const QUEUES_MS = 500

export function addOverviewRoutes(app: App, ctx: ApiContext): void {
  const { db, clock } = ctx
  const tags = ['overview']
  const query = z.object({ lang })
  const read = shared(
    async () => {
      const now = clock.now()
      const [status, hours, runway, paused] = await Promise.all([
        readStatus(db, yesterdayEvening(now)),
        hourlyMail(db, 24),
        readRunway(db),
        pausedQueues(ctx),
      ])
      return { now, status, hours, runway, paused }
    },
    () => ctx.live.changes,
  )

  const overviewJson = async (language: Language): Promise<OverviewJson> => {
    const { now, status, hours, runway, paused } = await read()
    const of = overviewOf(status, language, now)
    const lamps = lampsOf(status.accounts)
    return {
      at: iso(now),
      kind: of.kind,
      verdict: of.verdict,
      title: of.title,
      facts: [...of.facts],
      alarm: of.alarm,
      paused_queues: [...paused],
      lamps,
      accounts: of.figures.accounts,
      accounts_current: of.figures.current,
      received: status.mail.received,
      handed_over: status.mail.handedOver,
      since: iso(of.figures.since),
      oldest_due_at: isoOrNull(status.mail.oldestDueAt),
      stuck: status.mail.stuck,
      oldest_stuck_at: isoOrNull(status.mail.oldestStuckAt),
      outbox: { ...status.mail.open },
      attention: of.attention.map((item) => ({
        incident_ids: [...item.incidentIds],
        flag: item.flag,
        label: item.label,
        subject: item.subject,
        extent: item.extent,
        actor: item.actor,
        human: item.human,
        next_step: item.nextStep,
      })),
      runway: runwayOf(runway, now)
        .filter(({ daysLeft }) => daysLeft !== null)
        .slice(0, RUNWAY_SHOWN)
        .map((item) => runwayJson(item, language)),
      hours: hours.map((hour) => ({
        at: iso(hour.at),
        received: hour.received,
        handed_over: hour.handedOver,
        rejected: hour.rejected,
      })),
      restored: status.restored && {
        since: iso(status.restored.fencedAt),
        reason: status.restored.reason,
        held: status.restored.held,
      },
    }
  }

  app.get(
    `${API}/overview`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'The verdict, its facts, and what needs attention',
        querystring: query,
        response: { 200: overview },
      },
    },
    async (request) => await overviewJson(languageOf(request)),
  )

  app.get(
    `${API}/events`,
    {
      ...needs('reader'),
      schema: { tags, summary: 'Server-sent events: which topics have changed', hide: true },
    },
    async (request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
        'x-content-type-options': 'nosniff',
      })
      const last = Number(request.headers['last-event-id'])
      ctx.live.add(reply.raw, Number.isSafeInteger(last) && last > 0 ? last : undefined)
    },
  )

  app.get(
    `${API}/incidents`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'Open incidents, or the last that are over',
        querystring: query.extend({ closed: z.stringbool().default(false) }),
        response: { 200: z.array(incident) },
      },
    },
    async (request) =>
      (await listIncidents(db, { closed: request.query.closed, limit: 200 })).map((row) =>
        incidentJson(row, languageOf(request)),
      ),
  )

  app.get(
    `${API}/incidents/:id`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'One incident',
        params: idParams,
        querystring: query,
        response: { 200: incidentDetails, 404: problem },
      },
    },
    async (request) => {
      const found = await loadIncident(db, request.params.id)
      if (!found) throw new Refused('not_found')
      return incidentDetailsJson(found, languageOf(request))
    },
  )

  app.get(
    `${API}/runway`,
    {
      ...needs('reader'),
      schema: { tags, summary: 'What ends, and when', querystring: query, response: { 200: z.array(runwayItem) } },
    },
    async (request) => runwayOf(await readRunway(db), clock.now()).map((item) => runwayJson(item, languageOf(request))),
  )
}

/** One reading for all who ask within a moment; what `changes` tells has made it old at once. */
export function shared<T>(work: () => Promise<T>, changes: () => number): () => Promise<T> {
  let last: { readonly at: number; readonly changes: number; readonly value: Promise<T> } | undefined
  return async () => {
    if (!last || performance.now() - last.at > SHARED_MS || last.changes !== changes()) {
      const value = work()
      last = { at: performance.now(), changes: changes(), value }
      value.catch(() => (last = undefined))
    }
    return await last.value
  }
}

/** How many accounts a list of that state has: one in which one lamp is blocked is among the blocked, and not among those that are ok. */
function lampsOf(accounts: readonly AccountStatus[]): Record<string, number> {
  const lamps: Record<string, number> = {}
  for (const { receive, send } of accounts) {
    const states = new Set([receive, send].flatMap((lamp) => (lamp ? [lamp.state] : [])))
    const isOk = states.has('ok') && [...states].every((state) => state === 'ok' || state === 'paused')
    for (const state of states) if (state !== 'ok' || isOk) lamps[state] = (lamps[state] ?? 0) + 1
  }
  return lamps
}

/** Where the queues do not answer, none: that is said by what they do not do. */
async function pausedQueues({ laneQueues }: ApiContext): Promise<readonly string[]> {
  const paused: string[] = []
  await atMost(
    QUEUES_MS,
    Promise.all(laneQueues.map(async (queue) => void ((await queue.isPaused()) && paused.push(queue.name)))),
  )
  return paused.toSorted()
}
