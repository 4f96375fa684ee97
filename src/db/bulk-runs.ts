// One change of many messages that goes on without its browser: what it is to change stands in its row, and how far it has come.

import { sql } from 'kysely'
import type { Db, DbOrTx } from './database.ts'
import { CHANGE_BATCH, changeMessages, plannedIds, type Change, type ChangeResult } from './outbox-changes.ts'
import type { OutboxFilter } from './outbox.ts'

export interface BulkRun {
  readonly id: number
  readonly change: Change
  readonly filter: string
  readonly startedBy: string
  readonly startedAt: Date
  readonly total: number
  readonly done: number
  readonly changed: number
  readonly refused: Readonly<Record<string, number>>
  readonly stopAsked: boolean
  readonly finishedAt: Date | null
  readonly error: string | null
}

const columns = sql<never>`id, change, filter, started_by as "startedBy", started_at as "startedAt", cardinality(ids) as total, done, changed,
  refused, stop_asked as "stopAsked", finished_at as "finishedAt", error`

/** What it is to change is written down with it; returns how many those are. */
export async function createBulkRun(
  db: DbOrTx,
  about: { change: Change; filter: OutboxFilter; text: string; startedBy: string },
): Promise<{ id: number; total: number }> {
  const { change, filter, text, startedBy } = about
  const { rows } = await sql<{ id: number; total: number }>`
    insert into poststelle.bulk_runs (change, ids, filter, started_by)
    values (${change}, ${plannedIds(change, filter)}, ${text}, ${startedBy}) returning id, cardinality(ids) as total`.execute(
    db,
  )
  return rows[0] ?? { id: 0, total: 0 }
}

export async function loadBulkRun(db: DbOrTx, id: number): Promise<BulkRun | undefined> {
  return (await sql<BulkRun>`select ${columns} from poststelle.bulk_runs where id = ${id}`.execute(db)).rows[0]
}

export async function listBulkRuns(db: DbOrTx, limit: number): Promise<BulkRun[]> {
  return (await sql<BulkRun>`select ${columns} from poststelle.bulk_runs order by id desc limit ${limit}`.execute(db))
    .rows
}

/** It ends behind the batch that is under way. */
export async function askToStop(db: DbOrTx, id: number): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.bulk_runs set stop_asked = true where id = ${id} and finished_at is null`.execute(db)
  return Boolean(numAffectedRows)
}

/** The ids of runs that a process has left behind unfinished. */
export async function unfinishedRuns(db: DbOrTx): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from poststelle.bulk_runs where finished_at is null order by id`.execute(db)
  return rows.map(({ id }) => id)
}

/** Goes on where the run stands; one process at a time, by a lock of its session. What was done is noted in the same transaction. */
export async function workOnBulkRun(db: Db, id: number): Promise<void> {
  await db.connection().execute(async (connection) => {
    // 'BULK' in ASCII
    const lock = await sql<{ got: boolean }>`select pg_try_advisory_lock(1112886347, ${id}::int) as got`.execute(
      connection,
    )
    if (!lock.rows[0]?.got) return
    try {
      while (await nextBatch(db, id));
    } catch (error) {
      await finish(db, id, error instanceof Error ? error.message : String(error))
    } finally {
      await sql`select pg_advisory_unlock(1112886347, ${id}::int)`.execute(connection)
    }
  })
}

async function nextBatch(db: Db, id: number): Promise<boolean> {
  const { rows } = await sql<{ change: Change; batch: number[]; stop: boolean }>`
    select change, array(select unnest(ids[done + 1 : done + ${CHANGE_BATCH}])::float8) as batch, stop_asked as stop
    from poststelle.bulk_runs where id = ${id} and finished_at is null`.execute(db)
  const [run] = rows
  if (!run) return false
  if (run.stop || run.batch.length === 0) {
    await finish(db, id, null)
    return false
  }
  await changeMessages(db, run.change, run.batch, (tx, results) => noteBatch(tx, id, results))
  return true
}

async function noteBatch(db: DbOrTx, id: number, results: readonly ChangeResult[]): Promise<void> {
  const refused = results.flatMap(({ refusal }) => refusal ?? [])
  await sql`
    update poststelle.bulk_runs set done = done + ${results.length}, changed = changed + ${results.length - refused.length},
      refused = refused || coalesce((select jsonb_object_agg(why, n + coalesce((refused ->> why)::int, 0))
        from (select why, count(*)::int as n from unnest(${refused}::text[]) why group by why) r), '{}')
    where id = ${id}`.execute(db)
}

const finish = async (db: Db, id: number, error: string | null): Promise<void> =>
  void (await sql`
    update poststelle.bulk_runs set finished_at = now(), error = ${error} where id = ${id} and finished_at is null`.execute(
    db,
  ))
