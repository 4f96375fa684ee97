// Sessions of operators, tokens of programs, and how often logins were refused.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'
import type { PersonRole } from './schema-people.ts'

export interface Session {
  readonly id: number
  readonly operatorId: number
  readonly name: string
  readonly role: PersonRole
  readonly mayReadMail: boolean
  readonly language: 'de' | 'en' | null
}

export async function createSession(
  db: DbOrTx,
  about: { tokenHash: Buffer; operatorId: number; lifeMs: number; ip: string; userAgent: string },
): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.sessions (token_hash, operator_id, expires_at, ip, user_agent)
    values (${about.tokenHash}, ${about.operatorId}, now() + ${about.lifeMs} * interval '1 millisecond', ${about.ip},
      ${about.userAgent.slice(0, 300)}) returning id`.execute(db)
  return rows[0]?.id ?? 0
}

/** A living session of somebody who may log in. It is written down once a minute that it was used. */
export async function useSession(db: DbOrTx, tokenHash: Buffer, idleMs: number): Promise<Session | undefined> {
  const { rows } = await sql<Session & { stale: boolean }>`
    select s.id, o.id as "operatorId", o.name, o.role, o.may_read_mail as "mayReadMail", o.language,
      s.seen_at < now() - interval '1 minute' as stale
    from poststelle.sessions s join poststelle.operators o on o.id = s.operator_id and o.disabled_at is null
    where s.token_hash = ${tokenHash} and s.ended_at is null and s.expires_at > now()
      and s.seen_at > now() - ${idleMs} * interval '1 millisecond'`.execute(db)
  const [found] = rows
  if (!found) return undefined
  const { stale, ...session } = found
  if (stale) await sql`update poststelle.sessions set seen_at = now() where id = ${session.id}`.execute(db)
  return session
}

/** Ends sessions: one, or all of an operator but one. Returns how many. */
export async function endSessions(
  db: DbOrTx,
  which: { id: number; operatorId?: number } | { operatorId: number; except?: number },
): Promise<number> {
  const where =
    'id' in which
      ? sql`id = ${which.id} and ${which.operatorId === undefined ? sql`true` : sql`operator_id = ${which.operatorId}`}`
      : sql`operator_id = ${which.operatorId} and id <> ${which.except ?? 0}`
  const { numAffectedRows } = await sql`
    update poststelle.sessions set ended_at = now() where ended_at is null and ${where}`.execute(db)
  return Number(numAffectedRows ?? 0)
}

export interface SessionRow {
  readonly id: number
  readonly operator: string
  readonly operatorId: number
  readonly createdAt: Date
  readonly seenAt: Date
  readonly expiresAt: Date
  readonly ip: string
  readonly userAgent: string
}

export async function listSessions(db: DbOrTx, idleMs: number, operatorId?: number): Promise<SessionRow[]> {
  const { rows } = await sql<SessionRow>`
    select s.id, o.name as operator, o.id as "operatorId", s.created_at as "createdAt", s.seen_at as "seenAt", s.expires_at as "expiresAt",
      s.ip, s.user_agent as "userAgent"
    from poststelle.sessions s join poststelle.operators o on o.id = s.operator_id
    where s.ended_at is null and s.expires_at > now() and s.seen_at > now() - ${idleMs} * interval '1 millisecond'
      and ${operatorId === undefined ? sql`true` : sql`o.id = ${operatorId}`} order by s.seen_at desc`.execute(db)
  return rows
}

/** What is over for long is of no use. */
export async function sweepSessions(db: DbOrTx): Promise<void> {
  await sql`delete from poststelle.sessions where coalesce(ended_at, expires_at) < now() - interval '30 days'`.execute(
    db,
  )
  await sql`delete from poststelle.login_failures where seen_at < now() - interval '1 day'`.execute(db)
  await sql`delete from poststelle.invitations where expires_at < now() - interval '30 days'`.execute(db)
}

/** The latest of the instants until which these may not log in. */
export async function loginBlockedUntil(db: DbOrTx, keys: readonly string[]): Promise<Date | null> {
  const { rows } = await sql<{ until: Date | null }>`
    select max(blocked_until) as until from poststelle.login_failures
    where key = any(${[...keys]}::text[]) and blocked_until > now()`.execute(db)
  return rows[0]?.until ?? null
}

/** From the sixth refusal on each one doubles the wait, up to a quarter of an hour. An hour without one begins anew. */
export async function noteRefusedLogin(db: DbOrTx, keys: readonly string[]): Promise<void> {
  await sql`
    insert into poststelle.login_failures as f (key, count, seen_at) select key, 1, now() from unnest(${[...keys]}::text[]) key order by key
    on conflict (key) do update set seen_at = now(),
      count = case when f.seen_at < now() - interval '1 hour' then 1 else f.count + 1 end,
      blocked_until = case when f.seen_at >= now() - interval '1 hour' and f.count >= 5
        then now() + least(900, power(2, least(f.count - 5, 10))) * interval '1 second' end`.execute(db)
}

export async function forgiveLogin(db: DbOrTx, key: string): Promise<void> {
  await sql`delete from poststelle.login_failures where key = ${key}`.execute(db)
}

export interface ApiToken {
  readonly id: number
  readonly label: string
  readonly prefix: string
  readonly role: PersonRole
  readonly mayReadMail: boolean
  readonly maySend: boolean
  readonly createdBy: string
  readonly createdAt: Date
  readonly expiresAt: Date | null
  readonly lastUsedAt: Date | null
}

const tokenColumns = sql<never>`id, label, prefix, role, may_read_mail as "mayReadMail", may_send as "maySend", created_by as "createdBy",
  created_at as "createdAt", expires_at as "expiresAt", last_used_at as "lastUsedAt"`

export async function createToken(
  db: DbOrTx,
  about: Pick<ApiToken, 'label' | 'prefix' | 'role' | 'mayReadMail' | 'maySend' | 'createdBy' | 'expiresAt'> & {
    tokenHash: Buffer
  },
): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.api_tokens (label, token_hash, prefix, role, may_read_mail, may_send, created_by, expires_at)
    values (${about.label}, ${about.tokenHash}, ${about.prefix}, ${about.role}, ${about.mayReadMail}, ${about.maySend},
      ${about.createdBy}, ${about.expiresAt}) returning id`.execute(db)
  return rows[0]?.id ?? 0
}

export async function useToken(db: DbOrTx, tokenHash: Buffer): Promise<ApiToken | undefined> {
  const { rows } = await sql<ApiToken>`
    select ${tokenColumns} from poststelle.api_tokens
    where token_hash = ${tokenHash} and revoked_at is null and (expires_at is null or expires_at > now())`.execute(db)
  const [token] = rows
  if (token && (!token.lastUsedAt || Date.now() - token.lastUsedAt.getTime() > 60_000))
    await sql`update poststelle.api_tokens set last_used_at = now() where id = ${token.id}`.execute(db)
  return token
}

export async function listTokens(db: DbOrTx): Promise<ApiToken[]> {
  return (
    await sql<ApiToken>`select ${tokenColumns} from poststelle.api_tokens where revoked_at is null order by id`.execute(
      db,
    )
  ).rows
}

export async function revokeToken(db: DbOrTx, id: number): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.api_tokens set revoked_at = now() where id = ${id} and revoked_at is null`.execute(db)
  return Boolean(numAffectedRows)
}
