// Mail from an account to itself, which shows whether what is sent arrives, and how long that takes.

import type pg from 'pg'
import { sql } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'
import { submitMessage } from './submissions.ts'

export interface RoundTrip {
  readonly startedAt: Date
  /** Of the message in the outbox. */
  readonly outboundId: number
  readonly state: string
  /** The last reply of the server. */
  readonly reply: string | null
  readonly handedOverAt: Date | null
  readonly arrivedAt: Date | null
}

export async function startRoundTrip(
  tx: Tx,
  account: { readonly id: number; readonly email: string },
  message: { readonly subject: string; readonly raw: Buffer },
): Promise<number> {
  const outboundId = await submitMessage(tx, {
    account: account.email,
    envelopeFrom: account.email,
    recipients: [account.email],
    raw: message.raw,
    idempotencyKey: null,
  })
  const { id } = await tx
    .insertInto('round_trips')
    .values({ account_id: account.id, outbound_id: outboundId, subject: message.subject })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}

const COLUMNS = sql`t.started_at as "startedAt", o.id as "outboundId", o.state, r.reply,
  case when o.state in ('sent', 'partial') then o.finished_at end as "handedOverAt", t.arrived_at as "arrivedAt"`
const FROM = sql`poststelle.round_trips t join poststelle.outbound_messages o on o.id = t.outbound_id
  left join lateral (select last_reply as reply from poststelle.outbound_recipients where message_id = o.id limit 1) r on true`

export async function loadRoundTrip(db: DbOrTx, id: number): Promise<RoundTrip | undefined> {
  const { rows } = await sql<RoundTrip>`select ${COLUMNS} from ${FROM} where t.id = ${id}`.execute(db)
  return rows[0]
}

/** The latest of each account that has one sent regularly; `handedOverAt` and `arrivedAt` null: it is on its way, or never went. */
export async function latestCanaries(db: DbOrTx): Promise<Map<number, RoundTrip>> {
  const { rows } = await sql<RoundTrip & { accountId: number }>`
    select d.account_id as "accountId", last.* from poststelle.maildrops d
    cross join lateral (select ${COLUMNS} from ${FROM} where t.account_id = d.account_id order by t.started_at desc limit 1) last
    where d.canary_minutes is not null`.execute(db)
  return new Map(rows.map(({ accountId, ...trip }) => [accountId, trip]))
}

/** Accounts whose next one is due: both directions work, and the last one is not still waiting to be sent. */
export async function dueCanaries(db: DbOrTx, now: Date): Promise<{ id: number; email: string }[]> {
  const { rows } = await sql<{ id: number; email: string }>`
    select a.id, a.email from poststelle.maildrops d join poststelle.accounts a on a.id = d.account_id
    where d.canary_minutes is not null and a.enabled_receive and a.enabled_send and a.pop3_host is not null and a.smtp_host is not null
      and not exists (select from poststelle.account_health h where h.account_id = a.id and h.state <> 'ok')
      and not exists (select from poststelle.round_trips t join poststelle.outbound_messages o on o.id = t.outbound_id
        where t.account_id = a.id and (t.started_at > ${now}::timestamptz - d.canary_minutes * interval '1 minute' or o.finished_at is null))
    order by a.id`.execute(db)
  return rows
}

/** Which of these stored messages are ours: by message id, the id of the round trip. */
export async function arrivingRoundTrips(
  client: pg.ClientBase,
  accountId: number,
  messageIds: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const { rows } = await client.query<{ message: number; trip: number }>(
    `select m.id as message, t.id as trip from poststelle.round_trips t
     join poststelle.messages m on m.account_id = t.account_id and m.subject = t.subject and m.id = any($2)
     where t.account_id = $1`,
    [accountId, messageIds],
  )
  return new Map(rows.map(({ message, trip }) => [message, trip]))
}

export async function endRoundTrips(client: pg.ClientBase, arrived: ReadonlyMap<number, number>): Promise<void> {
  if (arrived.size === 0) return
  const args = [[...arrived.keys()], [...arrived.values()]]
  await client.query(
    `update poststelle.round_trips t set arrived_at = m.received_at, inbound_id = m.id
     from unnest($1::bigint[], $2::bigint[]) as of (message, trip) join poststelle.messages m on m.id = of.message
     where t.id = of.trip and t.arrived_at is null`,
    args,
  )
  await client.query(
    'update poststelle.messages set acknowledged_at = now() where id = any($1) and acknowledged_at is null',
    [args[0]],
  )
}
