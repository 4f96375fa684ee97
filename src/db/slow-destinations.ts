// Destinations of an account that defer one recipient after the other.

import { sql } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'

export interface SlowDestination {
  readonly domain: string
  /** Deferrals in a row. */
  readonly failures: number
  /** null: not slow yet. */
  readonly until: Date | null
}

/** By domain, in lower case: until when what goes only there waits. */
export async function loadSlowDestinations(db: DbOrTx, accountId: number, now: Date): Promise<Map<string, Date>> {
  const { rows } = await sql<{ domain: string; until: Date }>`
    select domain, until from poststelle.slow_destinations
    where account_id = ${accountId} and until > ${now} and until <= ${now}::timestamptz + interval '61 minutes'`.execute(
    db,
  )
  return new Map(rows.map(({ domain, until }) => [domain, until]))
}

/** Those of them that are remembered; locked in one order. */
export async function lockDestinations(
  tx: Tx,
  accountId: number,
  domains: readonly string[],
): Promise<SlowDestination[]> {
  const { rows } = await sql<SlowDestination>`
    select domain, failures, until from poststelle.slow_destinations
    where account_id = ${accountId} and domain = any(${[...domains]}) order by domain for update`.execute(tx)
  return rows
}

export async function saveDestinations(tx: Tx, accountId: number, slow: readonly SlowDestination[]): Promise<void> {
  if (slow.length === 0) return
  await sql`
    insert into poststelle.slow_destinations (account_id, domain, failures, until)
    select ${accountId}, domain, failures, until from unnest(${slow.map((s) => s.domain)}::text[],
      ${slow.map((s) => s.failures)}::int[], ${slow.map((s) => s.until)}::timestamptz[]) s (domain, failures, until)
    on conflict (account_id, domain) do update set failures = excluded.failures, until = excluded.until`.execute(tx)
}

export async function forgetDestinations(tx: Tx, accountId: number, domains: readonly string[]): Promise<void> {
  if (domains.length === 0) return
  await sql`
    delete from poststelle.slow_destinations where account_id = ${accountId} and domain = any(${[...domains]})`.execute(
    tx,
  )
}

/** Somebody asked for these very messages: where they still have to go is tried once more, and is as slow as before if it defers again. */
export async function tryDestinationsOf(db: DbOrTx, messageIds: readonly number[]): Promise<void> {
  await sql`
    with asked as (
      select s.account_id, s.domain from poststelle.slow_destinations s
      where s.until > now() and exists (select from poststelle.outbound_messages m
        join poststelle.outbound_recipients r on r.message_id = m.id
        where m.id = any(${[...messageIds]}::bigint[]) and m.account_id = s.account_id and r.state <> 'accepted'
          and lower(substring(r.address from '[^@]*$')) = s.domain)
      order by s.account_id, s.domain for update
    )
    update poststelle.slow_destinations s set until = null from asked a
    where s.account_id = a.account_id and s.domain = a.domain`.execute(db)
}
