// Who did what, append-only; each entry's hash covers the one before.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'
import type { ActorKind } from './schema-people.ts'

const SHORTENED = 'audit log shortened'

export interface Actor {
  readonly kind: ActorKind
  readonly name: string
  readonly ip: string | null
}

export interface AuditEntry {
  readonly action: string
  /** "account 12", "outbox 4711", "client 3"; '' where there is none. */
  readonly object?: string
  /** Before and after, counts, names; secrets as fingerprints only. */
  readonly details?: Readonly<Record<string, unknown>>
  readonly reason?: string | null | undefined
}

export async function audit(db: DbOrTx, actor: Actor, entry: AuditEntry): Promise<number> {
  const { id } = await db
    .insertInto('audit_log')
    .values({
      actor_kind: actor.kind,
      actor: actor.name,
      ip: actor.ip,
      action: entry.action,
      object: entry.object ?? '',
      details: JSON.stringify(entry.details ?? {}),
      reason: entry.reason ?? null,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}

export interface AuditRow {
  readonly id: number
  readonly at: Date
  readonly actorKind: ActorKind
  readonly actor: string
  readonly ip: string | null
  readonly action: string
  readonly object: string
  readonly details: Record<string, unknown>
  readonly reason: string | null
}

/** Newest first; `before`: only older ones. */
export async function listAudit(
  db: DbOrTx,
  options: { limit: number; before?: number | undefined; object?: string | undefined; text?: string | undefined },
): Promise<AuditRow[]> {
  const { limit, before, object, text } = options
  const parts = [sql`true`]
  if (before !== undefined) parts.push(sql`id < ${before}`)
  if (object !== undefined) parts.push(sql`object = ${object}`)
  if (text !== undefined) {
    const pattern = `%${text.replace(/[\\%_]/g, '\\$&')}%`
    parts.push(sql`(action ilike ${pattern} or object ilike ${pattern} or actor ilike ${pattern})`)
  }
  const { rows } = await sql<AuditRow>`
    select id, at, actor_kind as "actorKind", actor, ip, action, object, details, reason
    from poststelle.audit_log where ${sql.join(parts, sql` and `)} order by id desc limit ${limit}`.execute(db)
  return rows
}

/**
 * Entries whose hash is not what it should be, or whose predecessor is missing. Goes through all of them. Where the beginning was
 * removed because of its age, the entry that says so names the hash that comes before the first.
 */
export async function verifyAudit(db: DbOrTx): Promise<{ entries: number; broken: number[] }> {
  const { rows } = await sql<{ entries: number; broken: number[] | null }>`
    select count(*)::int as entries, array_agg(id::float8 order by id) filter (where not good) as broken from (
      select a.id, a.hash = poststelle.audit_hash(a)
        and a.previous_hash = coalesce(lag(a.hash) over (order by a.id),
          (select decode(s.details ->> 'last_hash', 'hex') from poststelle.audit_log s where s.action = ${SHORTENED} order by s.id desc limit 1),
          '\\x') as good
      from poststelle.audit_log a) checked`.execute(db)
  return { entries: rows[0]?.entries ?? 0, broken: rows[0]?.broken ?? [] }
}

/** Removes the entries before that, once there is a day's worth of them, and says so in the log. Returns how many. */
export async function shortenAudit(tx: DbOrTx, before: Date): Promise<number> {
  const { rows } = await sql<{ n: number }>`select poststelle.shorten_audit(${before}) as n`.execute(tx)
  return rows[0]?.n ?? 0
}
