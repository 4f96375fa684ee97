// One change of many messages that goes on without its browser: what it is to change stands in its row, and how far it has come.

import { sql } from 'kysely'
import type { Db, DbOrTx } from './database.ts'
import { CHANGE_BATCH, changeMessages, type Change } from './outbox-changes.ts'

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

export async function createBulkRun(
  db: DbOrTx,
  about: { change: Change; ids: readonly number[]; filter: string; startedBy: string },
): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.bulk_runs (change, ids, filter, started_by)
    values (${about.change}, ${[...about.ids]}::bigint[], ${about.filter}, ${about.startedBy}) returning id`.execute(db)
  return rows[0]?.id ?? 0
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

/**
 * Goes on where the run stands; one process at a time, by a lock of its session. A batch that was done but not noted is tried once
 * more, which changes nothing and is refused.
 */
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
  const { rows } = await sql<{ change: Change; batch: number[]; stop: boolean; refused: Record<string, number> }>`
    select change, array(select unnest(ids[done + 1 : done + ${CHANGE_BATCH}])::float8) as batch, stop_asked as stop, refused
    from poststelle.bulk_runs where id = ${id} and finished_at is null`.execute(db)
  const [run] = rows
  if (!run) return false
  if (run.stop || run.batch.length === 0) {
    await finish(db, id, null)
    return false
  }
  const results = await changeMessages(db, run.change, run.batch)
  const refused = { ...run.refused }
  for (const { refusal } of results) if (refusal !== undefined) refused[refusal] = (refused[refusal] ?? 0) + 1
  const changed = results.filter(({ refusal }) => refusal === undefined).length
  await sql`
    update poststelle.bulk_runs set done = done + ${run.batch.length}, changed = changed + ${changed}, refused = ${JSON.stringify(refused)}
    where id = ${id}`.execute(db)
  return true
}

const finish = async (db: Db, id: number, error: string | null): Promise<void> =>
  void (await sql`
    update poststelle.bulk_runs set finished_at = now(), error = ${error} where id = ${id} and finished_at is null`.execute(
    db,
  ))
