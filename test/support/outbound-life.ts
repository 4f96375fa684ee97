// Outbound mail at any point of its life, by moving its rows: for tests of what follows, not of how it got there.

import { sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import type { OutboundEvent, OutboundState, RecipientState } from '../../src/db/schema-outbound.ts'

export interface MailIdea {
  readonly account: string
  readonly envelopeFrom?: string
  readonly to?: readonly string[]
  /** With angle brackets; must be given where it is spoken of. */
  readonly messageId?: string
}

export async function submitMail(db: Db, idea: MailIdea): Promise<number> {
  const { account, envelopeFrom = account, to = ['kunde@there.example'], messageId } = idea
  const id = messageId === undefined ? '' : `Message-ID: ${messageId}\r\n`
  return await submitMessage(db, {
    account,
    envelopeFrom,
    recipients: to,
    raw: Buffer.from(`${id}From: ${account}\r\nSubject: Angebot\r\n\r\nText\r\n`),
    idempotencyKey: null,
  })
}

const FINAL: readonly OutboundState[] = ['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled']

/** As a claim, a settlement or an operator would; recipients are given in the order in which they were submitted. */
export async function move(
  db: Db,
  id: number,
  state: OutboundState,
  over: { recipients?: readonly RecipientState[]; reply?: string } = {},
): Promise<void> {
  await db.transaction().execute(async (tx) => {
    for (const [i, recipient] of (over.recipients ?? []).entries())
      await sql`
        update poststelle.outbound_recipients r set state = ${recipient} where message_id = ${id} and ordinal =
          (select ordinal from poststelle.outbound_recipients where message_id = ${id} order by ordinal offset ${i} limit 1)`.execute(
        tx,
      )
    if (state === 'sending')
      await sql`
        insert into poststelle.delivery_attempts (message_id, number) select ${id}, count(*) + 1 from poststelle.delivery_attempts
        where message_id = ${id}`.execute(tx)
    else
      await sql`
        update poststelle.delivery_attempts set finished_at = now(), outcome = ${state === 'uncertain' ? 'uncertain' : 'returned'}
        where message_id = ${id} and finished_at is null`.execute(tx)
    await sql`
      update poststelle.outbound_messages set state = ${state}, finished_at = case when ${FINAL.includes(state)} then now() end,
        hold_reason = case when ${state === 'held'} then 'manual' end, last_reply = coalesce(${over.reply ?? null}, last_reply),
        last_flag = case when ${state === 'uncertain'} then 'outcome_unknown' else last_flag end,
        next_attempt_at = case when ${FINAL.includes(state)} then null else next_attempt_at end
      where id = ${id}`.execute(tx)
  })
}

/** Submitted, tried, and left in that state. */
export async function mailThatIs(
  db: Db,
  idea: MailIdea,
  state: OutboundState,
  recipients: readonly RecipientState[] = [],
): Promise<number> {
  const id = await submitMail(db, idea)
  await move(db, id, 'sending')
  if (state !== 'sending') await move(db, id, state, { recipients })
  return id
}

export interface OutboxRow {
  readonly state: OutboundState
  readonly hold_reason: string | null
  readonly last_reply: string | null
  readonly last_flag: string | null
  readonly finished_at: Date | null
  readonly next_attempt_at: Date | null
  readonly repeated: boolean
  readonly recipients: readonly {
    readonly state: RecipientState
    readonly reply: string | null
    readonly reply_code: number | null
    readonly enhanced_code: string | null
    readonly flag: string | null
  }[]
}

export async function outboxRow(db: Db, id: number): Promise<OutboxRow> {
  const { rows } = await sql<OutboxRow>`
    select m.state, m.hold_reason, m.last_reply, m.last_flag, m.finished_at, m.next_attempt_at, m.repeated,
      (select jsonb_agg(jsonb_build_object('state', r.state, 'reply', r.reply, 'reply_code', r.reply_code, 'enhanced_code', r.enhanced_code,
        'flag', r.flag) order by r.ordinal) from poststelle.outbound_recipients r where r.message_id = m.id) as recipients
    from poststelle.outbound_messages m where m.id = ${id}`.execute(db)
  const [row] = rows
  if (!row) throw new Error(`there is no message ${id}`)
  return row
}

export interface EventRow {
  readonly position: number
  readonly message_id: number
  readonly event: OutboundEvent
  readonly state: OutboundState
  readonly recipient: string | null
  readonly reply: string | null
}

export async function eventsSince(db: Db, cursor: number, maxRows = 10_000): Promise<EventRow[]> {
  return (await sql<EventRow>`select * from poststelle.outbox_since(${cursor}, ${maxRows})`.execute(db)).rows
}
