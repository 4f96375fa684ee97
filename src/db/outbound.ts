// Outbound messages that wait: claimed under the lease of their send lane, most urgent first, and found again when whoever
// had claimed them is gone.

import { sql, type RawBuilder } from 'kysely'
import type { Db, DbOrTx, Tx } from './database.ts'
import { lockLanes, underLease, type Lease } from './lanes.ts'
import type { OutboundState, RecipientState } from './schema-outbound.ts'

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
  /** null: it has to be composed first. */
  readonly sizeBytes: number | null
  /** An uncertain attempt came before this one. */
  readonly repeated: boolean
  /** What it was before the claim, and is again where the attempt is given back. */
  readonly before: { readonly state: OutboundState; readonly repeated: boolean; readonly nextAttemptAt: Date }
  readonly expiresAt: Date
  /** Those who have waited longest come first. */
  readonly recipients: readonly OutboundRecipient[]
}

/**
 * Messages still marked as sending by a worker that is gone: those whose final dot may have left become uncertain, the others are what they
 * were. One that somebody is just withdrawing is left to him. Inside a transaction in which the lane is ours, or nobody's.
 */
async function recoverMessages(tx: Tx, accountId: number): Promise<Recovered> {
  const orphans = await sql<{ uncertain: boolean }>`
    with orphan as (
      select m.id, a.phase = 'handing_over' as uncertain, a.number, ${endedUncertain(sql`m.id`)} as was_uncertain
      from poststelle.outbound_messages m join poststelle.delivery_attempts a on a.message_id = m.id and a.finished_at is null
      where m.account_id = ${accountId} and m.state = 'sending' order by m.id for update of a skip locked
    ), attempt as (
      update poststelle.delivery_attempts a
      set finished_at = now(), outcome = case when o.uncertain then 'uncertain' else 'returned' end,
        reply = 'the process that sent it ended'
      from orphan o where a.message_id = o.id and a.number = o.number
    )
    update poststelle.outbound_messages m
    set state = case when o.uncertain or o.was_uncertain then 'uncertain' else 'queued' end,
      next_attempt_at = case when not o.uncertain then now()
        when (p.uncertain_policy = 'retry' or (p.uncertain_policy = 'retry_once' and not m.repeated)) and now() < m.expires_at
        then now() + ${EVIDENCE_WAIT_SECONDS} * interval '1 second' end,
      attempts = m.attempts - case when o.uncertain then 0 else 1 end,
      last_flag = case when o.uncertain then 'outcome_unknown' else m.last_flag end
    from orphan o, poststelle.accounts p where m.id = o.id and p.id = m.account_id
    returning o.uncertain`.execute(tx)
  const unknown = orphans.rows.filter((row) => row.uncertain).length
  return { uncertain: unknown, returned: orphans.rows.length - unknown }
}

export interface Recovered {
  readonly uncertain: number
  readonly returned: number
}

/** How long an attempt whose outcome is unknown waits for evidence before it is repeated. */
export const EVIDENCE_WAIT_SECONDS = 15 * 60

/** Whoever holds the lane's lease knows that what is marked as sending is nobody's. */
export const recoverOrphans = (db: Db, lease: Lease): Promise<Recovered> => underLease(db, lease, recoverMessages)

/**
 * The same for lanes that nobody holds: one that is parked, rests, or is switched off is not claimed for a long time, and its messages can
 * be neither cancelled nor resolved as long as they are sending.
 */
export async function recoverAbandoned(db: Db): Promise<Recovered> {
  const nobodyHasIt = sql`l.lane = 'send' and (l.lease_until is null or l.lease_until <= now())`
  const { rows } = await sql<{ id: number }>`
    select distinct m.account_id as id from poststelle.outbound_messages m
      join poststelle.lanes l on l.account_id = m.account_id and ${nobodyHasIt}
    where m.state = 'sending'`.execute(db)
  let all: Recovered = { uncertain: 0, returned: 0 }
  for (const { id } of rows) {
    const one = await db.transaction().execute(async (tx) => {
      await lockLanes(tx, id)
      const free = await sql`select from poststelle.lanes l where l.account_id = ${id} and ${nobodyHasIt}`.execute(tx)
      return free.rows.length > 0 ? await recoverMessages(tx, id) : { uncertain: 0, returned: 0 }
    })
    all = { uncertain: all.uncertain + one.uncertain, returned: all.returned + one.returned }
  }
  return all
}

/** Whether the last attempt that got anywhere ended uncertain: then giving the next one back must not hide that. */
const endedUncertain = (id: RawBuilder<unknown>) => sql<boolean>`
  coalesce((select p.outcome = 'uncertain' from poststelle.delivery_attempts p
    where p.message_id = ${id} and p.outcome <> 'returned' order by p.number desc limit 1), false)`

/** Domains whose mail waits, and until when; in lower case. */
export type SlowDomains = ReadonlyMap<string, Date>

/** For each message, in this order, the recipients it is still to be offered to, in the order of ClaimedMessage. */
export async function recipientsLeft(tx: Tx, ids: readonly number[]): Promise<OutboundRecipient[][]> {
  const rows = await tx
    .selectFrom('outbound_recipients')
    .select(['message_id', 'ordinal', 'address', 'state'])
    .where('message_id', 'in', [...ids])
    .where('state', 'in', ['pending', 'deferred'])
    .orderBy('updated_at')
    .orderBy('ordinal')
    .execute()
  const byMessage = Map.groupBy(rows, (row) => row.message_id)
  return ids.map((id) => byMessage.get(id) ?? [])
}

/**
 * Ids of due messages, most urgent first, locked. In each priority the earliest ones: what is not due yet is not looked at, however
 * much there is of it.
 */
export async function dueMessages(tx: Tx, accountId: number, limit: number): Promise<number[]> {
  const waiting = sql`account_id = ${accountId} and state in ('scheduled', 'queued', 'deferred', 'uncertain')
    and next_attempt_at is not null`
  const { rows } = await sql<{ id: number }>`
    with recursive level (priority) as (
      (select priority from poststelle.outbound_messages where ${waiting} order by priority desc limit 1)
      union all
      select (select m.priority from poststelle.outbound_messages m where ${waiting} and m.priority < level.priority
        order by m.priority desc limit 1) from level where level.priority is not null
    )
    select m.id from level cross join lateral (
      select id, next_attempt_at from poststelle.outbound_messages where ${waiting} and priority = level.priority
        and next_attempt_at <= now() order by next_attempt_at, id limit ${limit} for update skip locked
    ) m order by level.priority desc, m.next_attempt_at, m.id limit ${limit}`.execute(tx)
  return rows.map((row) => row.id)
}

/** What goes to slow domains only waits until one of them may be tried. Returns the ids of those. */
export async function putOffSlow(tx: Tx, due: readonly number[], slow: SlowDomains): Promise<Set<number>> {
  const { rows } = await sql<{ id: number }>`
    with waits as (
      select r.message_id, min(s.until) as until
      from poststelle.outbound_recipients r
        left join unnest(${[...slow.keys()]}::text[], ${[...slow.values()]}::timestamptz[]) s (domain, until)
          on s.domain = lower(substring(r.address from '[^@]*$'))
      where r.message_id = any(${[...due]}) and r.state in ('pending', 'deferred')
      group by r.message_id having bool_and(s.until > now())
    )
    update poststelle.outbound_messages m set next_attempt_at = w.until + random() * interval '10 seconds'
    from waits w where m.id = w.message_id returning m.id`.execute(tx)
  return new Set(rows.map((row) => row.id))
}

/** Claims these messages: each is sending, and has a new attempt. */
export async function openAttempts(tx: Tx, ids: readonly number[]): Promise<ClaimedMessage[]> {
  const { rows } = await sql<{
    id: number
    attempt: number
    attempts: number
    envelope_from: string
    size_bytes: number | null
    repeated: boolean
    before_state: OutboundState
    before_repeated: boolean
    next_attempt_at: Date
    expires_at: Date
    recipients: OutboundRecipient[]
  }>`
    with before as (
      select id, state, repeated from poststelle.outbound_messages where id = any(${[...ids]})
    ), claimed as (
      update poststelle.outbound_messages m
      set state = 'sending', attempts = m.attempts + 1, repeated = m.repeated or m.state = 'uncertain'
      from before b where m.id = b.id
      returning m.*, b.state as before_state, b.repeated as before_repeated
    ), attempt as (
      insert into poststelle.delivery_attempts (message_id, number)
      select c.id, coalesce((select max(a.number) from poststelle.delivery_attempts a where a.message_id = c.id), 0) + 1 from claimed c
      returning message_id, number
    )
    select c.id, a.number as attempt, c.attempts, c.envelope_from, c.size_bytes, c.repeated, c.before_state, c.before_repeated,
      c.next_attempt_at, c.expires_at,
      (select jsonb_agg(jsonb_build_object('ordinal', r.ordinal, 'address', r.address, 'state', r.state)
        order by r.updated_at, r.ordinal)
        from poststelle.outbound_recipients r where r.message_id = c.id) as recipients
    from claimed c join attempt a on a.message_id = c.id`.execute(tx)
  const byId = new Map(rows.map((row) => [row.id, row]))
  return ids.flatMap((id): ClaimedMessage[] => {
    const row = byId.get(id)
    if (!row) return []
    return [
      {
        id,
        attempt: row.attempt,
        attempts: row.attempts,
        envelopeFrom: row.envelope_from,
        sizeBytes: row.size_bytes,
        repeated: row.repeated,
        before: { state: row.before_state, repeated: row.before_repeated, nextAttemptAt: row.next_attempt_at },
        expiresAt: row.expires_at,
        recipients: row.recipients,
      },
    ]
  })
}

/**
 * Only what its recipients' servers have deferred: mail that waited for its account is tried, however late. One that somebody is just
 * changing is left to him.
 */
export async function expireMessages(tx: Tx, accountId: number): Promise<void> {
  await sql`
    with late as (
      select id from poststelle.outbound_messages
      where account_id = ${accountId} and state = 'deferred' and attempts > 1 and next_attempt_at <= now() and expires_at <= now()
      for update skip locked
    )
    update poststelle.outbound_messages m
    set finished_at = now(), next_attempt_at = null, state = case when exists (select from poststelle.outbound_recipients r
      where r.message_id = m.id and r.state = 'accepted') then 'partial' else 'expired' end
    from late where m.id = late.id`.execute(tx)
}

export interface NextDue {
  /** When the lane has something to do next; null: nothing waits. */
  readonly at: Date | null
  /** It can be claimed now. */
  readonly now: boolean
}

/** What is due, but locked by somebody who is just changing it, is looked at again in a second, not at once and over and over. */
export async function nextDue(tx: Tx, accountId: number): Promise<NextDue> {
  const { rows } = await sql<{ at: Date | null; due: boolean; soon: Date }>`
    select min(next_attempt_at) as at, coalesce(min(next_attempt_at) <= now(), false) as due, now() + interval '1 second' as soon
    from poststelle.outbound_messages
    where account_id = ${accountId} and state in ('scheduled', 'queued', 'deferred', 'uncertain')`.execute(tx)
  const { at = null, due = false, soon = null } = rows[0] ?? {}
  if (!due) return { at, now: false }
  const free = (await dueMessages(tx, accountId, 1)).length > 0
  return { at: free ? at : soon, now: free }
}

/** What was said last to messages that wait because of one of these flags, one message for each flag. */
export async function waitingForFlags(
  db: DbOrTx,
  accountId: number,
  flags: readonly string[],
): Promise<{ flag: string; evidence: string }[]> {
  const { rows } = await sql<{ flag: string; evidence: string }>`
    select distinct on (m.last_flag) m.last_flag as flag, coalesce(m.last_reply, '') as evidence from poststelle.outbound_messages m
    where m.account_id = ${accountId} and m.finished_at is null and m.last_flag = any(${[...flags]}) order by m.last_flag, m.id desc`.execute(
    db,
  )
  return rows
}
