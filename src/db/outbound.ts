// Outbound messages: claimed under the lease of their send lane, every attempt on record, every outcome settled once.

import { sql } from 'kysely'
import { LeaseLost } from '../base/failure.ts'
import type { Db, DbOrTx, Tx } from './database.ts'
import { holdLease, type Lease } from './lanes.ts'
import type { AttemptOutcome, OutboundState, RecipientState, UncertainPolicy } from './schema.ts'

export interface OutboundRecipient {
  readonly ordinal: number
  readonly address: string
  readonly state: RecipientState
}

export interface ClaimedMessage {
  readonly id: number
  /** Number of this attempt, from 1. */
  readonly attempt: number
  /** Attempts that count for the schedule, this one included. */
  readonly attempts: number
  readonly envelopeFrom: string
  readonly sizeBytes: number
  readonly repeated: boolean
  readonly expiresAt: Date
  readonly recipients: readonly OutboundRecipient[]
}

export interface RecipientUpdate {
  readonly ordinal: number
  readonly state: RecipientState
  readonly code: number | null
  readonly enhancedCode: string | null
  readonly reply: string
  readonly flag: string | null
}

export interface Settlement {
  readonly state: OutboundState
  readonly nextAttemptAt: Date | null
  /** The attempt was not the message's fault: it does not count. */
  readonly giveBack: boolean
  readonly outcome: AttemptOutcome
  readonly recipients: readonly RecipientUpdate[]
  readonly step: string
  readonly reply: string
  readonly flag: string | null
  readonly transcript: string | null
}

const WAITING = ['scheduled', 'queued', 'deferred', 'uncertain'] satisfies OutboundState[]

/**
 * Whoever holds the lane's lease knows that messages still marked as sending belong to a worker that is gone: those whose
 * final dot may have left become uncertain, the others wait again.
 */
export async function recoverOrphans(
  db: Db,
  lease: Lease,
  uncertain: { policy: UncertainPolicy; repeatAt: Date },
): Promise<{ uncertain: number; returned: number }> {
  return await db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    const orphans = await sql<{ uncertain: boolean }>`
      with orphan as (
        select m.id, coalesce(a.phase = 'handing_over', false) as uncertain, a.number
        from poststelle.outbound_messages m
          left join poststelle.delivery_attempts a on a.message_id = m.id and a.finished_at is null
        where m.account_id = ${lease.accountId} and m.state = 'sending' for update of m
      ), attempt as (
        update poststelle.delivery_attempts a
        set finished_at = now(), outcome = case when o.uncertain then 'uncertain' else 'returned' end,
          reply = 'the process that sent it ended'
        from orphan o where a.message_id = o.id and a.number = o.number
      )
      update poststelle.outbound_messages m
      set state = case when o.uncertain then 'uncertain' else 'queued' end,
        next_attempt_at = case when not o.uncertain then now() 
          when ${uncertain.policy} = 'retry' or (${uncertain.policy} = 'retry_once' and not m.repeated)
          then ${uncertain.repeatAt}::timestamptz end,
        attempts = m.attempts - case when o.uncertain then 0 else 1 end,
        last_flag = case when o.uncertain then 'outcome_unknown' else m.last_flag end
      from orphan o where m.id = o.id
      returning o.uncertain`.execute(tx)
    const unknown = orphans.rows.filter((row) => row.uncertain).length
    return { uncertain: unknown, returned: orphans.rows.length - unknown }
  })
}

/** Claims due messages, most urgent first, and opens an attempt for each. */
export async function claimMessages(db: Db, lease: Lease, limit: number): Promise<ClaimedMessage[]> {
  return await db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    await expireMessages(tx, lease.accountId)
    const { rows } = await sql<{
      id: number
      attempt: number
      attempts: number
      envelope_from: string
      size_bytes: number
      repeated: boolean
      expires_at: Date
      recipients: OutboundRecipient[]
    }>`
      with due as (
        select id from poststelle.outbound_messages
        where account_id = ${lease.accountId} and state in ('scheduled', 'queued', 'deferred', 'uncertain') and next_attempt_at <= now()
        order by priority desc, next_attempt_at, id limit ${limit} for update skip locked
      ), claimed as (
        update poststelle.outbound_messages m
        set state = 'sending', attempts = m.attempts + 1, repeated = m.repeated or m.state = 'uncertain'
        from due where m.id = due.id
        returning m.*
      ), attempt as (
        insert into poststelle.delivery_attempts (message_id, number)
        select c.id, coalesce((select max(a.number) from poststelle.delivery_attempts a where a.message_id = c.id), 0) + 1 from claimed c
        returning message_id, number
      )
      select c.id, a.number as attempt, c.attempts, c.envelope_from, c.size_bytes, c.repeated, c.expires_at,
        (select jsonb_agg(jsonb_build_object('ordinal', r.ordinal, 'address', r.address, 'state', r.state) order by r.ordinal)
          from poststelle.outbound_recipients r where r.message_id = c.id) as recipients
      from claimed c join attempt a on a.message_id = c.id order by c.priority desc, c.next_attempt_at, c.id`.execute(
      tx,
    )
    return rows.map((row) => ({
      id: row.id,
      attempt: row.attempt,
      attempts: row.attempts,
      envelopeFrom: row.envelope_from,
      sizeBytes: row.size_bytes,
      repeated: row.repeated,
      expiresAt: row.expires_at,
      recipients: row.recipients,
    }))
  })
}

/** Only what its recipients' servers have deferred: mail that waited for its account is tried, however late. */
async function expireMessages(tx: Tx, accountId: number): Promise<void> {
  await sql`
    update poststelle.outbound_messages m
    set finished_at = now(), next_attempt_at = null, state = case when exists (select from poststelle.outbound_recipients r
      where r.message_id = m.id and r.state = 'accepted') then 'partial' else 'expired' end
    where account_id = ${accountId} and state = 'deferred' and attempts > 1 and next_attempt_at <= now()
      and expires_at <= now()`.execute(tx)
}

/** The body in pieces, in constant memory. */
export async function* readOutboundBody(db: Db, { id: messageId, sizeBytes }: ClaimedMessage): AsyncGenerator<Buffer> {
  let bytes = 0
  for (let chunk = 0; ; chunk++) {
    const row = await db
      .selectFrom('outbound_bodies')
      .select('bytes')
      .where('message_id', '=', messageId)
      .where('chunk', '=', chunk)
      .executeTakeFirst()
    if (!row) break
    bytes += row.bytes.length
    yield row.bytes
  }
  // before the final dot: a mail that has lost a piece is not sent as a shorter one
  if (bytes !== sizeBytes)
    throw new Error(`message ${messageId} has ${bytes} bytes in the database instead of ${sizeBytes}`)
}

/** The point of no return, committed before the final dot may leave. Throws LeaseLost: then it must not. */
export async function markHandingOver(db: Db, lease: Lease, message: ClaimedMessage): Promise<void> {
  const { numAffectedRows } = await sql`
    update poststelle.delivery_attempts a set phase = 'handing_over'
    from poststelle.lanes l
    where a.message_id = ${message.id} and a.number = ${message.attempt} and a.finished_at is null
      and l.account_id = ${lease.accountId} and l.lane = ${lease.lane} and l.lease_token = ${lease.token}
      and l.lease_until > now()`.execute(db)
  if (!numAffectedRows) throw new LeaseLost(`the send lane of account ${lease.accountId} was taken over`)
}

/**
 * Writes what became of an attempt. The attempt settles once, but for one: what another worker
 * took for uncertain is corrected by the reply when it comes after all. Throws LeaseLost where it was settled otherwise.
 */
export async function settleAttempt(db: DbOrTx, message: ClaimedMessage, settlement: Settlement): Promise<void> {
  const s = settlement
  const final = !(WAITING as OutboundState[]).includes(s.state) && s.state !== 'held' && s.state !== 'sending'
  const { numAffectedRows } = await sql`
    with attempt as (
      update poststelle.delivery_attempts
      set finished_at = now(), outcome = ${s.outcome}, phase = case when ${s.outcome} in ('sent', 'partial') then 'done' else phase end,
        step = ${s.step}, reply = ${storable(s.reply)}, flag = ${s.flag}, transcript = ${s.transcript === null ? null : storable(s.transcript)}
      where message_id = ${message.id} and number = ${message.attempt} and (finished_at is null or (outcome = 'uncertain'
        and not exists (select from poststelle.delivery_attempts later where later.message_id = ${message.id} and later.number > ${message.attempt})))
      returning message_id
    ), recipient as (
      update poststelle.outbound_recipients r
      set state = u.state, reply_code = u.code, enhanced_code = u.enhanced_code, reply = u.reply, flag = u.flag, updated_at = now()
      from attempt, unnest(${s.recipients.map((r) => r.ordinal)}::int[], ${s.recipients.map((r) => r.state)}::text[],
        ${s.recipients.map((r) => r.code)}::int[], ${s.recipients.map((r) => r.enhancedCode)}::text[],
        ${s.recipients.map((r) => storable(r.reply))}::text[], ${s.recipients.map((r) => r.flag)}::text[])
        u (ordinal, state, code, enhanced_code, reply, flag)
      where r.message_id = attempt.message_id and r.ordinal = u.ordinal
    )
    update poststelle.outbound_messages m
    set state = ${s.state}, next_attempt_at = ${s.nextAttemptAt}, attempts = m.attempts - ${s.giveBack ? 1 : 0},
      finished_at = ${final ? sql`now()` : sql`null`}, last_reply = ${storable(s.reply)}, last_flag = ${s.flag}
    from attempt where m.id = attempt.message_id and m.state in ('sending', 'uncertain')`.execute(db)
  if (!numAffectedRows)
    throw new LeaseLost(`attempt ${message.attempt} of message ${message.id} was settled by another worker`)
}

/** A server's words as Postgres can keep them: no NUL, whole characters, and not without end. */
const storable = (text: string): string =>
  text
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]+/g, ' ')
    .toWellFormed()
    .slice(0, 20_000)

/** When the lane has something to do next; null: nothing waits. */
export async function nextDueAt(db: DbOrTx, accountId: number): Promise<Date | null> {
  const row = await db
    .selectFrom('outbound_messages')
    .select((eb) => eb.fn.min('next_attempt_at').as('at'))
    .where('account_id', '=', accountId)
    .where('state', 'in', WAITING)
    .executeTakeFirst()
  return row?.at ?? null
}
