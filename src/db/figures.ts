// Figures for monitoring, in a few cheap reads.

import { sql } from 'kysely'
import type { Db } from './database.ts'

export interface Figures {
  readonly lamps: readonly { readonly direction: string; readonly state: string; readonly n: number }[]
  readonly outbox: readonly { readonly state: string; readonly n: number }[]
  readonly incidents: readonly { readonly scope: string; readonly n: number }[]
  readonly flags: readonly { readonly flag: string; readonly n: number }[]
  /** Seconds until the first access token in use ends; null where there is none. */
  readonly tokenSeconds: number | null
  /** Age of the oldest message that is due in a lane that may work, in seconds. */
  readonly oldestDueSeconds: number
  readonly openClientBreakers: number
}

export async function readFigures(db: Db): Promise<Figures> {
  const { rows: lamps } = await sql<Figures['lamps'][number]>`
    select direction, state, count(*)::int as n from poststelle.account_health group by 1, 2`.execute(db)
  const { rows: outbox } = await sql<Figures['outbox'][number]>`
    select state, count(*)::int as n from poststelle.outbound_messages
    where state not in ('sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled') group by 1`.execute(db)
  const { rows: incidents } = await sql<Figures['incidents'][number]>`
    select scope, count(*)::int as n from poststelle.incidents where closed_at is null group by 1`.execute(db)
  const { rows: flags } = await sql<Figures['flags'][number]>`
    select flag, count(distinct account_id)::int as n from poststelle.health_flags where cleared_at is null group by 1`.execute(
    db,
  )
  const { rows } = await sql<{ token: number | null; oldest: number | null; breakers: number }>`
    select (select extract(epoch from min(access_expires_at) - now())::float8 from poststelle.grants where refusal is null) as token,
      (select extract(epoch from now() - min(m.next_attempt_at))::float8 from poststelle.outbound_messages m
        join poststelle.lanes l on l.account_id = m.account_id and l.lane = 'send'
        where m.state in ('queued', 'deferred', 'scheduled') and m.next_attempt_at <= now() and l.parked_until is null
          and not l.switched_off) as oldest,
      (select count(*)::int from poststelle.client_breakers where opened_at is not null) as breakers`.execute(db)
  return {
    lamps,
    outbox,
    incidents,
    flags,
    tokenSeconds: rows[0]?.token ?? null,
    oldestDueSeconds: rows[0]?.oldest ?? 0,
    openClientBreakers: rows[0]?.breakers ?? 0,
  }
}
