// Breakers per app registration. Every request to a token endpoint passes here first: no more than a few are on their way until the
// endpoint has answered one of them well, and while the breaker is open, one account asks for all.

import { sql } from 'kysely'
import { PERSISTENCES, SCOPES, type Persistence, type Scope } from '../base/failure.ts'
import type { Db, DbOrTx, Tx } from './database.ts'

/** Requests that may be without a good answer at once. */
const MOST_UNANSWERED = 3
/** Whoever asked that long ago has got its answer, or died over it: no request takes longer. */
const FORGOTTEN_SECONDS = 90

export interface ClientBreaker {
  readonly openedAt: Date
  readonly openUntil: Date
  readonly probes: number
  readonly probeAccountId: number | null
  readonly flag: string
  readonly scope: Scope
  readonly persistence: Persistence
  readonly evidence: string
}

export type ClientGate =
  /** Ask; whatever comes of it is to be told by `clientAnswered` or `openClientBreaker`. */
  | { readonly kind: 'ask' }
  /** Others are asking: look again in a moment. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'open'; readonly breaker: ClientBreaker }

/** `probeUntil`: how long the probe is kept from the others. */
export async function enterClient(
  db: Db,
  clientId: number,
  accountId: number,
  now: Date,
  probeUntil: Date,
): Promise<ClientGate> {
  const { rows } = await sql`
    insert into poststelle.client_breakers as b (oauth_client_id, asked, asked_at) values (${clientId}, 1, ${now})
    on conflict (oauth_client_id) do update set
      asked = case when b.asked_at < ${now}::timestamptz - ${FORGOTTEN_SECONDS} * interval '1 second' then 1 else b.asked + 1 end,
      asked_at = excluded.asked_at,
      open_until = case when b.opened_at is not null then ${probeUntil}::timestamptz end,
      probe_account_id = case when b.opened_at is not null then ${accountId}::bigint end
    where case when b.opened_at is not null then b.open_until <= ${now}
      else b.asked < ${MOST_UNANSWERED} or b.asked_at < ${now}::timestamptz - ${FORGOTTEN_SECONDS} * interval '1 second' end
    returning 1`.execute(db)
  if (rows.length > 0) return { kind: 'ask' }
  const breaker = await loadClientBreaker(db, clientId)
  return breaker ? { kind: 'open', breaker } : { kind: 'busy' }
}

/** Undefined where it is closed. */
export async function loadClientBreaker(db: DbOrTx, clientId: number): Promise<ClientBreaker | undefined> {
  const row = await db
    .selectFrom('client_breakers')
    .selectAll()
    .where('oauth_client_id', '=', clientId)
    .where('opened_at', 'is not', null)
    .executeTakeFirst()
  if (!row?.opened_at || !row.open_until) return undefined
  return {
    openedAt: row.opened_at,
    openUntil: row.open_until,
    probes: row.probes,
    probeAccountId: row.probe_account_id,
    flag: row.flag ?? '',
    scope: SCOPES.find((scope) => scope === row.scope) ?? 'app',
    persistence: PERSISTENCES.find((persistence) => persistence === row.persistence) ?? 'human',
    evidence: row.evidence ?? '',
  }
}

/** The endpoint knows the registration and lets it in, whatever it says of the account. Returns whether the breaker was open. */
export async function clientAnswered(tx: DbOrTx, clientId: number, now: Date): Promise<boolean> {
  const { rows } = await sql<{ was_open: boolean }>`
    with before as (select opened_at from poststelle.client_breakers where oauth_client_id = ${clientId} for update)
    update poststelle.client_breakers set asked = 0, last_ok_at = ${now}, opened_at = null, open_until = null, probes = 0,
      probe_account_id = null, flag = null, scope = null, persistence = null, evidence = null
    from before where oauth_client_id = ${clientId} returning before.opened_at is not null as was_open`.execute(tx)
  return rows[0]?.was_open ?? false
}

/**
 * Whoever asked for one of these accounts is dead, and no answer will come: others need not wait for it. Where one of them had the
 * probe of an open breaker, the next account may have it.
 */
export async function forgetAskers(tx: Tx, accountIds: readonly number[]): Promise<void> {
  if (accountIds.length === 0) return
  await sql`
    with lost as (
      select b.oauth_client_id, count(*) as askers, bool_or(b.probe_account_id = a.id) as probe
      from poststelle.accounts a join poststelle.client_breakers b using (oauth_client_id)
      where a.id = any(${[...accountIds]}) group by b.oauth_client_id
    ), locked as (
      select oauth_client_id from poststelle.client_breakers where oauth_client_id in (select oauth_client_id from lost)
      order by oauth_client_id for update
    )
    update poststelle.client_breakers b set asked = greatest(0, b.asked - lost.askers),
      open_until = case when lost.probe and b.opened_at is not null then least(b.open_until, now()) else b.open_until end
    from locked join lost using (oauth_client_id) where b.oauth_client_id = locked.oauth_client_id`.execute(tx)
}

/** How many requests went out since the last good answer; 0 where there is no row. */
export async function unanswered(db: DbOrTx, clientId: number): Promise<number> {
  const row = await db
    .selectFrom('client_breakers')
    .select('asked')
    .where('oauth_client_id', '=', clientId)
    .executeTakeFirst()
  return row?.asked ?? 0
}

export async function openClientBreaker(tx: Tx, clientId: number, breaker: Omit<ClientBreaker, 'probeAccountId'>) {
  await tx
    .updateTable('client_breakers')
    .set({
      asked: 0,
      opened_at: breaker.openedAt,
      open_until: breaker.openUntil,
      probes: breaker.probes,
      probe_account_id: null,
      flag: breaker.flag,
      scope: breaker.scope,
      persistence: breaker.persistence,
      evidence: breaker.evidence,
    })
    .where('oauth_client_id', '=', clientId)
    .execute()
}

/** Somebody has changed something: one account may ask at once, whatever its clock says, and the waits begin anew. */
export async function probeClientNow(tx: DbOrTx, clientId: number): Promise<void> {
  await sql`
    update poststelle.client_breakers set asked = 0, probes = 0, probe_account_id = null,
      open_until = case when opened_at is not null then now() - interval '1 minute' end
    where oauth_client_id = ${clientId}`.execute(tx)
}

/**
 * Accounts that were refused on account of their registration, whose breaker is closed by now: their token lanes are due, so many
 * of one registration a second, and what is refused no longer is forgotten. Returns how many.
 */
export async function wakeAnsweredClients(db: DbOrTx, perSecond: number): Promise<number> {
  const { numAffectedRows } = await sql`
    with waiting as (
      select l.account_id, row_number() over (partition by a.oauth_client_id order by l.account_id) as place
      from poststelle.grants g
      join poststelle.accounts a on a.id = g.account_id
      join poststelle.client_breakers b on b.oauth_client_id = a.oauth_client_id and b.opened_at is null
      join poststelle.lanes l on l.account_id = g.account_id and l.lane = 'token' and l.lease_token is null
      where g.refusal ->> 'of' = 'client' and l.parked_until is not null
    ), locked as (
      select l.account_id from poststelle.lanes l where l.lane = 'token' and l.account_id in (select account_id from waiting)
      for update skip locked
    )
    update poststelle.lanes l set parked_until = null, dispatched_until = null,
      due_at = now() + (w.place / ${perSecond}::float8) * interval '1 second'
    from locked k join waiting w on w.account_id = k.account_id where l.account_id = k.account_id and l.lane = 'token'`.execute(
    db,
  )
  return Number(numAffectedRows ?? 0)
}
