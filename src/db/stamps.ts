// One number or text per topic of the pages that changes whenever something of the topic did. Each is the end of an index, or a
// small table.

import { sql } from 'kysely'
import type { Db } from './database.ts'

export type Stamps = Readonly<Record<string, string>>

export async function readStamps(db: Db): Promise<Stamps> {
  const { rows } = await sql<Record<string, string | number | null>>`
    select
      (select max(id) from poststelle.messages) || '/' || (select coalesce(max(position), 0) from poststelle.message_contents) as inbox,
      (select coalesce(max(id), 0) from poststelle.outbound_messages) || '/' || (select coalesce(max(id), 0) from poststelle.outbound_events)
        as outbox,
      (select coalesce(max(id), 0) from poststelle.health_events) || '/'
        || (select coalesce(max(id), 0) || '/' || count(*) from poststelle.health_flags where cleared_at is null) || '/'
        || (select coalesce(extract(epoch from max(updated_at)), 0) || '/' || count(*) from poststelle.accounts) as accounts,
      (select coalesce(max(id), 0) from poststelle.incident_events) as incidents,
      (select coalesce(extract(epoch from max(updated_at)), 0) || '/' || count(*) from poststelle.oauth_clients)
        || (select count(*) from poststelle.client_breakers where opened_at is not null) as clients,
      (select coalesce(sum(done), 0) || '/' || count(*) from poststelle.bulk_runs) as runs,
      (select string_agg(id::text, ',' order by id) from poststelle.workers) as workers`.execute(db)
  return Object.fromEntries(Object.entries(rows[0] ?? {}).map(([topic, stamp]) => [topic, String(stamp)]))
}
