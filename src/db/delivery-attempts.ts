// Attempts of a send lane, many at a time: their point of no return, committed before the final dot, and what became of them.
// The statements are prepared once for each connection: they run for every few messages.

import { sql } from 'kysely'
import { prepared, type Database, type Db } from './database.ts'
import type { Lease } from './lanes.ts'
import type { ClaimedMessage } from './outbound.ts'
import type { AttemptOutcome, OutboundState, RecipientState } from './schema-outbound.ts'

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
  /** The attempt does not count: it was not the message's fault, or it got on and the rest follows at once. */
  readonly giveBack: boolean
  readonly outcome: AttemptOutcome
  readonly recipients: readonly RecipientUpdate[]
  readonly step: string
  readonly reply: string
  readonly flag: string | null
  readonly transcript: string | null
}

export interface JournalEntries {
  /** Messages whose final dot is to leave. */
  readonly marks: readonly ClaimedMessage[]
  /** What became of attempts. */
  readonly settlements: readonly { readonly message: ClaimedMessage; readonly settlement: Settlement }[]
}

export interface JournalWritten {
  /** The lane is still ours; where it is not, nothing was marked. */
  readonly held: boolean
  readonly marked: ReadonlySet<number>
  readonly settled: ReadonlySet<number>
}

/**
 * Points of no return and outcomes of several messages in one commit. A mark is committed before the final dot may leave; one that is
 * missing was withdrawn by somebody, or is just being. An attempt settles once, but for one: what another worker took for uncertain is
 * corrected by the reply when it comes after all; one that is missing was settled otherwise. Whoever withdraws a message and keeps his
 * transaction open keeps nobody waiting.
 */
export async function writeJournal(
  database: Database,
  lease: Lease,
  { marks, settlements }: JournalEntries,
): Promise<JournalWritten> {
  const { rows } = await prepared<{ held: boolean; marked: string[]; settled: string[] }>(
    database,
    'write_journal',
    sql`
    with held as materialized (
      select from poststelle.lanes l where l.account_id = ${lease.accountId}::bigint and l.lane = ${lease.lane}::text
        and l.lease_token = ${lease.token}::uuid and l.lease_until > now()
    ), going as materialized (
      select a.message_id, a.number from poststelle.delivery_attempts a
        join unnest(${marks.map((m) => m.id)}::bigint[], ${marks.map((m) => m.attempt)}::int[]) u (id, number)
          on a.message_id = u.id and a.number = u.number
      where a.finished_at is null and exists (select from held) order by a.message_id for update of a skip locked
    ), marked as (
      update poststelle.delivery_attempts a set phase = 'handing_over'
      from going g where a.message_id = g.message_id and a.number = g.number
      returning a.message_id
    ), item as materialized (
      select * from jsonb_to_recordset(${JSON.stringify(settledRows(settlements))}::jsonb) i (id bigint, attempt int, state text,
        next_attempt_at timestamptz, given_back boolean, repeated boolean, outcome text, step text, reply text, flag text,
        transcript text, final boolean)
    ), free as materialized (
      select a.message_id from item i join poststelle.delivery_attempts a on a.message_id = i.id and a.number = i.attempt
      where a.phase = 'claimed' order by a.message_id for update of a skip locked
    ), attempt as (
      update poststelle.delivery_attempts a
      set finished_at = now(), outcome = i.outcome, phase = case when i.outcome in ('sent', 'partial') then 'done' else a.phase end,
        step = i.step, reply = i.reply, flag = i.flag, transcript = i.transcript
      from item i
      where a.message_id = i.id and a.number = i.attempt and (a.phase <> 'claimed' or exists (select from free f where f.message_id = i.id))
        and (a.finished_at is null or (a.outcome = 'uncertain' and not exists (
          select from poststelle.delivery_attempts later where later.message_id = i.id and later.number > i.attempt)))
        and exists (select from poststelle.outbound_messages m where m.id = i.id and m.state in ('sending', 'uncertain'))
      returning a.message_id
    ), recipient as (
      update poststelle.outbound_recipients r
      set state = u.state, reply_code = u.code, enhanced_code = u.enhanced_code, reply = u.reply, flag = u.flag, updated_at = now()
      from attempt join jsonb_to_recordset(${JSON.stringify(recipientRows(settlements))}::jsonb) u (id bigint, ordinal int, state text,
        code int, enhanced_code text, reply text, flag text) on u.id = attempt.message_id
      where r.message_id = u.id and r.ordinal = u.ordinal
    ), settled as (
      update poststelle.outbound_messages m
      -- a report about an earlier transaction of the message may have come meanwhile
      set state = case when i.state = 'sent' and exists (select from poststelle.outbound_recipients r
          where r.message_id = i.id and r.state = 'bounced') then 'partial' else i.state end, next_attempt_at = i.next_attempt_at, attempts = m.attempts - case when i.given_back then 1 else 0 end,
        repeated = case when i.outcome = 'returned' then i.repeated else m.repeated end,
        finished_at = case when i.final then now() end, last_reply = i.reply, last_flag = i.flag
      from item i join attempt a on a.message_id = i.id
      where m.id = i.id and m.state in ('sending', 'uncertain')
      returning m.id
    )
    select exists (select from held) as held, array(select message_id from marked) as marked, array(select id from settled) as settled`,
  )
  const { held = false, marked = [], settled = [] } = rows[0] ?? {}
  return { held, marked: new Set(marked.map(Number)), settled: new Set(settled.map(Number)) }
}

/** Those of the claimed messages that somebody has withdrawn meanwhile, by id. */
export async function withdrawnOf(db: Db, claimed: readonly ClaimedMessage[]): Promise<Set<number>> {
  const { rows } = await sql<{ id: number }>`
    select a.message_id as id from poststelle.delivery_attempts a
      join unnest(${claimed.map((m) => m.id)}::bigint[], ${claimed.map((m) => m.attempt)}::int[]) c (id, number)
        on a.message_id = c.id and a.number = c.number
    where a.finished_at is not null`.execute(db)
  return new Set(rows.map(({ id }) => id))
}

/** By id: whoever changes several messages locks them in that order. */
const settledRows = (settlements: JournalEntries['settlements']) =>
  settlements
    .toSorted((a, b) => a.message.id - b.message.id)
    .map(({ message, settlement: s }) => ({
      id: message.id,
      attempt: message.attempt,
      state: s.state,
      next_attempt_at: s.nextAttemptAt,
      given_back: s.giveBack,
      repeated: message.before.repeated,
      outcome: s.outcome,
      step: s.step,
      reply: storable(s.reply),
      flag: s.flag,
      transcript: s.transcript === null ? null : storable(s.transcript),
      final: FINAL.has(s.state),
    }))

const recipientRows = (settlements: JournalEntries['settlements']) =>
  settlements.flatMap(({ message, settlement }) =>
    settlement.recipients.map((r) => ({
      id: message.id,
      ordinal: r.ordinal,
      state: r.state,
      code: r.code,
      enhanced_code: r.enhancedCode,
      reply: storable(r.reply),
      flag: r.flag,
    })),
  )

const FINAL = new Set<OutboundState>(['sent', 'partial', 'failed', 'expired', 'bounced', 'cancelled'])

/** A server's words as Postgres can keep them: no NUL, whole characters, and not without end. */
const storable = (text: string): string =>
  text
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f]+/g, ' ')
    .slice(0, 20_000)
    .toWellFormed()
