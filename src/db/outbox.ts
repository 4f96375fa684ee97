// The outbox as operators look at it: lists by any mixture of conditions, counts per state, one message with all that is known of
// it, and when what waits will go. Reads the views that applications read.

import { sql, type RawBuilder } from 'kysely'
import type { Db, DbOrTx } from './database.ts'
import type { AttemptOutcome, OutboundState, RecipientState } from './schema-outbound.ts'

export const OUTBOUND_STATES = [
  'scheduled',
  'queued',
  'sending',
  'deferred',
  'held',
  'uncertain',
  'sent',
  'partial',
  'failed',
  'expired',
  'bounced',
  'cancelled',
] as const satisfies readonly OutboundState[]

export const HOLD_REASONS = ['manual', 'after_restore', 'account_blocked', 'account_paused', 'rate_limit'] as const
export type HoldReason = (typeof HOLD_REASONS)[number]

/** In the place of a flag: of those that have none. */
const NO_FLAG = 'none'

/** What is not given does not narrow. */
export interface OutboxFilter {
  readonly ids?: readonly number[] | undefined
  readonly accountId?: number | undefined
  readonly states?: readonly OutboundState[] | undefined
  readonly holdReasons?: readonly HoldReason[] | undefined
  /** Of the message or of one of its recipients; 'none': neither has one. */
  readonly flag?: string | undefined
  /** A whole address, or a domain. */
  readonly recipient?: string | undefined
  /** Part of the subject, in any case. */
  readonly subject?: string | undefined
  readonly messageId?: string | undefined
  readonly idempotencyKey?: string | undefined
  /** Accepted before that, or since then. */
  readonly before?: Date | undefined
  readonly since?: Date | undefined
}

export interface OutboxEntry {
  readonly id: number
  readonly account: string
  readonly accountId: number
  readonly state: OutboundState
  readonly holdReason: HoldReason | null
  readonly envelopeFrom: string
  readonly messageId: string
  readonly subject: string | null
  /** Null: it was given in parts, and is not composed yet. */
  readonly sizeBytes: number | null
  readonly idempotencyKey: string | null
  readonly priority: number
  readonly createdAt: Date
  readonly nextAttemptAt: Date | null
  readonly expiresAt: Date
  readonly attempts: number
  readonly repeated: boolean
  readonly finishedAt: Date | null
  readonly lastReply: string | null
  readonly lastFlag: string | null
  /** The first recipient, and how many there are. */
  readonly recipient: string | null
  readonly recipientCount: number
  /** Not before that; null: nothing happens by itself. */
  readonly eta: Date | null
}

const FINAL: readonly OutboundState[] = ['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled']

const like = (text: string): string => `%${text.replace(/[\\%_]/g, '\\$&')}%`

/** For a query on the view outbox as o. */
export function outboxConditions(filter: OutboxFilter): RawBuilder<unknown> {
  const { ids, states, holdReasons, flag, recipient } = filter
  const parts = [sql`true`]
  if (ids) parts.push(sql`o.id = any(${[...ids]}::bigint[])`)
  if (filter.accountId !== undefined) parts.push(sql`o.account_id = ${filter.accountId}`)
  // the state is computed, and no index has it: that a message waits has one
  const waiting = states ? !states.some((state) => FINAL.includes(state)) : holdReasons !== undefined
  if (waiting) parts.push(sql`o.finished_at is null`)
  if (states) parts.push(sql`o.state = any(${[...states]}::text[])`)
  if (holdReasons) parts.push(sql`o.hold_reason = any(${[...holdReasons]}::text[])`)
  if (flag === NO_FLAG) parts.push(sql`(o.last_flag is null and not ${ofRecipient(sql`r.flag is not null`)})`)
  else if (flag !== undefined) parts.push(sql`(o.last_flag = ${flag} or ${ofRecipient(sql`r.flag = ${flag}`)})`)
  if (recipient?.includes('@')) parts.push(ofRecipient(sql`lower(r.address) = lower(${recipient})`))
  else if (recipient !== undefined)
    parts.push(ofRecipient(sql`lower(split_part(r.address, '@', 2)) = lower(${recipient})`))
  if (filter.subject !== undefined) parts.push(sql`o.subject ilike ${like(filter.subject)}`)
  if (filter.messageId !== undefined) parts.push(sql`o.message_id = any(${bracketed(filter.messageId)}::text[])`)
  if (filter.idempotencyKey !== undefined) parts.push(sql`o.idempotency_key = ${filter.idempotencyKey}`)
  if (filter.before) parts.push(sql`o.created_at < ${filter.before}`)
  if (filter.since) parts.push(sql`o.created_at >= ${filter.since}`)
  return sql.join(parts, sql` and `)
}

const ofRecipient = (condition: RawBuilder<unknown>): RawBuilder<unknown> =>
  sql`exists (select from poststelle.outbound_recipients r where r.message_id = o.id and ${condition})`

/** A Message-ID is given with or without its brackets. */
const bracketed = (messageId: string): string[] => [messageId, `<${messageId}>`]

const entryColumns = sql`o.id, o.account, o.account_id as "accountId", o.state, o.hold_reason as "holdReason",
  o.envelope_from as "envelopeFrom", o.message_id as "messageId", o.subject, o.size_bytes as "sizeBytes",
  o.idempotency_key as "idempotencyKey", o.priority, o.created_at as "createdAt", o.next_attempt_at as "nextAttemptAt",
  o.expires_at as "expiresAt", o.attempts, o.repeated, o.finished_at as "finishedAt", o.last_reply as "lastReply",
  o.last_flag as "lastFlag"`

/** Newest first; `afterId`: only older ones. One more query says when those that wait will go. */
export async function listOutbox(
  db: DbOrTx,
  filter: OutboxFilter,
  page: { limit: number; afterId?: number | undefined },
): Promise<OutboxEntry[]> {
  const after = page.afterId === undefined ? sql`true` : sql`o.id < ${page.afterId}`
  const { rows } = await sql<OutboxEntry>`
    select o.*, f.address as recipient, coalesce(f.count, 0) as "recipientCount", case when o.state = 'sending' then now() end as eta
    from (select ${entryColumns} from poststelle.outbox o where ${outboxConditions(filter)} and ${after}
        order by o.id desc limit ${page.limit}) o
      left join lateral (select min(r.address) filter (where r.ordinal = 1) as address, count(*) as count
        from poststelle.outbound_recipients r where r.message_id = o.id) f on true
    order by o.id desc`.execute(db)
  const etas = await etasOf(db, rows)
  return rows.map((row) => ({ ...row, eta: row.eta ?? etas.get(row.id) ?? null }))
}

/** One sort per lane, whatever the number of messages asked for. */
async function etasOf(
  db: DbOrTx,
  entries: readonly Pick<OutboxEntry, 'id' | 'accountId' | 'finishedAt'>[],
): Promise<Map<number, Date>> {
  const waiting = entries.filter(({ finishedAt }) => finishedAt === null)
  if (waiting.length === 0) return new Map()
  const accounts = [...new Set(waiting.map(({ accountId }) => accountId))]
  const { rows } = await sql<{ id: number; eta: Date }>`
    select e.message_id as id, e.eta from unnest(${accounts}::bigint[]) a (id) cross join lateral poststelle.lane_etas(a.id) e
    where e.message_id = any(${waiting.map(({ id }) => id)}::bigint[])`.execute(db)
  return new Map(rows.map(({ id, eta }) => [id, eta]))
}

export interface StateCount {
  readonly state: OutboundState
  readonly holdReason: HoldReason | null
  readonly count: number
}

export async function countOutbox(db: DbOrTx, filter: OutboxFilter): Promise<StateCount[]> {
  const { rows } = await sql<StateCount>`
    select o.state, o.hold_reason as "holdReason", count(*) as count from poststelle.outbox o
    where ${outboxConditions(filter)} group by o.state, o.hold_reason
    order by array_position(${[...OUTBOUND_STATES]}::text[], o.state), o.hold_reason`.execute(db)
  return rows
}

export interface OutboxRecipient {
  readonly address: string
  readonly state: RecipientState
  readonly replyCode: number | null
  readonly enhancedCode: string | null
  readonly reply: string | null
  readonly flag: string | null
  readonly updatedAt: Date
}

export interface DeliveryAttempt {
  readonly number: number
  readonly startedAt: Date
  readonly finishedAt: Date | null
  readonly phase: 'claimed' | 'handing_over' | 'done'
  readonly outcome: AttemptOutcome | null
  readonly step: string | null
  readonly reply: string | null
  readonly flag: string | null
  /** The dialogue, without secrets. */
  readonly transcript: string | null
}

export interface OutboxDetail extends OutboxEntry {
  readonly recipients: readonly OutboxRecipient[]
  /** Oldest first. */
  readonly deliveryAttempts: readonly DeliveryAttempt[]
  /** What keeps the account from sending, oldest first. */
  readonly accountFlags: readonly { flag: string; evidence: string }[]
}

export async function loadOutboxMessage(db: Db, id: number): Promise<OutboxDetail | undefined> {
  const [entry] = await listOutbox(db, { ids: [id] }, { limit: 1 })
  if (!entry) return undefined
  const recipients = await sql<OutboxRecipient>`
    select r.address, r.state, r.reply_code as "replyCode", r.enhanced_code as "enhancedCode", r.reply, r.flag,
      r.updated_at as "updatedAt"
    from poststelle.outbound_recipients r where r.message_id = ${id} order by r.ordinal`.execute(db)
  const attempts = await sql<DeliveryAttempt>`
    select t.number, t.started_at as "startedAt", t.finished_at as "finishedAt", t.phase, t.outcome, t.step, t.reply, t.flag,
      t.transcript
    from poststelle.outbox_attempts t where t.message_id = ${id} order by t.number`.execute(db)
  const accountFlags = await sql<OutboxDetail['accountFlags'][number]>`
    select f.flag, f.evidence from poststelle.health_flags f
    where f.account_id = ${entry.accountId} and f.direction = 'send' and f.cleared_at is null order by f.since, f.id`.execute(
    db,
  )
  return { ...entry, recipients: recipients.rows, deliveryAttempts: attempts.rows, accountFlags: accountFlags.rows }
}
