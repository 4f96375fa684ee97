// What an installation is made of, for the page that shows it; and what is due in each kind of lane.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'
import type { LaneKind } from './schema.ts'

export interface SystemReading {
  readonly postgres: string
  readonly databaseBytes: number
  readonly mailBytes: number
  readonly workers: readonly { host: string; pid: number; roles: string; version: string; seenAt: Date }[]
}

export async function readSystem(db: DbOrTx): Promise<SystemReading> {
  const { rows } = await sql<Omit<SystemReading, 'workers'>>`
    select current_setting('server_version') as postgres, pg_database_size(current_database()) as "databaseBytes",
      pg_total_relation_size('poststelle.message_bodies') + pg_total_relation_size('poststelle.blob_chunks')
        + pg_total_relation_size('poststelle.outbound_bodies') as "mailBytes"`.execute(db)
  const workers = await sql<SystemReading['workers'][number]>`
    select host, pid, roles, version, seen_at as "seenAt" from poststelle.workers order by id`.execute(db)
  const [row] = rows
  return {
    postgres: row?.postgres ?? '',
    databaseBytes: row?.databaseBytes ?? 0,
    mailBytes: row?.mailBytes ?? 0,
    workers: workers.rows,
  }
}

export async function dueLanes(db: DbOrTx): Promise<Map<LaneKind, { due: number; oldestAt: Date | null }>> {
  const { rows } = await sql<{ lane: LaneKind; due: number; oldestAt: Date | null }>`
    select lane, count(*) as due, min(ready_at) as "oldestAt" from poststelle.lanes where ready_at <= now() group by lane`.execute(
    db,
  )
  return new Map(rows.map(({ lane, due, oldestAt }) => [lane, { due, oldestAt }]))
}
