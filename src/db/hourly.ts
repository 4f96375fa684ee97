// What came and went, hour by hour.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'

export interface Hour {
  readonly at: Date
  readonly received: number
  readonly handedOver: number
  readonly rejected: number
}

/** Whole hours of UTC, the running one last; none is left out. */
export async function hourlyMail(db: DbOrTx, hours: number): Promise<Hour[]> {
  const { rows } = await sql<Hour>`
    with span as (
      select generate_series(date_trunc('hour', now()) - ${hours - 1} * interval '1 hour', date_trunc('hour', now()), interval '1 hour') as at
    ), came as (
      select date_trunc('hour', received_at) as at, count(*) as n from poststelle.messages
      where received_at >= (select min(at) from span) group by 1
    ), went as (
      select date_trunc('hour', finished_at) as at, count(*) as n from poststelle.outbound_messages
      where finished_at >= (select min(at) from span) and state in ('sent', 'partial', 'bounced') group by 1
    ), refused as (
      select date_trunc('hour', finished_at) as at, count(*) as n from poststelle.outbound_messages
      where finished_at >= (select min(at) from span) and state in ('failed', 'expired') group by 1
    )
    select s.at, coalesce(c.n, 0) as received, coalesce(w.n, 0) as "handedOver", coalesce(r.n, 0) as rejected
    from span s left join came c on c.at = s.at left join went w on w.at = s.at left join refused r on r.at = s.at order by s.at`.execute(
    db,
  )
  return rows
}
