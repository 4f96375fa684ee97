// Messages of the outbox in every state, written by SQL as the owner of the tables.

import { sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'
import type { OutboundState } from '../../src/db/schema-outbound.ts'

const FINAL = ['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled']

/** 'handing_over': being sent, and past the point of no return. Recipients get what belongs to the state. */
export async function putInState(db: Db, id: number, state: OutboundState | 'handing_over'): Promise<void> {
  const stored = state === 'handing_over' ? 'sending' : state
  await sql`
    update poststelle.outbound_messages set state = ${stored}, hold_reason = ${stored === 'held' ? 'manual' : null},
      attempts = ${['queued', 'scheduled', 'held'].includes(stored) ? 0 : 1},
      finished_at = case when ${FINAL.includes(stored)} then now() end,
      next_attempt_at = case when ${FINAL.includes(stored)} then null when ${stored} in ('scheduled', 'deferred', 'uncertain')
        then now() + interval '15 minutes' else now() end
    where id = ${id}`.execute(db)
  const recipients = ['sent', 'bounced'].includes(stored) ? 'accepted' : stored === 'failed' ? 'rejected' : 'pending'
  await sql`update poststelle.outbound_recipients set state = ${stored === 'deferred' ? 'deferred' : recipients} where message_id = ${id}`.execute(
    db,
  )
  if (stored === 'sending')
    await sql`insert into poststelle.delivery_attempts (message_id, number, phase)
      values (${id}, 1, ${state === 'handing_over' ? 'handing_over' : 'claimed'})`.execute(db)
}

/** So many due messages with one recipient each, without bodies: for figures of lists, not for sending. */
export async function waitingMail(db: Db, accountId: number, count: number): Promise<void> {
  await sql`
    with message as (
      insert into poststelle.outbound_messages (account_id, envelope_from, internet_message_id, subject, size_bytes, sha256,
        request_sha256, next_attempt_at, expires_at)
      select ${accountId}::bigint, 'a@example.test', '<' || n || '@example.test>', 'Rechnung ' || n, 1, '', '', now(),
        now() + interval '5 days'
      from generate_series(1, ${count}::int) n returning id
    )
    insert into poststelle.outbound_recipients (message_id, ordinal, address)
    select id, 1, 'kunde' || id || '@example.test' from message`.execute(db)
  await sql`analyze poststelle.outbound_messages, poststelle.outbound_recipients`.execute(db)
}
