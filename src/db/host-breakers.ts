// Breakers per mail host: where many accounts fail and none succeeds, one of them probes for all. What is remembered is the last
// failure of each account; a success forgets it.

import { sql } from 'kysely'
import type { Direction } from '../base/failure.ts'
import type { DbOrTx, Tx } from './database.ts'
import type { HostTrouble } from './schema.ts'

/** A host as accounts receive from it, or send to it. */
export interface HostSide {
  /** 'name:port' */
  readonly host: string
  readonly direction: Direction
}

export const hostKey = ({ host, port }: { host: string; port: number }): string => `${host.toLowerCase()}:${port}`

/** The host of an account `a`, spelled as hostKey does. */
export const hostOfAccount = (direction: Direction) =>
  direction === 'receive'
    ? sql<string>`lower(a.pop3_host) || ':' || a.pop3_port`
    : sql<string>`lower(a.smtp_host) || ':' || a.smtp_port`

export interface HostBreaker extends HostSide {
  readonly kind: HostTrouble
  readonly openedAt: Date
  readonly openUntil: Date
  /** Who has the probe. */
  readonly probeAccountId: number | null
  readonly probes: number
  readonly flag: string
  readonly evidence: string
}

/** Distinct accounts whose last session with this host failed like that since then. */
export async function countHostFailures(
  db: DbOrTx,
  { host, direction }: HostSide,
  kind: HostTrouble,
  since: Date,
): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from poststelle.host_failures
    where host = ${host} and direction = ${direction} and kind = ${kind} and at >= ${since}`.execute(db)
  return rows[0]?.n ?? 0
}

/** Any account that had a good session with this host since then. */
export async function hostHadSuccess(db: DbOrTx, { host, direction }: HostSide, since: Date): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from poststelle.accounts a join poststelle.account_health h on h.account_id = a.id and h.direction = ${direction}
      where ${hostOfAccount(direction)} = ${host} and h.last_ok_at >= ${since}) as found`.execute(db)
  return rows[0]?.found ?? false
}

export async function noteHostFailure(
  tx: Tx,
  failure: HostSide & { accountId: number; kind: HostTrouble; at: Date },
): Promise<void> {
  await sql`
    insert into poststelle.host_failures (host, direction, account_id, kind, at)
    values (${failure.host}, ${failure.direction}, ${failure.accountId}, ${failure.kind}, ${failure.at})
    on conflict (host, direction, account_id) do update set kind = excluded.kind, at = excluded.at`.execute(tx)
}

export async function openHostBreaker(tx: Tx, breaker: Omit<HostBreaker, 'probeAccountId'>): Promise<void> {
  await sql`
    insert into poststelle.host_breakers as b (host, direction, kind, opened_at, open_until, probes, flag, evidence)
    values (${breaker.host}, ${breaker.direction}, ${breaker.kind}, ${breaker.openedAt}, ${breaker.openUntil}, ${breaker.probes},
      ${breaker.flag}, ${breaker.evidence})
    on conflict (host, direction) do update set kind = excluded.kind, open_until = excluded.open_until, probes = excluded.probes,
      probe_account_id = null, flag = excluded.flag, evidence = excluded.evidence`.execute(tx)
}

export async function loadHostBreaker(db: DbOrTx, { host, direction }: HostSide): Promise<HostBreaker | undefined> {
  const [found] = await breakersWhere(db, sql`host = ${host} and direction = ${direction}`)
  return found
}

/** Whether the host's breaker is there, or the account failed at it lately. */
export async function hasHostTrouble(db: DbOrTx, { host, direction }: HostSide, accountId: number): Promise<boolean> {
  const { rows } = await sql<{ trouble: boolean }>`
    select exists (select from poststelle.host_breakers where host = ${host} and direction = ${direction})
      or exists (select from poststelle.host_failures where account_id = ${accountId} and direction = ${direction}) as trouble`.execute(
    db,
  )
  return rows[0]?.trouble ?? false
}

/** Open breakers, the oldest first, with the number of accounts that wait for each host. */
export async function listHostBreakers(db: DbOrTx): Promise<(HostBreaker & { readonly accounts: number })[]> {
  const { rows } = await sql<HostSide & { n: number }>`
    select b.host, b.direction, count(*) as n from poststelle.host_breakers b join poststelle.accounts a
      on case b.direction when 'receive' then ${hostOfAccount('receive')} else ${hostOfAccount('send')} end = b.host
        and case b.direction when 'receive' then a.enabled_receive else a.enabled_send end
    group by 1, 2`.execute(db)
  const waiting = new Map(rows.map(({ host, direction, n }) => [`${direction} ${host}`, n]))
  return (await breakersWhere(db, sql`true`)).map((one) => ({
    ...one,
    accounts: waiting.get(`${one.direction} ${one.host}`) ?? 0,
  }))
}

async function breakersWhere(db: DbOrTx, condition: ReturnType<typeof sql>): Promise<HostBreaker[]> {
  const { rows } = await sql<{
    host: string
    direction: Direction
    kind: HostTrouble
    opened_at: Date
    open_until: Date
    probe_account_id: number | null
    probes: number
    flag: string
    evidence: string
  }>`select * from poststelle.host_breakers where ${condition} order by opened_at`.execute(db)
  return rows.map(({ opened_at, open_until, probe_account_id, ...row }) => ({
    ...row,
    openedAt: opened_at,
    openUntil: open_until,
    probeAccountId: probe_account_id,
  }))
}

/** Where the breaker's time is over, one caller gets the probe, and keeps it from the others until `until`. */
export async function takeProbe(
  db: DbOrTx,
  { host, direction }: HostSide,
  accountId: number,
  now: Date,
  until: Date,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.host_breakers set open_until = ${until}, probe_account_id = ${accountId}
    where host = ${host} and direction = ${direction} and open_until <= ${now}`.execute(db)
  return Boolean(numAffectedRows)
}

/** Somebody has changed something: one probe past the breakers of the accounts' hosts, at once. */
export async function probeHostsNow(
  db: DbOrTx,
  whose: { accountId: number } | { clientId: number },
  directions: readonly Direction[],
): Promise<void> {
  const ofThem = 'accountId' in whose ? sql`a.id = ${whose.accountId}` : sql`a.oauth_client_id = ${whose.clientId}`
  for (const direction of directions)
    await sql`
      update poststelle.host_breakers b set open_until = now() from poststelle.accounts a
      where ${ofThem} and b.direction = ${direction} and b.host = ${hostOfAccount(direction)}`.execute(db)
}

/** A session with the host went well. Returns whether its breaker was open: then the lanes that waited for it may go on. */
export async function forgetHostFailure(tx: Tx, { host, direction }: HostSide, accountId: number): Promise<boolean> {
  // also at another host, from which the account has moved
  await sql`delete from poststelle.host_failures where account_id = ${accountId} and direction = ${direction}`.execute(
    tx,
  )
  const { numAffectedRows } = await sql`
    delete from poststelle.host_breakers where host = ${host} and direction = ${direction}`.execute(tx)
  return Boolean(numAffectedRows)
}

/**
 * Lanes that only waited for the host are due again, spread over a minute; parked ones stay parked. One that somebody holds is left
 * alone: it is due when its wait is over, and nobody waits for two accounts at once.
 */
export async function wakeHostLanes(tx: Tx, { host, direction }: HostSide): Promise<void> {
  const waits =
    direction === 'receive'
      ? sql`l.due_at > now() and exists (select from poststelle.maildrops d where d.account_id = a.id
          and (d.last_poll_at is null or d.last_poll_at < now() - d.poll_interval_seconds * interval '1 second'))`
      : sql`l.rests_for = 'host'`
  await sql`
    with waiting as (
      select l.account_id, l.lane from poststelle.lanes l join poststelle.accounts a on a.id = l.account_id
      where l.lane = ${direction} and l.lease_token is null and ${hostOfAccount(direction)} = ${host} and ${waits}
      for update of l skip locked
    )
    update poststelle.lanes l set due_at = now() + random() * interval '1 minute', rests_until = null, rests_for = null
    from waiting w where l.account_id = w.account_id and l.lane = w.lane`.execute(tx)
}
