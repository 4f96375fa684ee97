// Rows of account health: the state of a lane, its open flags, and the history.

import { sql } from 'kysely'
import type { Direction } from '../base/failure.ts'
import type { DbOrTx, Tx } from './database.ts'
import type { HealthState } from './schema.ts'

export interface HealthRow {
  readonly state: HealthState
  readonly since: Date
  readonly lastOkAt: Date | null
  readonly failures: number
  readonly firstFailureAt: Date | null
  readonly probes: number
}

export interface FlagFacts {
  readonly flag: string
  readonly scope: string
  readonly persistence: string
  readonly stage: string
  readonly evidence: string
}

export async function lockHealth(tx: Tx, accountId: number, direction: Direction): Promise<HealthRow | undefined> {
  const row = await tx
    .selectFrom('account_health')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('direction', '=', direction)
    .forUpdate()
    .executeTakeFirst()
  return (
    row && {
      state: row.state,
      since: row.since,
      lastOkAt: row.last_ok_at,
      failures: row.failures,
      firstFailureAt: row.first_failure_at,
      probes: row.probes,
    }
  )
}

export async function saveHealth(tx: Tx, accountId: number, direction: Direction, health: HealthRow): Promise<void> {
  await tx
    .updateTable('account_health')
    .set({
      state: health.state,
      since: health.since,
      last_ok_at: health.lastOkAt,
      last_run_at: sql<Date>`now()`,
      failures: health.failures,
      first_failure_at: health.firstFailureAt,
      probes: health.probes,
    })
    .where('account_id', '=', accountId)
    .where('direction', '=', direction)
    .execute()
}

/** Opens a flag, or counts one that is open. Returns true where it was not open before. */
export async function raiseFlag(tx: Tx, accountId: number, direction: Direction, facts: FlagFacts): Promise<boolean> {
  const { rows } = await sql<{ opened: boolean }>`
    insert into poststelle.health_flags (account_id, direction, flag, scope, persistence, stage, evidence)
    values (${accountId}, ${direction}, ${facts.flag}, ${facts.scope}, ${facts.persistence}, ${facts.stage}, ${facts.evidence})
    on conflict (account_id, direction, flag) where cleared_at is null
    do update set seen_at = now(), occurrences = health_flags.occurrences + 1, evidence = excluded.evidence, stage = excluded.stage
    returning (occurrences = 1) as opened`.execute(tx)
  return rows[0]?.opened ?? false
}

/** Stage of flags that are notes, on the ledger or on mail that waits: nothing is blocked by them, and no session clears them by going well. */
export const NOTE_STAGE = 'ledger'

/** Stage of the note that nothing arrives although all is well: it is opened and cleared beside the sessions. */
export const SILENCE_STAGE = 'silence'

/** Clears the open flags of a lane: those of one stage, all but those of some stages, or all but one. Returns the names. */
export async function clearFlags(
  tx: Tx,
  accountId: number,
  direction: Direction,
  which: { stage?: string; exceptStages?: readonly string[]; except?: string } = {},
): Promise<string[]> {
  let update = tx
    .updateTable('health_flags')
    .set({ cleared_at: sql<Date>`now()` })
    .where('account_id', '=', accountId)
    .where('direction', '=', direction)
    .where('cleared_at', 'is', null)
  if (which.stage !== undefined) update = update.where('stage', '=', which.stage)
  if (which.exceptStages !== undefined) update = update.where('stage', 'not in', [...which.exceptStages])
  if (which.except !== undefined) update = update.where('flag', '<>', which.except)
  return (await update.returning('flag').execute()).map((row) => row.flag)
}

/** Open flags of a lane, without notes. */
export async function openFlagCount(db: DbOrTx, accountId: number, direction: Direction): Promise<number> {
  const row = await db
    .selectFrom('health_flags')
    .select(sql<number>`count(*)`.as('n'))
    .where('account_id', '=', accountId)
    .where('direction', '=', direction)
    .where('cleared_at', 'is', null)
    .where('stage', 'not in', [NOTE_STAGE, SILENCE_STAGE])
    .executeTakeFirstOrThrow()
  return row.n
}

/** Stages of the open flags of an account, without notes. */
export async function failedStages(db: DbOrTx, accountId: number): Promise<Record<Direction, string[]>> {
  const rows = await db
    .selectFrom('health_flags')
    .select(['direction', 'stage'])
    .where('account_id', '=', accountId)
    .where('cleared_at', 'is', null)
    .where('stage', '<>', NOTE_STAGE)
    .execute()
  const of = (direction: Direction) => rows.filter((row) => row.direction === direction).map(({ stage }) => stage)
  return { receive: of('receive'), send: of('send') }
}

/** Whether a note is open for a lane. */
export async function hasNotes(db: DbOrTx, accountId: number, direction: Direction): Promise<boolean> {
  const row = await db
    .selectFrom('health_flags')
    .select('id')
    .where('account_id', '=', accountId)
    .where('direction', '=', direction)
    .where('cleared_at', 'is', null)
    .where('stage', '=', NOTE_STAGE)
    .limit(1)
    .executeTakeFirst()
  return row !== undefined
}

/** Clears the notes of a lane but for those named. Returns the names of those cleared. */
export async function clearNotes(
  tx: Tx,
  accountId: number,
  direction: Direction,
  keep: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ flag: string }>`
    update poststelle.health_flags set cleared_at = now() where account_id = ${accountId} and direction = ${direction}
      and cleared_at is null and stage = ${NOTE_STAGE} and flag <> all(${[...keep]}::text[]) returning flag`.execute(tx)
  return rows.map((row) => row.flag)
}

export async function addHealthEvent(
  tx: Tx,
  event: { accountId: number; direction: Direction; from: string; to: string; flag?: string; evidence?: string },
): Promise<void> {
  await tx
    .insertInto('health_events')
    .values({
      account_id: event.accountId,
      direction: event.direction,
      from_state: event.from,
      to_state: event.to,
      flag: event.flag ?? null,
      evidence: event.evidence ?? null,
    })
    .execute()
}

/**
 * Whether a login is worth a try that the token speaks against: something has worked since the credential was given, or the flag is
 * open already and this is the slow probe that finds out.
 */
export async function mayTryAllTheSame(
  db: DbOrTx,
  accountId: number,
  direction: Direction,
  flag: string,
): Promise<boolean> {
  const { rows } = await sql<{ may: boolean }>`
    select exists (select from poststelle.account_health h join poststelle.grants g on g.account_id = h.account_id
        where h.account_id = ${accountId} and h.direction = ${direction} and h.last_ok_at >= g.granted_at)
      or exists (select from poststelle.health_flags where account_id = ${accountId} and direction = ${direction}
        and flag = ${flag} and cleared_at is null) as may`.execute(db)
  return rows[0]?.may ?? false
}
