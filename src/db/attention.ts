// What does not move by itself: outgoing mail that ended without being handed over, or waits for a word; received mail that could not
// be read. Grouped by cause.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'

export interface CauseGroup {
  readonly kind: 'failed' | 'expired' | 'uncertain' | 'held' | 'quarantined' | 'oversize'
  readonly cause: string | null
  readonly count: number
  readonly accounts: number
  readonly oldestAt: Date
  /** One of them. */
  readonly example: string | null
  readonly exampleId: number
}

/** Of the last so many days, what is final; of all time, what waits. */
export const LOOKED_BACK_DAYS = 30
export const HELD_HOURS = 24

/** A message with several causes is in the group of each. */
const FLAGS_OF_MESSAGE = sql`
  select m.last_flag as flag where m.last_flag is not null
  union select r.flag from poststelle.outbound_recipients r where r.message_id = m.id and r.flag is not null`

export async function attentionGroups(db: DbOrTx): Promise<CauseGroup[]> {
  const { rows } = await sql<CauseGroup>`
    select m.state as kind, coalesce(f.flag, '') as cause, count(*) as count, count(distinct m.account_id) as accounts,
      min(m.created_at) as "oldestAt", (array_agg(m.last_reply order by m.id desc))[1] as example, max(m.id) as "exampleId"
    from poststelle.outbound_messages m left join lateral (${FLAGS_OF_MESSAGE}) f on true
    where m.state in ('failed', 'expired') and m.created_at >= now() - ${LOOKED_BACK_DAYS} * interval '1 day'
      and m.finished_at >= now() - ${LOOKED_BACK_DAYS} * interval '1 day' group by 1, 2
    union all
    select 'uncertain', coalesce(f.flag, ''), count(*), count(distinct m.account_id), min(m.created_at),
      (array_agg(m.last_reply order by m.id desc))[1], max(m.id)
    from poststelle.outbound_messages m left join lateral (${FLAGS_OF_MESSAGE}) f on true where m.state = 'uncertain' group by 2
    union all
    select 'held', m.hold_reason, count(*), count(distinct m.account_id), min(m.created_at),
      (array_agg(m.subject order by m.id desc))[1], max(m.id)
    from poststelle.outbound_messages m where m.state = 'held' and m.created_at < now() - ${HELD_HOURS} * interval '1 hour' group by 1, 2
    union all
    select 'quarantined', coalesce(c.reason, ''), count(*), count(distinct c.account_id), min(m.received_at),
      (array_agg(m.subject order by m.id desc))[1], max(m.id)
    from poststelle.message_contents c join poststelle.messages m on m.id = c.message_id where c.state = 'quarantined' group by 1, 2
    union all
    select 'oversize', '', count(*), count(distinct m.account_id), min(m.received_at), (array_agg(m.subject order by m.id desc))[1], max(m.id)
    from poststelle.messages m where not m.complete having count(*) > 0
    order by count desc`.execute(db)
  return rows
}
