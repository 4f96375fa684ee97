// Changes of operators to messages in the outbox: each message is changed or refused with a reason, never both. What is allowed when
// stands in poststelle.change_message, which applications reach as cancel_message.

import { sql, type RawBuilder } from 'kysely'
import { errorCode } from '../base/failure.ts'
import type { Db, DbOrTx } from './database.ts'
import { wakeNow } from './lanes.ts'
import { outboxConditions, type OutboxFilter, type StateCount } from './outbox.ts'

export const CHANGES = ['retry', 'hold', 'release', 'cancel', 'resolve_sent', 'resolve_resend'] as const
export type Change = (typeof CHANGES)[number]

export const REFUSALS = [
  'not_found',
  'already',
  'finished',
  'sending',
  'handing_over',
  'uncertain',
  'not_uncertain',
  'held',
  'not_held',
  'scheduled',
  'account_paused',
  'busy',
] as const
export type Refusal = (typeof REFUSALS)[number]

export interface ChangeResult {
  readonly id: number
  /** Undefined: it was changed. */
  readonly refusal?: Refusal
}

/** Of one transaction: so many are locked at once, and so many are done when a run is stopped. */
export const CHANGE_BATCH = 500
const DEADLOCK = '40P01'
const LOCK_TIMEOUT = '55P03'
const TRIES = 5
/** So long a batch keeps others waiting, workers at their final dot among them, for a message somebody else has locked. */
const BATCH_WAIT_MS = 1_000
const SINGLE_WAIT_MS = 100

/** Writes down what was done, in the transaction that did it. */
export type NoteChanges = (db: DbOrTx, results: readonly ChangeResult[]) => Promise<unknown>

/** One transaction, in the order of the ids; where somebody keeps one of them locked, one for each. */
export async function changeMessages(
  db: Db,
  change: Change,
  ids: readonly number[],
  note: NoteChanges = async () => undefined,
): Promise<ChangeResult[]> {
  const inOrder = [...new Set(ids)].toSorted((a, b) => a - b)
  try {
    return await changeTogether(db, change, inOrder, BATCH_WAIT_MS, note)
  } catch (error) {
    if (errorCode(error) !== LOCK_TIMEOUT) throw error
  }
  const results: ChangeResult[] = []
  for (const id of inOrder) {
    try {
      results.push(...(await changeTogether(db, change, [id], SINGLE_WAIT_MS, note)))
    } catch (error) {
      if (errorCode(error) !== LOCK_TIMEOUT) throw error
      const busy = { id, refusal: 'busy' } as const
      await note(db, [busy])
      results.push(busy)
    }
  }
  return results
}

async function changeTogether(
  db: Db,
  change: Change,
  ids: readonly number[],
  waitMs: number,
  note: NoteChanges,
): Promise<ChangeResult[]> {
  for (let tried = 1; ; tried++) {
    try {
      return await db.transaction().execute(async (tx) => {
        await sql`select set_config('lock_timeout', ${`${waitMs}ms`}, true)`.execute(tx)
        const { rows } = await sql<{ id: number; refusal: Refusal | null }>`
          select k.id, poststelle.change_message(k.id, ${change}) as refusal from unnest(${ids}::bigint[]) k (id)`.execute(
          tx,
        )
        const results = rows.map(({ id, refusal }) => (refusal === null ? { id } : { id, refusal }))
        await note(tx, results)
        return results
      })
    } catch (error) {
      // a worker that settles some of the same messages in another order: one of the two has to begin again
      if (errorCode(error) !== DEADLOCK || tried === TRIES) throw error
    }
  }
}

/** Of the messages of a filter, those that the change is meant for; states that were asked for by name stay as they are. */
const MEANT_FOR: Readonly<Record<Change, RawBuilder<unknown>>> = {
  retry: sql`(o.state in ('queued', 'deferred') or o.hold_reason in ('account_blocked', 'rate_limit'))`,
  hold: sql`(o.state in ('scheduled', 'queued', 'sending', 'deferred') or o.hold_reason in ('account_blocked', 'account_paused', 'rate_limit')
    or (o.state = 'uncertain' and o.next_attempt_at is not null))`,
  release: sql`o.hold_reason in ('manual', 'after_restore')`,
  cancel: sql`o.state in ('scheduled', 'queued', 'sending', 'deferred', 'held') and not o.repeated`,
  resolve_sent: sql`o.state = 'uncertain'`,
  resolve_resend: sql`o.state = 'uncertain'`,
}

export interface ChangeCount {
  readonly count: number
  readonly accounts: number
  readonly oldestAt: Date | null
  readonly states: readonly StateCount[]
}

export interface ChangePlan extends ChangeCount {
  /** In order: what the change will be tried on, whatever comes in meanwhile. */
  readonly ids: readonly number[]
}

/** On the view outbox o: what a change of all messages of a filter is tried on. */
function plannedFor(change: Change, filter: OutboxFilter): RawBuilder<unknown> {
  const named = filter.states !== undefined || filter.holdReasons !== undefined
  return sql`${outboxConditions(filter)} and ${named ? sql`true` : sql`${MEANT_FOR[change]} and o.finished_at is null`}`
}

/** The ids as an array of bigint, in order. */
export const plannedIds = (change: Change, filter: OutboxFilter): RawBuilder<unknown> =>
  sql`array(select o.id from poststelle.outbox o where ${plannedFor(change, filter)} order by o.id)`

/** How many messages a change of all of a filter would be tried on; nothing is changed. */
export async function countChange(db: DbOrTx, change: Change, filter: OutboxFilter): Promise<ChangeCount> {
  const { rows } = await sql<StateCount & { accounts: number[]; oldestAt: Date }>`
    select o.state, o.hold_reason as "holdReason", count(*) as count, array_agg(distinct o.account_id::float8) as accounts,
      min(o.created_at) as "oldestAt"
    from poststelle.outbox o where ${plannedFor(change, filter)}
    group by o.state, o.hold_reason order by count(*) desc`.execute(db)
  const oldest = Math.min(...rows.map(({ oldestAt }) => oldestAt.getTime()))
  return {
    count: rows.reduce((sum, { count }) => sum + count, 0),
    accounts: new Set(rows.flatMap(({ accounts }) => accounts)).size,
    oldestAt: rows.length === 0 ? null : new Date(oldest),
    states: rows.map(({ state, holdReason, count }) => ({ state, holdReason, count })),
  }
}

/** Likewise, and which ones. */
export async function planChange(db: Db, change: Change, filter: OutboxFilter): Promise<ChangePlan> {
  return await db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (tx) => {
      const counted = await countChange(tx, change, filter)
      const { rows } = await sql<{ ids: number[] }>`select ${plannedIds(change, filter)}::float8[] as ids`.execute(tx)
      return { ...counted, ids: rows[0]?.ids ?? [] }
    })
}

/** Somebody asked for these very messages: one try of their lanes at once, also of parked ones. */
export async function wakeLanesOf(db: Db, ids: readonly number[]): Promise<void> {
  const { rows } = await sql<{ account_id: number }>`
    select distinct m.account_id from poststelle.outbound_messages m where m.id = any(${[...ids]}::bigint[])
    order by m.account_id`.execute(db)
  for (const { account_id: accountId } of rows) await wakeNow(db, accountId, ['send'])
}
