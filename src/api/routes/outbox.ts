// Outgoing mail: the list by any filter, one message with its attempts, sending, and changes of many at once.

import { z } from 'zod'
import { filterText, idParams, iso, isoOrNull, pageQuery, problem, toPage } from '../../contract/basics.ts'
import { outboxFilterOf } from '../../contract/filter.ts'
import { resolverOf } from '../../contract/resolver.ts'
import {
  accepted,
  bulkRun,
  changeAnswer,
  changeRequest,
  newMessage,
  outboxDetail,
  outboxDetailJson,
  outboxEntryJson,
  outboxPage,
  type BulkRunJson,
} from '../../contract/outbox.ts'
import { findAccount } from '../../db/accounts.ts'
import { audit } from '../../db/audit.ts'
import { askToStop, createBulkRun, listBulkRuns, loadBulkRun, workOnBulkRun, type BulkRun } from '../../db/bulk-runs.ts'
import { changeMessages, countChange, wakeLanesOf, type Change } from '../../db/outbox-changes.ts'
import { countOutbox, listOutbox, loadOutboxMessage } from '../../db/outbox.ts'
import { tryDestinationsOf } from '../../db/slow-destinations.ts'
import { submitParts } from '../../db/submissions.ts'
import { API, type ApiContext, type App } from '../context.ts'
import { needs, whoOf } from '../guard.ts'
import { Refused } from '../problems.ts'

const tags = ['outbox']
/** Asked for one by one: one probe of a parked lane, at once. */
const WAKING: readonly Change[] = ['retry', 'resolve_resend']
const MAX_MESSAGE_BYTES = 50 * 1024 * 1024

export function addOutboxRoutes(app: App, ctx: ApiContext): void {
  const { db } = ctx

  app.get(
    `${API}/outbox`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'Outgoing mail, newest first',
        querystring: z.object({ ...pageQuery, filter: filterText }),
        response: { 200: outboxPage, 422: problem },
      },
    },
    async ({ query }) => {
      const filter = await outboxFilterOf(query.filter, resolverOf(db, ctx.clock.now()))
      const found = await listOutbox(db, filter, {
        limit: query.limit + 1,
        afterId: query.cursor === undefined ? undefined : Number(query.cursor),
      })
      return toPage(found, query.limit, outboxEntryJson)
    },
  )

  app.get(
    `${API}/outbox/counts`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'How many messages are not final, by state',
        response: { 200: z.array(z.object({ state: z.string(), hold_reason: z.string().nullable(), count: z.int() })) },
      },
    },
    async () =>
      (await countOutbox(db, { states: ['scheduled', 'queued', 'sending', 'deferred', 'held', 'uncertain'] })).map(
        ({ state, holdReason, count }) => ({ state, hold_reason: holdReason, count }),
      ),
  )

  app.get(
    `${API}/outbox/:id`,
    {
      ...needs('reader'),
      schema: {
        tags,
        summary: 'One message with its recipients and attempts',
        params: idParams,
        response: { 200: outboxDetail, 404: problem },
      },
    },
    async ({ params }) => {
      const message = await loadOutboxMessage(db, params.id)
      if (!message) throw new Refused('not_found')
      return outboxDetailJson(message)
    },
  )

  app.post(
    `${API}/messages`,
    {
      ...needs('operator', { send: true }),
      bodyLimit: MAX_MESSAGE_BYTES,
      schema: {
        tags,
        summary:
          'Accept a message for sending. The same Idempotency-Key with the same message is accepted once, for ever.',
        body: newMessage,
        headers: z.object({ 'idempotency-key': z.string().min(1).max(200) }).loose(),
        response: { 201: accepted, 422: problem },
      },
    },
    async (request, reply) => {
      const { account, from_name: fromName, send_after: sendAfter, priority, attachments, ...parts } = request.body
      const email = (await findAccount(db, account)).email
      const id = await submitParts(db, {
        account: email,
        parts: {
          ...parts,
          from: fromName === undefined ? email : { address: email, name: fromName },
          ...(attachments.length > 0 && { attachments }),
        },
        idempotencyKey: request.headers['idempotency-key'],
        sendAfter: sendAfter === undefined ? null : new Date(sendAfter),
        priority,
      })
      await audit(db, whoOf(request).actor, {
        action: 'message accepted',
        object: `outbox ${id}`,
        details: { account: email },
      })
      return await reply.code(201).send({ id })
    },
  )

  addChangeRoutes(app, ctx)
}

function addChangeRoutes(app: App, ctx: ApiContext): void {
  const { db } = ctx

  app.post(
    `${API}/outbox/changes`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary:
          'Retry, hold, release, cancel or resolve messages: those named, or all of a filter, whose count is to be confirmed',
        body: changeRequest,
        response: { 200: changeAnswer, 409: problem },
      },
    },
    async (request) => {
      const { change, ids, filter: text = '', dry_run: dryRun, confirm, reason } = request.body
      const { actor } = whoOf(request)
      if (ids !== undefined && !dryRun) {
        const object = ids.length === 1 ? `outbox ${ids[0]}` : `outbox, ${ids.length} messages`
        if (WAKING.includes(change)) await tryDestinationsOf(db, ids)
        const results = await changeMessages(db, change, ids)
        const changed = results.filter(({ refusal }) => refusal === undefined).map(({ id }) => id)
        if (WAKING.includes(change)) await wakeLanesOf(db, changed)
        await audit(db, actor, {
          action: change,
          object,
          details: { changed: changed.length, asked: ids.length },
          reason,
        })
        return {
          kind: 'done' as const,
          changed: changed.length,
          changed_ids: changed,
          refused: [...Map.groupBy(results, ({ refusal }) => refusal)].flatMap(([why, of]) =>
            why === undefined ? [] : [{ reason: why, count: of.length, ids: of.map(({ id }) => id) }],
          ),
        }
      }
      const filter = ids === undefined ? await outboxFilterOf(text, resolverOf(db, ctx.clock.now())) : { ids }
      if (dryRun || confirm === undefined) {
        const plan = await countChange(db, change, filter)
        return {
          kind: 'plan' as const,
          count: plan.count,
          accounts: plan.accounts,
          oldest_at: isoOrNull(plan.oldestAt),
          states: plan.states.map(({ state, holdReason, count }) => ({ state, hold_reason: holdReason, count })),
        }
      }
      const id = await db.transaction().execute(async (tx) => {
        const { id: made, total } = await createBulkRun(tx, { change, filter, text, startedBy: actor.name })
        if (confirm !== total) throw new Refused('count_differs', `confirmed were ${confirm}, there are ${total} now`)
        await audit(tx, actor, {
          action: `${change}, many`,
          object: `run ${made}`,
          details: { filter: text, count: total },
          reason,
        })
        return made
      })
      work(ctx, id)
      const run = await loadBulkRun(db, id)
      if (!run) throw new Refused('not_found')
      return runJson(run)
    },
  )

  app.get(
    `${API}/runs`,
    {
      ...needs('reader'),
      schema: { tags, summary: 'Changes of many messages, the latest first', response: { 200: z.array(bulkRun) } },
    },
    async () => (await listBulkRuns(db, 50)).map(runJson),
  )

  app.get(
    `${API}/runs/:id`,
    {
      ...needs('reader'),
      schema: { tags, summary: 'How far one has come', params: idParams, response: { 200: bulkRun, 404: problem } },
    },
    async ({ params }) => {
      const run = await loadBulkRun(db, params.id)
      if (!run) throw new Refused('not_found')
      return runJson(run)
    },
  )

  app.post(
    `${API}/runs/:id/stop`,
    {
      ...needs('operator'),
      schema: {
        tags,
        summary: 'Stop it behind the batch that is under way',
        params: idParams,
        response: { 200: z.null(), 409: problem },
      },
    },
    async (request) => {
      if (!(await askToStop(db, request.params.id))) throw new Refused('conflict', 'it has ended')
      await audit(db, whoOf(request).actor, { action: 'run stopped', object: `run ${request.params.id}` })
      return null
    },
  )
}

/** Beside the request: whoever asked may close the tab. */
export function work(ctx: ApiContext, id: number): void {
  void workOnBulkRun(ctx.db, id).catch((error: unknown) => ctx.log.error({ err: error, run: id }, 'a run broke off'))
}

const runJson = (run: BulkRun): BulkRunJson => ({
  kind: 'run',
  id: run.id,
  change: run.change,
  filter: run.filter,
  started_by: run.startedBy,
  started_at: iso(run.startedAt),
  total: run.total,
  done: run.done,
  changed: run.changed,
  refused: { ...run.refused },
  stop_asked: run.stopAsked,
  finished_at: isoOrNull(run.finishedAt),
  error: run.error,
})
