// Compares what SMTP servers have taken with what the outbox says, and looks for what must never be in its tables.

import { sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'
import type { ReceivedMessage } from './scripted-smtp.ts'

export interface Tally {
  readonly accepted: number
  readonly sent: number
  /** Neither final nor uncertain. */
  readonly waiting: number
  readonly uncertain: number
  /** Any other final state. */
  readonly ended: number
  /** Sent, and no server has it. */
  readonly lost: number
  /** A server has it more than once, and it is marked as repeated. */
  readonly doubledFlagged: number
  readonly doubledUnflagged: number
  /** Sentences. */
  readonly violations: readonly string[]
}

/** What every row promises of its messages, once the work is done. */
export const UNHARMED = { waiting: 0, ended: 0, lost: 0, doubledUnflagged: 0, violations: [] } as const

/** By Message-ID with its angle brackets: how often it was taken for the recipient that has it most often. */
export function copiesIn(taken: readonly ReceivedMessage[]): Map<string, number> {
  const perRecipient = new Map<string, number>()
  const most = new Map<string, number>()
  for (const { bytes, recipients } of taken) {
    const id = messageIdOf(bytes)
    for (const recipient of recipients) {
      const copies = (perRecipient.get(`${id} ${recipient}`) ?? 0) + 1
      perRecipient.set(`${id} ${recipient}`, copies)
      most.set(id, Math.max(copies, most.get(id) ?? 0))
    }
  }
  return most
}

const messageIdOf = (raw: Buffer): string => /^message-id:\s*(<[^>]*>)/im.exec(raw.toString('latin1'))?.[1] ?? ''

export async function tally(db: Db, taken: readonly ReceivedMessage[]): Promise<Tally> {
  const copies = copiesIn(taken)
  const { rows } = await sql<{ message_id: string; state: string; repeated: boolean; finished: boolean }>`
    select internet_message_id as message_id, state, repeated, finished_at is not null as finished
    from poststelle.outbound_messages`.execute(db)
  const found = { sent: 0, waiting: 0, uncertain: 0, ended: 0, lost: 0, doubledFlagged: 0, doubledUnflagged: 0 }
  for (const { message_id: id, state, repeated, finished } of rows) {
    const times = copies.get(id) ?? 0
    if (state === 'sent') found.sent += 1
    else if (state === 'uncertain') found.uncertain += 1
    else if (finished) found.ended += 1
    else found.waiting += 1
    if (state === 'sent' && times === 0) found.lost += 1
    if (times > 1 && repeated) found.doubledFlagged += 1
    if (times > 1 && !repeated) found.doubledUnflagged += 1
  }
  return { accepted: rows.length, ...found, violations: await violations(db) }
}

/** Each returns rows that should not be. */
const INVARIANTS: Readonly<Record<string, string>> = {
  'a message is neither final, nor due, nor at work, nor held with a reason': `select m.id, m.state from poststelle.outbound_messages m
    where m.finished_at is null and m.state not in ('uncertain', 'held', 'sending') and m.next_attempt_at is null
      or m.state = 'held' and m.hold_reason is null`,
  'a message is uncertain, nothing will happen to it, and its policy says otherwise': `select m.id from poststelle.outbound_messages m
    join poststelle.accounts a on a.id = m.account_id where m.state = 'uncertain' and m.next_attempt_at is null
      and m.expires_at > now() and (a.uncertain_policy = 'retry' or a.uncertain_policy = 'retry_once' and not m.repeated)`,
  'a message is at work and nobody has the lease': `select m.id from poststelle.outbound_messages m where m.state = 'sending'
    and not exists (select from poststelle.lanes l where l.account_id = m.account_id and l.lane = 'send' and l.lease_token is not null)`,
  'a message has no recipient': `select m.id from poststelle.outbound_messages m
    where not exists (select from poststelle.outbound_recipients r where r.message_id = m.id)`,
  'the state of a message is not that of its recipients': `select m.id, m.state, r.* from poststelle.outbound_messages m
    cross join lateral (select count(*) as all, count(*) filter (where state in ('accepted', 'bounced')) as accepted,
      count(*) filter (where state = 'rejected') as rejected from poststelle.outbound_recipients where message_id = m.id) r
    where m.state = 'sent' and r.accepted < r.all or m.state = 'partial' and r.accepted not between 1 and r.all - 1
      or m.state = 'failed' and r.rejected < r.all or m.state = 'expired' and r.accepted > 0
      or m.state in ('queued', 'deferred', 'scheduled', 'sending') and r.accepted + r.rejected = r.all`,
  'two attempts may have reached a recipient, and the message is not marked as repeated': `select m.id
    from poststelle.outbound_messages m join poststelle.delivery_attempts a on a.message_id = m.id
    where not m.repeated group by m.id having count(*) filter (where a.outcome in ('sent', 'uncertain')) > 1`,
  'an attempt that did not settle belongs to a message that nobody sends': `select a.message_id, a.number from poststelle.delivery_attempts a
    join poststelle.outbound_messages m on m.id = a.message_id where a.finished_at is null and m.state <> 'sending'`,
  'a message has two attempts at once': `select message_id from poststelle.delivery_attempts
    where finished_at is null group by message_id having count(*) > 1`,
  'an attempt is missing': `select message_id from poststelle.delivery_attempts group by message_id having max(number) <> count(*)`,
  'more attempts are counted than there were, or fewer than none': `select m.id, m.attempts from poststelle.outbound_messages m
    where m.attempts not between 0 and (select count(*) from poststelle.delivery_attempts a where a.message_id = m.id)`,
  'the bytes are not those that were accepted': `select m.id from poststelle.outbound_messages m where m.finished_at is null
    and m.sha256 <> (select sha256(string_agg(b.bytes, ''::bytea order by b.chunk)) from poststelle.outbound_bodies b where b.message_id = m.id)`,
  'a lease is held beyond its expiry':
    'select account_id, lane from poststelle.lanes where lease_token is not null and lease_until < now()',
}

/** Sentences about rows that break what must always hold; none when all is well. */
export async function violations(db: Db): Promise<string[]> {
  const found: string[] = []
  for (const [sentence, query] of Object.entries(INVARIANTS)) {
    const { rows } = await sql.raw<Record<string, unknown>>(query).execute(db)
    if (rows.length > 0) found.push(`${sentence}: ${rows.length}, e.g. ${JSON.stringify(rows[0])}`)
  }
  return found
}
