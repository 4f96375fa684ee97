// How long what is over is kept, and the removal of what is older. Removed is only what nobody has to do anything about any more: mail
// that was acknowledged and is whole, messages that are through, transcripts of attempts that ended, the beginning of the audit log.

import { sql, type RawBuilder } from 'kysely'
import { DAY_MS, later } from '../base/clock.ts'
import { audit, shortenAudit, type Actor } from './audit.ts'
import type { Db, DbOrTx, Tx } from './database.ts'

export const RETAINED = ['received', 'sent', 'transcripts', 'audit'] as const
export type Retained = (typeof RETAINED)[number]

/** One value for each. */
export const ofEach = <T>(value: (of: Retained) => T): Record<Retained, T> => ({
  received: value('received'),
  sent: value('sent'),
  transcripts: value('transcripts'),
  audit: value('audit'),
})

/** Days; null: for ever. */
export type RetentionDays = Readonly<Record<Retained, number | null>>

/** Mail of the last weeks is what habits, charts and "needs attention" are made of. */
export const FEWEST_DAYS: Readonly<Record<Retained, number>> = { received: 30, sent: 30, transcripts: 1, audit: 90 }
export const MOST_DAYS = 36_500

export interface LegalHold {
  readonly reason: string
  readonly since: Date
  readonly by: string
}

export interface Retention {
  readonly days: RetentionDays
  /** Nothing is removed while it is there. */
  readonly hold: LegalHold | null
  readonly removed: Readonly<Record<Retained, number>>
  readonly sweptAt: Date | null
}

interface Row {
  received_days: number | null
  sent_days: number | null
  transcripts_days: number | null
  audit_days: number | null
  hold_reason: string | null
  hold_since: Date | null
  hold_by: string | null
  removed_received: number
  removed_sent: number
  removed_transcripts: number
  removed_audit: number
  swept_at: Date | null
}

export async function readRetention(db: DbOrTx, options: { lock?: boolean } = {}): Promise<Retention> {
  const { rows } = await sql<Row>`
    select * from poststelle.retention ${options.lock === true ? sql`for update` : sql``}`.execute(db)
  const [row] = rows
  if (!row) throw new Error('the table retention is empty')
  return retentionOf(row)
}

const retentionOf = (row: Row): Retention => ({
  days: ofEach((of) => row[`${of}_days`]),
  hold:
    row.hold_reason !== null && row.hold_since && row.hold_by !== null
      ? { reason: row.hold_reason, since: row.hold_since, by: row.hold_by }
      : null,
  removed: ofEach((of) => row[`removed_${of}`]),
  sweptAt: row.swept_at,
})

export async function saveRetentionDays(tx: Tx, days: RetentionDays): Promise<void> {
  await sql`
    update poststelle.retention set received_days = ${days.received}, sent_days = ${days.sent}, transcripts_days = ${days.transcripts},
      audit_days = ${days.audit}`.execute(tx)
}

/** Null: there is none any more. What is being removed at this moment is removed before this returns, and nothing after it. */
export async function saveLegalHold(tx: Tx, hold: Omit<LegalHold, 'since'> | null): Promise<void> {
  await sql`
    update poststelle.retention set hold_reason = ${hold?.reason ?? null}, hold_by = ${hold?.by ?? null},
      hold_since = case when ${hold !== null} then now() end`.execute(tx)
}

interface Selection {
  readonly before: Date
  /** Accounts whose server is to delete mail first; see `accountsThatWait`. */
  readonly waiting: readonly number[]
}

/** What is old enough. Each state of messages that are through has an index by `finished_at`. */
const OLD: Readonly<Record<Exclude<Retained, 'audit'>, (of: Selection, limit: number) => RawBuilder<unknown>>> = {
  received: ({ before, waiting }, limit) => sql`
    select m.id from poststelle.messages m where m.acknowledged_at < ${before} and m.complete and m.account_id <> all(${[...waiting]}::bigint[])
      and not exists (select from poststelle.parse_queue q where q.message_id = m.id)
    order by m.acknowledged_at limit ${limit}`,
  sent: ({ before }, limit) => sql`
    (select id from poststelle.outbound_messages where state in ('sent', 'partial', 'bounced') and finished_at < ${before}
      order by finished_at limit ${limit})
    union all (select id from poststelle.outbound_messages where state in ('failed', 'expired') and finished_at < ${before}
      order by finished_at limit ${limit})
    union all (select id from poststelle.outbound_messages where state = 'cancelled' and finished_at < ${before}
      order by finished_at limit ${limit})
    limit ${limit}`,
  transcripts: ({ before }, limit) => sql`
    select message_id, number from poststelle.delivery_attempts
    where started_at < ${before} and finished_at < ${before} and transcript is not null limit ${limit}`,
}

/**
 * Accounts whose server keeps mail until it is acknowledged here, and has not been told yet: what is here is the only witness of
 * that, and stays until the server has deleted its copies.
 */
async function accountsThatWait(db: DbOrTx, before: Date): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select distinct u.account_id as id from poststelle.maildrops d
      join poststelle.maildrop_uidls u on u.account_id = d.account_id and u.state in ('stored', 'delete_intent') and u.gone_at is null
      join poststelle.messages m on m.id = u.message_id
    where d.delete_after_ack and m.acknowledged_at < ${before}`.execute(db)
  return rows.map(({ id }) => id)
}

async function selectionOf(db: DbOrTx, of: Retained, days: number, now: Date): Promise<Selection> {
  const before = later(now, -days * DAY_MS)
  return { before, waiting: of === 'received' ? await accountsThatWait(db, before) : [] }
}

/** What would go if these days held from now on, each at most `most + 1`; null where nothing ever goes. */
export async function countOld(
  db: DbOrTx,
  days: RetentionDays,
  now: Date,
  most: number,
): Promise<Record<Retained, number | null>> {
  const count = async (of: Retained): Promise<number | null> => {
    if (days[of] === null) return null
    const selection = await selectionOf(db, of, days[of], now)
    const old =
      of === 'audit'
        ? sql`select from poststelle.audit_log where at < ${selection.before} limit ${most + 1}`
        : OLD[of](selection, most + 1)
    const { rows } = await sql<{ n: number }>`select count(*) as n from (${old}) old`.execute(db)
    return rows[0]?.n ?? 0
  }
  const counts = new Map(await Promise.all(RETAINED.map(async (of) => [of, await count(of)] as const)))
  return ofEach((of) => counts.get(of) ?? null)
}

export interface Kept {
  readonly bytes: number
  readonly oldestAt: Date | null
}

/** What is there of each, with its indexes. */
export async function measureKept(db: DbOrTx): Promise<Record<Retained, Kept>> {
  const size = (tables: readonly string[]) =>
    sql`(select sum(pg_total_relation_size(('poststelle.' || name)::regclass)) from unnest(${[...tables]}::text[]) name)::bigint`
  const { rows } = await sql<{ of: Retained; bytes: number; oldest: Date | null }>`
    select 'received' as of, ${size(['messages', 'message_bodies', 'message_contents', 'attachments', 'blobs', 'blob_chunks', 'delivery_reports'])} as bytes,
      (select received_at from poststelle.messages order by id limit 1) as oldest
    union all select 'sent', ${size(['outbound_messages', 'outbound_bodies', 'outbound_recipients', 'outbound_events'])},
      (select created_at from poststelle.outbound_messages order by id limit 1)
    union all select 'transcripts', ${size(['delivery_attempts'])},
      (select min(started_at) from (select started_at from poststelle.delivery_attempts order by message_id limit 1) a)
    union all select 'audit', ${size(['audit_log'])}, (select at from poststelle.audit_log order by id limit 1)`.execute(
    db,
  )
  return ofEach((name) => {
    const row = rows.find(({ of }) => of === name)
    return { bytes: row?.bytes ?? 0, oldestAt: row?.oldest ?? null }
  })
}

const BATCH = 200
const ACTOR: Actor = { kind: 'system', name: 'retention', ip: null }

/**
 * Removes what is too old, in short transactions. Each looks at the setting with its row locked: a legal hold stops the next one,
 * and of several processes one does the work. Returns what was removed; `stopped` is asked between two of them.
 */
export async function sweepRetention(
  db: Db,
  now: Date,
  stopped: () => boolean = () => false,
): Promise<Record<Retained, number>> {
  const removed = ofEach(() => 0)
  const { days, hold } = await readRetention(db)
  if (hold) return removed
  for (const of of RETAINED) {
    if (days[of] === null) continue
    const selection = await selectionOf(db, of, days[of], now)
    while (!stopped()) {
      const n = await removeSome(db, of, days[of], selection)
      removed[of] += n
      if (n === 0) break
    }
  }
  if (!stopped()) await sql`update poststelle.retention set swept_at = ${now}`.execute(db)
  const { audit: shortened, ...others } = removed
  // a shortened log says so itself
  if (Object.values(others).some((n) => n > 0)) await audit(db, ACTOR, { action: 'old data removed', details: others })
  return { ...others, audit: shortened }
}

async function removeSome(db: Db, of: Retained, days: number, selection: Selection): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    const { rows } = await sql<Row>`select * from poststelle.retention for update skip locked`.execute(tx)
    const current = rows[0] && retentionOf(rows[0])
    // somebody else is at it, or has changed it: the next sweep does what is left
    if (!current || current.hold || current.days[of] !== days) return 0
    const n = of === 'audit' ? await shortenAudit(tx, selection.before) : await remove(tx, of, selection)
    const column = sql.ref(`removed_${of}`)
    if (n > 0) await sql`update poststelle.retention set ${column} = ${column} + ${n}`.execute(tx)
    return n
  })
}

async function remove(tx: Tx, of: Exclude<Retained, 'audit'>, selection: Selection): Promise<number> {
  const { numAffectedRows } = await REMOVAL[of](OLD[of](selection, BATCH)).execute(tx)
  return Number(numAffectedRows ?? 0)
}

/** Statements that remove what `old` selects. */
const REMOVAL: Readonly<Record<Exclude<Retained, 'audit'>, (old: RawBuilder<unknown>) => RawBuilder<unknown>>> = {
  // whoever parses it anew, or files a report, has the row locked
  received: (old) => sql`
    with old as (${old}), locked as (select id from poststelle.messages where id in (select id from old) order by id for update skip locked)
    delete from poststelle.messages m using locked where m.id = locked.id`,
  sent: (old) => sql`
    with old as (${old}),
      locked as (select id from poststelle.outbound_messages where id in (select id from old) order by id for update skip locked),
      events as (delete from poststelle.outbound_events e using locked where e.message_id = locked.id)
    delete from poststelle.outbound_messages m using locked where m.id = locked.id`,
  transcripts: (old) => sql`
    with old as (${old})
    update poststelle.delivery_attempts a set transcript = null from old
    where a.message_id = old.message_id and a.number = old.number`,
}
