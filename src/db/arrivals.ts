// When mail came in, by hours of the week; and the notes on mailboxes that have fallen silent.

import { sql } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'
import { SILENCE_STAGE } from './health.ts'

export interface ArrivalRow {
  readonly accountId: number
  readonly lastAt: Date
  /** What the operator expects at least; null: the habits of the mailbox tell. */
  readonly freshnessMinutes: number | null
  /** Hour of the week (UTC, from Monday), and the counts of its weeks. */
  readonly hours: readonly { readonly hour: number; readonly counts: readonly number[] }[]
}

/** Of accounts that receive and are well: whoever is in trouble is silent for another reason. The last four weeks. */
export async function readArrivals(db: DbOrTx, now: Date): Promise<ArrivalRow[]> {
  const { rows } = await sql<ArrivalRow>`
    with well as (
      select d.account_id, d.freshness_minutes, h.since from poststelle.maildrops d
      join poststelle.accounts a on a.id = d.account_id and a.enabled_receive and a.pop3_host is not null
      join poststelle.account_health h on h.account_id = d.account_id and h.direction = 'receive' and h.state = 'ok'
    ), counted as (
      select m.account_id, date_trunc('hour', m.received_at at time zone 'UTC') as at, count(*)::int as n, max(m.received_at) as last_at
      from poststelle.messages m where m.received_at > ${now}::timestamptz - interval '28 days' and m.received_at <= ${now}
      group by 1, 2
    ), by_hour as (
      select account_id, ((extract(isodow from at)::int - 1) * 24 + extract(hour from at)::int) as hour,
        array_agg(n) as counts, max(last_at) as last_at
      from counted group by 1, 2
    )
    select w.account_id as "accountId", w.freshness_minutes as "freshnessMinutes",
      coalesce(max(b.last_at), (select max(received_at) from poststelle.messages m where m.account_id = w.account_id), w.since) as "lastAt",
      coalesce(json_agg(json_build_object('hour', b.hour, 'counts', b.counts)) filter (where b.hour is not null), '[]') as hours
    from well w left join by_hour b on b.account_id = w.account_id
    where b.account_id is not null or w.freshness_minutes is not null
    group by w.account_id, w.freshness_minutes, w.since`.execute(db)
  return rows
}

/** Accounts with an open note. */
export async function silentAccounts(db: DbOrTx): Promise<Set<number>> {
  const { rows } = await sql<{ id: number }>`
    select account_id as id from poststelle.health_flags where stage = ${SILENCE_STAGE} and cleared_at is null`.execute(
    db,
  )
  return new Set(rows.map(({ id }) => id))
}

export async function endSilence(tx: Tx, accountIds: readonly number[]): Promise<void> {
  if (accountIds.length === 0) return
  await sql`
    update poststelle.health_flags set cleared_at = now()
    where stage = ${SILENCE_STAGE} and cleared_at is null and account_id = any(${[...accountIds]}::bigint[])`.execute(
    tx,
  )
}
