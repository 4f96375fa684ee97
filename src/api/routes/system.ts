// What does not move by itself, the queues, the keys, and the installation.

import { z } from 'zod'
import { language as lang, iso, isoOrNull, problem } from '../../contract/basics.ts'
import { inLanguage } from '../../contract/german.ts'
import { attentionGroup, keys, queue, system, type AttentionGroupJson } from '../../contract/system.ts'
import { rotateKeys } from '../../credentials/rotate-keys.ts'
import { attentionGroups, HELD_HOURS, LOOKED_BACK_DAYS, type CauseGroup } from '../../db/attention.ts'
import { audit } from '../../db/audit.ts'
import { clockAheadMs } from '../../db/database.ts'
import { countSealedByKey } from '../../db/sealed.ts'
import { dueLanes, readSystem } from '../../db/system.ts'
import { livingWorkers } from '../../db/worker-session.ts'
import { explain, isFlag } from '../../failures/catalogue.ts'
import type { Language } from '../../health/phrases.ts'
import { LANE_JOBS } from '../../jobs/lane-jobs.ts'
import { QUEUE_NAMES } from '../../jobs/queues.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { languageOf } from '../language.ts'
import { Refused } from '../problems.ts'

const tags = ['system']

export function addSystemRoutes(app: App, ctx: ApiContext): void {
  const { db, vault, clock } = ctx
  const startedAt = clock.now()

  app.get(
    `${API}/attention`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'What does not move by itself, by cause',
        querystring: z.object({ lang }),
        response: { 200: z.array(attentionGroup) },
      },
    },
    async (request) => (await attentionGroups(db)).map((group) => groupJson(group, languageOf(request))),
  )

  app.get(
    `${API}/queues`,
    { ...needs('reader'), schema: { tags, summary: 'The queues, and what is due', response: { 200: z.array(queue) } } },
    async () => {
      const [due, workers] = await Promise.all([dueLanes(db), livingWorkers(db)])
      const working = workers.filter(({ roles }) => roles.includes('worker')).length
      return await Promise.all(
        QUEUE_NAMES.map(async (name, at) => {
          const lane = LANE_JOBS.find((kind) => kind.queue === name)?.lane
          const of = lane && due.get(lane)
          const counts = await ctx.laneQueues[at]?.getJobCounts('waiting', 'active', 'delayed', 'failed')
          return {
            name,
            waiting: counts?.['waiting'] ?? 0,
            active: counts?.['active'] ?? 0,
            delayed: counts?.['delayed'] ?? 0,
            failed: counts?.['failed'] ?? 0,
            paused: (await ctx.laneQueues[at]?.isPaused()) ?? false,
            due: of?.due ?? 0,
            oldest_due_at: isoOrNull(of?.oldestAt ?? null),
            workers: working,
          }
        }),
      )
    },
  )

  const named = z.object({ name: z.enum(QUEUE_NAMES) })
  for (const action of ['pause', 'resume'] as const)
    app.post(
      `${API}/queues/:name/${action}`,
      {
        ...needs('admin'),
        schema: {
          tags,
          summary: action === 'pause' ? 'Pause a queue: nothing of its kind is worked on' : 'Let a queue go on',
          params: named,
          body: z.strictObject({ reason: z.string().trim().max(500).optional() }),
          response: { 200: z.null() },
        },
      },
      async (request) => {
        const { name } = request.params
        await ctx.laneQueues[QUEUE_NAMES.indexOf(name)]?.[action]()
        ctx.live.tell('workers')
        await audit(db, whoOf(request).actor, {
          action: `queue ${action}d`,
          object: `queue ${name}`,
          reason: request.body.reason,
        })
        return null
      },
    )

  app.get(
    `${API}/keys`,
    {
      ...needs('admin'),
      schema: { tags, summary: 'The keys that seal secrets, and how much each of them seals', response: { 200: keys } },
    },
    async () => {
      const counts = await countSealedByKey(db)
      const total = [...counts.values()].reduce((sum, n) => sum + n, 0)
      return {
        coverage_percent: total === 0 ? 100 : Math.floor((100 * (counts.get(vault.primaryKeyId) ?? 0)) / total),
        keys: vault.keyIds.map((id) => ({ id, seals: id === vault.primaryKeyId, values: counts.get(id) ?? 0 })),
      }
    },
  )

  app.post(
    `${API}/keys/rotate`,
    {
      ...needs('admin'),
      schema: {
        tags,
        summary: 'Seal everything anew with the first key of the ring; /keys shows how far it is',
        body: z.strictObject({ confirm: z.string().max(200) }),
        response: { 202: z.null(), 422: problem },
      },
    },
    async (request, reply) => {
      if (request.body.confirm !== vault.primaryKeyId)
        throw new Refused('invalid_request', '', {
          fields: [{ field: 'confirm', message: `is not ${vault.primaryKeyId}` }],
        })
      await audit(db, whoOf(request).actor, { action: 'keys rotated', object: `key ${vault.primaryKeyId}` })
      void rotateKeys({ db, vault }, () => undefined).catch((error: unknown) =>
        ctx.log.error({ err: error }, 'sealing anew broke off; it goes on with the next run'),
      )
      return await reply.code(202).send(null)
    },
  )

  app.get(
    `${API}/system`,
    { ...needs('reader'), schema: { tags, summary: 'The installation', response: { 200: system } } },
    async () => {
      const [of, aheadMs] = await Promise.all([readSystem(db), clockAheadMs(ctx.database.pool)])
      return {
        version: ctx.version,
        node: process.version,
        postgres: of.postgres,
        queue_backend: ctx.queues.backend,
        database_bytes: of.databaseBytes,
        mail_bytes: of.mailBytes,
        clock_ahead_ms: aheadMs,
        started_at: iso(startedAt),
        workers: of.workers.map(({ seenAt, ...worker }) => ({ ...worker, seen_at: iso(seenAt) })),
      }
    },
  )
}

/** What a group is called where no cause of the catalogue says more. */
const KINDS: Readonly<Record<CauseGroup['kind'], Readonly<Record<Language, string>>>> = {
  failed: { de: 'Abgelehnt', en: 'Rejected' },
  expired: { de: 'Frist abgelaufen', en: 'Expired' },
  uncertain: { de: 'Ungewiss, ob übergeben', en: 'Uncertain whether handed over' },
  held: { de: 'Seit über einem Tag angehalten', en: 'Held for more than a day' },
  quarantined: { de: 'Unlesbar, in Quarantäne', en: 'Unreadable, quarantined' },
  oversize: { de: 'Zu groß, nur Kopf geholt', en: 'Too large, headers only' },
}

function groupJson(group: CauseGroup, language: Language): AttentionGroupJson {
  const known = group.cause !== null && isFlag(group.cause) ? explain(group.cause, language) : undefined
  const kind = KINDS[group.kind][language]
  return {
    kind: group.kind,
    cause: group.cause === '' ? null : group.cause,
    label: known
      ? `${kind}: ${known.label}`
      : group.kind === 'quarantined' && group.cause
        ? `${kind}: ${inLanguage(group.cause, language)}`
        : kind,
    meaning: known?.meaning ?? '',
    steps: [...(known?.steps ?? [])],
    count: group.count,
    accounts: group.accounts,
    oldest_at: iso(group.oldestAt),
    example: group.example,
    example_id: group.exampleId,
    filter: filterOf(group),
  }
}

/** The list that it leads to has as many. */
function filterOf({ kind, cause }: CauseGroup): string {
  if (kind === 'quarantined') return `status:quarantined${cause ? ` reason:"${cause}"` : ''}`
  if (kind === 'oversize') return 'status:oversize'
  if (kind === 'held') return `status:held reason:${cause} before:${HELD_HOURS}h`
  const flag = `flag:${cause ? cause : 'none'}`
  return kind === 'uncertain' ? `status:uncertain ${flag}` : `status:${kind} ${flag} since:${LOOKED_BACK_DAYS}d`
}
