// Lanes: which are due, who works on one (claim, lease, settle), and how long the system keeps one parked.
// A lease is a fencing token: every write of the work it covers contains it, so that a worker that lost it can settle nothing.

import { randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type pg from 'pg'
import { DIRECTIONS, LeaseLost } from '../base/failure.ts'
import type { Database, Db, DbOrTx, Tx } from './database.ts'
import { probeHostsNow } from './host-breakers.ts'
import type { LaneKind, RestReason } from './schema.ts'

/** A lease is renewed by its worker's heartbeat; a worker that stands still this long has lost it. */
export const LEASE_SECONDS = 30
/** A dispatched job that no worker claimed within this time is dispatched again: the queue may have lost it. */
export const DISPATCH_SECONDS = 20

export interface Lane {
  readonly accountId: number
  readonly lane: LaneKind
}

export interface Lease extends Lane {
  readonly token: string
}

/**
 * Marks due lanes as dispatched and returns them, of each kind no more than its limit, oldest first. A lane the operator
 * switched off or the system parked is not due; neither is one under lease.
 */
export async function takeDueLanes(db: Db, limits: ReadonlyMap<LaneKind, number>): Promise<Lane[]> {
  const { rows } = await sql<{ account_id: number; lane: LaneKind }>`
    with due as (
      select l.account_id, l.lane, l.ready_at
      from unnest(${[...limits.keys()]}::text[], ${[...limits.values()]}::int[]) kind (lane, most) cross join lateral (
        select account_id, lane, ready_at from poststelle.lanes l
        where l.lane = kind.lane and l.ready_at <= now() order by l.ready_at limit kind.most for update skip locked
      ) l
    ), taken as (
      update poststelle.lanes l set dispatched_until = now() + ${DISPATCH_SECONDS} * interval '1 second'
      from due where l.account_id = due.account_id and l.lane = due.lane
      returning l.account_id, l.lane, due.ready_at
    )
    select account_id, lane from taken order by ready_at`.execute(db)
  return rows.map((row) => ({ accountId: row.account_id, lane: row.lane }))
}

/** Send lanes whose mail has become due without a bell having been heard. Asks lane by lane: what waits in a parked one costs nothing. */
export async function wakeSendLanes(db: Db): Promise<number> {
  const { numAffectedRows } = await sql`
    with asleep as (
      select l.account_id, l.lane from poststelle.lanes l
      where l.lane = 'send' and (l.due_at is null or l.due_at > now()) and (l.parked_until is null or l.parked_until <= now())
        and not l.switched_off and (l.lease_until is null or l.lease_until <= now())
        and (l.rests_until is null or l.rests_until <= now())
        and exists (select from poststelle.outbound_messages m where m.account_id = l.account_id and m.next_attempt_at <= now()
          and m.state in ('scheduled', 'queued', 'deferred', 'uncertain'))
      for update of l skip locked
    )
    update poststelle.lanes l set due_at = now() from asleep
    where l.account_id = asleep.account_id and l.lane = asleep.lane`.execute(db)
  return Number(numAffectedRows ?? 0)
}

/** Makes lanes due now, as a bell asks for; parked ones stay parked. */
export async function makeDue(db: DbOrTx, lane: LaneKind, accountIds: readonly number[]): Promise<void> {
  if (accountIds.length === 0) return
  await sql`
    update poststelle.lanes set due_at = now()
    where lane = ${lane} and account_id = any(${[...accountIds]}) and (due_at is null or due_at > now())`.execute(db)
}

/**
 * Makes the lanes of one account due at once, parked or not: something was changed, and one try is asked for. `again`: also those
 * at work on what was before; they are due once more when they end. `keepParked`: what the system parked stays so.
 */
export async function wakeNow(
  db: DbOrTx,
  accountId: number,
  lanes: readonly LaneKind[],
  options: { again?: boolean; keepParked?: boolean } = {},
): Promise<void> {
  if (lanes.length === 0) return
  await db
    .updateTable('lanes')
    .set({
      due_at: sql<Date>`now()`,
      rests_until: null,
      rests_for: null,
      dispatched_until: null,
      ...(!options.keepParked && { parked_until: null }),
      ...(options.again === true && { woken_at: sql<Date>`case when lease_token is not null then now() end` }),
    })
    .where('account_id', '=', accountId)
    .where('lane', 'in', [...lanes])
    .execute()
  if (options.keepParked) return
  // somebody has changed something: one probe past the breaker of the host, at once
  await probeHostsNow(
    db,
    { accountId },
    DIRECTIONS.filter((direction) => lanes.includes(direction)),
  )
}

/**
 * Takes the lease of a lane, or returns undefined where another worker has it, it is switched off or parked, or it is not due.
 * `force`: the operator asked; only a living lease stops us.
 */
export async function claimLane(
  db: Db,
  lane: Lane,
  workerId: number,
  options: { force?: boolean } = {},
): Promise<Lease | undefined> {
  const token = randomUUID()
  const due = options.force
    ? sql`true`
    : sql`not l.switched_off and l.due_at <= now() and (l.parked_until is null or l.parked_until <= now()) and (l.rests_until is null or l.rests_until <= now())`
  const { rows } = await sql`
    update poststelle.lanes l
    set lease_token = ${token}, lease_until = now() + ${LEASE_SECONDS} * interval '1 second', lease_worker = ${workerId}, woken_at = null
    where l.account_id = ${lane.accountId} and l.lane = ${lane.lane} and (l.lease_until is null or l.lease_until <= now()) and ${due}
    returning 1`.execute(db)
  return rows.length > 0 ? { ...lane, token } : undefined
}

/** What the work began with holds no longer: the operator has switched the lane off, or changed its account. */
export async function isOutdated(db: DbOrTx, { accountId, lane }: Lane): Promise<boolean> {
  const row = await db
    .selectFrom('lanes')
    .select(['switched_off', 'woken_at'])
    .where('account_id', '=', accountId)
    .where('lane', '=', lane)
    .executeTakeFirst()
  return !row || row.switched_off || row.woken_at !== null
}

/** When the lane is due next; null where nothing is to be done. */
export async function laneDueAt(db: Db, { accountId, lane }: Lane): Promise<Date | null> {
  const row = await db
    .selectFrom('lanes')
    .select('due_at')
    .where('account_id', '=', accountId)
    .where('lane', '=', lane)
    .executeTakeFirst()
  return row?.due_at ?? null
}

const leaseHeld = (lease: Lease) => sql`
  select from poststelle.lanes where account_id = ${lease.accountId} and lane = ${lease.lane}
    and lease_token = ${lease.token} and lease_until > now() for update`

const takenOver = (lease: Lease): LeaseLost =>
  new LeaseLost(`the ${lease.lane} lane of account ${lease.accountId} was taken over`)

/** Before anything else of an account is written: one order for everybody, lanes first and by name, so that no two wait for each other. */
export async function lockLanes(tx: DbOrTx, accountId: number): Promise<void> {
  await sql`select from poststelle.lanes where account_id = ${accountId} order by lane for update`.execute(tx)
}

/** Inside a transaction: throws LeaseLost unless the lease is still ours, and keeps it ours until the transaction ends. */
export async function holdLease(tx: DbOrTx, lease: Lease): Promise<void> {
  await lockLanes(tx, lease.accountId)
  const { rows } = await leaseHeld(lease).execute(tx)
  if (rows.length === 0) throw takenOver(lease)
}

/** A transaction of its own that writes only while the lease is ours. Throws LeaseLost. */
export async function underLease<T>(
  db: Db,
  lease: Lease,
  write: (tx: Tx, accountId: number) => Promise<T>,
): Promise<T> {
  return await db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    return await write(tx, lease.accountId)
  })
}

/** holdLease on a plain connection, for transactions with COPY in them. */
export async function holdLeaseOn(client: pg.ClientBase, db: Db, lease: Lease): Promise<void> {
  const statement = leaseHeld(lease).compile(db)
  const { rowCount } = await client.query(statement.sql, [...statement.parameters])
  if (!rowCount) throw takenOver(lease)
}

/** The same on a connection of its own, for transactions with COPY in them. Throws LeaseLost, or what `write` throws: nothing is written then. */
export async function copyUnderLease<T>(
  { db, pool }: Database,
  lease: Lease,
  write: (client: pg.ClientBase) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await client.query('begin')
    await holdLeaseOn(client, db, lease)
    const result = await write(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch((failed: Error) => {
      broken = failed
    })
    throw error
  } finally {
    client.release(broken)
  }
}

/** Why nothing is to be done in a lane before a certain time although something is due; nothing is wrong with it. */
export interface LaneRest {
  readonly until: Date
  readonly for: RestReason
}

/**
 * Gives the lease back. `dueAt` null: nothing is to be done until something makes the lane due. A parked lane is not due earlier; one
 * that was woken meanwhile is due at once, and not parked by what was before. `rest`: no bell makes it due before that.
 */
export async function releaseLane(
  tx: DbOrTx,
  lease: Lease,
  dueAt: Date | null,
  rest: LaneRest | null = null,
): Promise<void> {
  const { numAffectedRows } = await sql`
    update poststelle.lanes set lease_token = null, lease_until = null, lease_worker = null, dispatched_until = null,
      due_at = case when woken_at is not null then now() when ${dueAt}::timestamptz is null then null
        else greatest(${dueAt}::timestamptz, parked_until) end,
      rests_until = case when woken_at is null then ${rest?.until ?? null}::timestamptz end,
      rests_for = case when woken_at is null then ${rest?.for ?? null}::text end,
      parked_until = case when woken_at is null then parked_until end, woken_at = null
    where account_id = ${lease.accountId} and lane = ${lease.lane} and lease_token = ${lease.token}`.execute(tx)
  if (!numAffectedRows) throw takenOver(lease)
}

/** Asks the dispatchers for the lane at once, when the caller's transaction commits: it was released with something due. */
export async function ringSendBell(tx: DbOrTx, accountId: number): Promise<void> {
  await sql`select pg_notify('poststelle_bell', 'send:' || ${accountId}::text)`.execute(tx)
}

/** The job that was on its way does nothing: the next tick may send another. */
export const forgetDispatch = (db: Db, lane: Lane): Promise<void> => setLane(db, lane, { dispatched_until: null })

export const parkLane = (tx: DbOrTx, lane: Lane, until: Date | null): Promise<void> =>
  setLane(tx, lane, { parked_until: until })

async function setLane(
  db: DbOrTx,
  { accountId, lane }: Lane,
  columns: { dispatched_until: null } | { parked_until: Date | null },
): Promise<void> {
  await db.updateTable('lanes').set(columns).where('account_id', '=', accountId).where('lane', '=', lane).execute()
}

/** Kinds of lane of which at least one has been due for that long without anybody working on it. */
export async function overdueLanes(db: Db, seconds: number): Promise<LaneKind[]> {
  // one whose job was lost is dispatched again and again: it is ready in DISPATCH_SECONDS at the latest
  const { rows } = await sql<{ lane: LaneKind }>`
    select kind.lane from (values ('receive'), ('send'), ('token'), ('parse')) kind (lane) where exists (
      select from poststelle.lanes l
      where l.lane = kind.lane and l.ready_at <= now() + ${DISPATCH_SECONDS} * interval '1 second'
        and l.due_at <= now() - ${seconds} * interval '1 second'
        and (l.parked_until is null or l.parked_until <= now() - ${seconds} * interval '1 second')
        and (l.rests_until is null or l.rests_until <= now() - ${seconds} * interval '1 second')
        and (l.lease_until is null or l.lease_until <= now()))`.execute(db)
  return rows.map((row) => row.lane)
}
