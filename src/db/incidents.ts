// Incidents as the upkeep of one process keeps them: what is open now, and everything a round changes, in a few statements for all
// accounts together. One process at a time, by a lock that nobody waits for.

import { sql } from 'kysely'
import type { Direction } from '../base/failure.ts'
import type { Db, Tx } from './database.ts'
import { hostOfAccount, type HostBreaker } from './host-breakers.ts'
import type { IncidentEventKind, SubjectKind } from './schema-incidents.ts'

/** An open flag of a lane, and all that may be to blame for it. */
export interface OpenFlag {
  readonly accountId: number
  readonly email: string
  readonly direction: Direction
  readonly flag: string
  readonly scope: string
  readonly persistence: string
  readonly stage: string
  readonly evidence: string
  readonly since: Date
  readonly occurrences: number
  readonly state: string
  readonly paused: boolean
  readonly provider: string
  readonly clientPk: number | null
  readonly clientLabel: string
  readonly clientId: string
  readonly tokenEndpoint: string
  /** 'name:port' of this direction. */
  readonly host: string
}

/** The breaker of a host, and the accounts that wait for it. */
export interface OpenBreaker extends Pick<
  HostBreaker,
  'host' | 'direction' | 'kind' | 'flag' | 'evidence' | 'openedAt'
> {
  readonly scope: string
  readonly persistence: string
  readonly accountIds: readonly number[]
}

export interface OpenIncident {
  readonly id: number
  readonly cause: string
  readonly subjectKind: SubjectKind
  readonly subjectKey: string
  readonly subject: string
  readonly flag: string
  readonly openedAt: Date
  readonly goneAt: Date | null
  readonly accountsTold: number
  readonly toldAt: Date
  readonly firstToldAt: Date
  /** Who has the cause now. */
  readonly members: readonly { accountId: number; direction: Direction }[]
  /** Of the lanes that ever had it: those that are still to work, and those that had a success since they had it. */
  readonly concerned: number
  readonly succeeded: number
}

/** Runs `work` unless another process is at it. */
export async function alone<T>(db: Db, work: (tx: Tx, now: Date) => Promise<T>): Promise<T | undefined> {
  return await db.transaction().execute(async (tx) => {
    // 'INCI' and 'DENT' in ASCII
    const { rows } = await sql<{ got: boolean; now: Date }>`
      select pg_try_advisory_xact_lock(1229865801, 1145392724) as got, now() as now`.execute(tx)
    const [row] = rows
    return row?.got ? await work(tx, row.now) : undefined
  })
}

/** Flags that stop a lane, without the notes. */
export async function openFlags(tx: Tx): Promise<OpenFlag[]> {
  const { rows } = await sql<OpenFlag>`
    select f.account_id as "accountId", a.email, f.direction, f.flag, f.scope, f.persistence, f.stage, f.evidence, f.since, f.occurrences,
      h.state, not case f.direction when 'receive' then a.enabled_receive else a.enabled_send end as paused,
      a.provider, c.id as "clientPk", coalesce(c.label, '') as "clientLabel", coalesce(c.client_id, '') as "clientId",
      coalesce(c.token_endpoint, '') as "tokenEndpoint",
      coalesce(case f.direction when 'receive' then ${hostOfAccount('receive')} else ${hostOfAccount('send')} end, '') as host
    from poststelle.health_flags f
      join poststelle.accounts a on a.id = f.account_id
      join poststelle.account_health h on h.account_id = f.account_id and h.direction = f.direction
      left join poststelle.oauth_clients c on c.id = a.oauth_client_id
    where f.cleared_at is null and f.stage <> 'ledger'
    order by f.id`.execute(tx)
  return rows
}

export async function openBreakers(tx: Tx): Promise<Omit<OpenBreaker, 'scope' | 'persistence'>[]> {
  // arrays of bigint come as texts
  const { rows } = await sql<Omit<OpenBreaker, 'scope' | 'persistence' | 'accountIds'> & { accountIds: string[] }>`
    select b.host, b.direction, b.kind, b.flag, b.evidence, b.opened_at as "openedAt", array(select a.id from poststelle.accounts a
      where case b.direction when 'receive' then ${hostOfAccount('receive')} = b.host and a.enabled_receive
        else ${hostOfAccount('send')} = b.host and a.enabled_send end order by a.id) as "accountIds"
    from poststelle.host_breakers b order by b.opened_at`.execute(tx)
  return rows.map((row) => ({ ...row, accountIds: row.accountIds.map(Number) }))
}

/** Different servers that accounts use: mail servers and token endpoints, by name. */
export async function countHostsInUse(tx: Tx): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from (
      select lower(pop3_host) from poststelle.accounts where pop3_host is not null and enabled_receive
      union select lower(smtp_host) from poststelle.accounts where smtp_host is not null and enabled_send
      union select lower(substring(token_endpoint from '^https?://([^/:]+)')) from poststelle.oauth_clients c
        where exists (select from poststelle.accounts a where a.oauth_client_id = c.id and (a.enabled_receive or a.enabled_send))
    ) host`.execute(tx)
  return rows[0]?.n ?? 0
}

export async function openIncidents(tx: Tx): Promise<OpenIncident[]> {
  const { rows } = await sql<Omit<OpenIncident, 'members'> & { receiving: string[]; sending: string[] }>`
    select i.id, i.cause, i.subject_kind as "subjectKind", i.subject_key as "subjectKey", i.subject, i.flag, i.opened_at as "openedAt",
      i.gone_at as "goneAt", i.accounts_told as "accountsTold", i.told_at as "toldAt",
      (select min(e.at) from poststelle.incident_events e where e.incident_id = i.id) as "firstToldAt",
      coalesce(m.receiving, '{}') as receiving, coalesce(m.sending, '{}') as sending,
      coalesce(m.concerned, 0) as concerned, coalesce(m.succeeded, 0) as succeeded
    from poststelle.incidents i left join lateral (
      select array_agg(m.account_id) filter (where m.left_at is null and m.direction = 'receive') as receiving,
        array_agg(m.account_id) filter (where m.left_at is null and m.direction = 'send') as sending,
        count(*) filter (where case m.direction when 'receive' then a.enabled_receive else a.enabled_send end) as concerned,
        count(*) filter (where h.last_ok_at >= m.joined_at) as succeeded
      from poststelle.incident_accounts m join poststelle.accounts a on a.id = m.account_id
        join poststelle.account_health h on h.account_id = m.account_id and h.direction = m.direction
      where m.incident_id = i.id
    ) m on true
    where i.closed_at is null order by i.id`.execute(tx)
  const lanes = (ids: readonly string[], direction: Direction) =>
    ids.map((id) => ({ accountId: Number(id), direction }))
  return rows.map(({ receiving, sending, ...row }) => ({
    ...row,
    members: [...lanes(receiving, 'receive'), ...lanes(sending, 'send')],
  }))
}

export interface NewIncident extends Pick<OpenIncident, 'cause' | 'subjectKind' | 'subjectKey' | 'subject' | 'flag'> {
  readonly scope: string
  readonly persistence: string
  readonly evidence: string
  readonly since: Date
  readonly accounts: number
}

/** Returns their ids, in the order given. */
export async function insertIncidents(tx: Tx, incidents: readonly NewIncident[]): Promise<number[]> {
  if (incidents.length === 0) return []
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.incidents (cause, subject_kind, subject_key, subject, flag, scope, persistence, evidence, opened_at,
      accounts_now, accounts_most, accounts_told)
    select n.cause, n."subjectKind", n."subjectKey", n.subject, n.flag, n.scope, n.persistence, n.evidence, n.since,
      n.accounts, n.accounts, n.accounts
    from rows from (jsonb_to_recordset(${JSON.stringify(incidents)}::jsonb) as (cause text, "subjectKind" text, "subjectKey" text,
      subject text, flag text, scope text, persistence text, evidence text, since timestamptz, accounts integer)) with ordinality n
      (cause, "subjectKind", "subjectKey", subject, flag, scope, persistence, evidence, since, accounts, place)
    order by n.place returning id`.execute(tx)
  return rows.map((row) => row.id)
}

type Lanes = readonly { incidentId: number; members: readonly { accountId: number; direction: Direction }[] }[]

const laneColumns = (lanes: Lanes) => {
  const all = lanes.flatMap(({ incidentId, members }) => members.map((member) => ({ incidentId, ...member })))
  return sql`unnest(${all.map((one) => one.incidentId)}::bigint[], ${all.map((one) => one.accountId)}::bigint[],
    ${all.map((one) => one.direction)}::text[]) n (incident_id, account_id, direction)`
}

export async function joinIncidents(tx: Tx, lanes: Lanes): Promise<void> {
  if (lanes.length === 0) return
  await sql`
    insert into poststelle.incident_accounts (incident_id, account_id, direction)
    select n.incident_id, n.account_id, n.direction from ${laneColumns(lanes)} join poststelle.accounts a on a.id = n.account_id
    on conflict (incident_id, account_id, direction) do update set left_at = null`.execute(tx)
}

export async function leaveIncidents(tx: Tx, lanes: Lanes): Promise<void> {
  if (lanes.length === 0) return
  await sql`
    update poststelle.incident_accounts m set left_at = now() from ${laneColumns(lanes)}
    where m.incident_id = n.incident_id and m.account_id = n.account_id and m.direction = n.direction`.execute(tx)
}

export async function savePresent(
  tx: Tx,
  present: readonly { id: number; accounts: number; told: number; grew: boolean }[],
): Promise<void> {
  if (present.length === 0) return
  await sql`
    update poststelle.incidents i set accounts_now = n.accounts, accounts_most = greatest(i.accounts_most, n.accounts),
      accounts_told = n.told, told_at = case when n.grew then now() else i.told_at end, gone_at = null
    from jsonb_to_recordset(${JSON.stringify(present)}::jsonb) n (id bigint, accounts integer, told integer, grew boolean)
    where i.id = n.id and (i.accounts_now <> n.accounts or i.accounts_told <> n.told or n.grew or i.gone_at is not null)`.execute(
    tx,
  )
}

/** Nobody has the cause any more. */
export async function saveGone(tx: Tx, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return
  await sql`
    update poststelle.incidents set gone_at = coalesce(gone_at, now()), accounts_now = 0 where id = any(${[...ids]}::bigint[])`.execute(
    tx,
  )
  await sql`
    update poststelle.incident_accounts set left_at = now() where incident_id = any(${[...ids]}::bigint[]) and left_at is null`.execute(
    tx,
  )
}

export async function saveClosed(tx: Tx, closed: readonly { id: number; into: number | null }[]): Promise<void> {
  if (closed.length === 0) return
  await saveGone(
    tx,
    closed.map(({ id }) => id),
  )
  await sql`
    update poststelle.incidents i set closed_at = now(), merged_into = n."into", waiting_now = 0, oldest_waiting_at = null
    from jsonb_to_recordset(${JSON.stringify(closed)}::jsonb) n (id bigint, "into" bigint) where i.id = n.id`.execute(
    tx,
  )
}

/** Mail that waits because of each open incident: what is due, or would be, in the send lanes that it stops. */
export async function countWaiting(tx: Tx): Promise<void> {
  await sql`
    with waiting as (
      select i.id, coalesce(sum(w.n), 0)::bigint as n, min(w.oldest) as oldest
      from poststelle.incidents i
        left join poststelle.incident_accounts m on m.incident_id = i.id and m.left_at is null and m.direction = 'send'
        left join lateral (select count(*) as n, min(o.created_at) as oldest from poststelle.outbound_messages o
          where o.account_id = m.account_id and o.finished_at is null
            and (o.state in ('queued', 'sending', 'deferred', 'uncertain') or o.state = 'scheduled' and o.next_attempt_at <= now())) w on true
      where i.closed_at is null group by i.id
    )
    update poststelle.incidents i
    set waiting_now = w.n, waiting_most = greatest(i.waiting_most, w.n), oldest_waiting_at = w.oldest
    from waiting w where i.id = w.id and (i.waiting_now, i.oldest_waiting_at) is distinct from (w.n, w.oldest)`.execute(
    tx,
  )
}

export interface IncidentNotice {
  readonly incidentId: number
  readonly event: IncidentEventKind
  readonly flag: string
  readonly subjectKind: SubjectKind
  readonly subject: string
  readonly accounts: number
  readonly waiting: number
  readonly lastedSeconds: number | null
  readonly sentSince: number | null
}

/** Writes the events of a round and rings once for each, but for what only became part of a larger one. */
export async function tellIncidents(
  tx: Tx,
  events: readonly { incidentId: number; event: IncidentEventKind }[],
): Promise<IncidentNotice[]> {
  if (events.length === 0) return []
  const { rows } = await sql<IncidentNotice>`
    with told as (
      insert into poststelle.incident_events (incident_id, event, accounts, waiting, lasted_seconds, sent_since)
      select i.id, n.event, case when i.closed_at is null then i.accounts_now else i.accounts_most end,
        case when i.closed_at is null then i.waiting_now else i.waiting_most end,
        case when n.event = 'closed' then greatest(0, extract(epoch from i.gone_at - i.opened_at))::bigint end,
        case when n.event = 'closed' then (select count(*) from poststelle.outbound_messages o
          join poststelle.incident_accounts m on m.account_id = o.account_id
          where m.incident_id = i.id and m.direction = 'send' and o.state in ('sent', 'partial', 'bounced')
            -- the round that sees an account recover comes after its first messages
            and o.finished_at >= i.opened_at and o.finished_at >= m.left_at - interval '1 minute' and o.created_at < m.left_at) end
      from jsonb_to_recordset(${JSON.stringify(events)}::jsonb) n ("incidentId" bigint, event text)
        join poststelle.incidents i on i.id = n."incidentId"
      order by i.id
      returning *
    ), rung as (
      select count(pg_notify('poststelle_incidents', t.incident_id::text)) from told t where t.event <> 'merged'
    )
    select t.incident_id as "incidentId", t.event, i.flag, i.subject_kind as "subjectKind", i.subject, t.accounts, t.waiting,
      t.lasted_seconds as "lastedSeconds", t.sent_since as "sentSince"
    from told t join poststelle.incidents i on i.id = t.incident_id cross join rung order by t.id`.execute(tx)
  return rows
}
