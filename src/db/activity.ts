// What each account has done since an instant.

import { sql } from 'kysely'
import type { Db } from './database.ts'

export interface AccountActivity {
  readonly accountId: number
  readonly stored: number
  readonly handedOver: number
  readonly tokenRefreshedAt: Date | null
}

export async function activitySince(db: Db, since: Date): Promise<AccountActivity[]> {
  const { rows } = await sql<{ account_id: number; stored: number; handed_over: number; refreshed_at: Date | null }>`
    select a.id as account_id,
      (select count(*) from poststelle.messages m where m.account_id = a.id and m.received_at >= ${since}) as stored,
      (select count(*) from poststelle.outbound_messages o where o.account_id = a.id and o.state in ('sent', 'partial')
        and o.finished_at >= ${since}) as handed_over,
      (select g.refreshed_at from poststelle.grants g where g.account_id = a.id and g.refreshed_at >= ${since}) as refreshed_at
    from poststelle.accounts a order by a.id`.execute(db)
  return rows.map((row) => ({
    accountId: row.account_id,
    stored: row.stored,
    handedOver: row.handed_over,
    tokenRefreshedAt: row.refreshed_at,
  }))
}
