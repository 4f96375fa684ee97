// Messages that wait for parsing, and what becomes of them: claimed under the lease of the parse lane, settled in small batches. A
// message becomes ready for the application by its position, given under one lock for the whole installation.

import { sql } from 'kysely'
import type pg from 'pg'
import { LeaseLost } from '../base/failure.ts'
import { settleBlobs, type ReceivedBlob } from './blobs.ts'
import { copyRows } from './copy.ts'
import type { Database, Db } from './database.ts'
import { copyUnderLease, makeDue, type Lease } from './lanes.ts'
import { saveReports, type NewReport } from './delivery-reports.ts'
import { arrivingRoundTrips, endRoundTrips } from './round-trips.ts'
import type { MessageKind } from './schema.ts'
import { searchVectors } from './search.ts'
import { threadIds } from './threads.ts'

/** One lock for the whole database: positions become visible in their order. 'POSI' and 'TION' in ASCII. */
const POSITION_LOCK = [0x504f5349, 0x54494f4e]

export interface WaitingMessage {
  readonly id: number
  /** This attempt included. */
  readonly attempts: number
  readonly raisedLimits: boolean
  readonly sizeBytes: number
  /** False: the rest of it is on the server. */
  readonly complete: boolean
  readonly internetMessageId: string | null
}

export interface NewAttachment extends ReceivedBlob {
  readonly ordinal: number
  readonly name: string
  readonly contentType: string
  readonly disposition: 'attachment' | 'inline'
  readonly contentId: string | null
  readonly sizeBytes: number
  readonly sha256: Buffer
}

export interface NewContents {
  readonly id: number
  readonly internetMessageId: string | null
  /** Null: parsed. Otherwise why it is quarantined. */
  readonly reason: string | null
  readonly kind: MessageKind
  readonly inReplyTo: string | null
  readonly referenceIds: readonly string[]
  readonly bodyText: string | null
  readonly bodyHtml: string | null
  readonly notes: readonly string[]
  readonly attachments: readonly NewAttachment[]
  readonly reports: readonly NewReport[]
}

/**
 * The next messages of a lane, with their attempt counted before the work begins. Those that were tried before come last and one
 * by one: where one of them ends the process, no other is taken for it.
 */
export async function claimForParsing(db: Db, lease: Lease, limit: number): Promise<WaitingMessage[]> {
  const { rows } = await sql<{
    id: number
    attempts: number
    raised: boolean
    size_bytes: number
    complete: boolean
    internet_message_id: string | null
  }>`
    with held as (
      select from poststelle.lanes where account_id = ${lease.accountId} and lane = ${lease.lane}
        and lease_token = ${lease.token} and lease_until > now() for update
    ), fresh as (
      select message_id from poststelle.parse_queue
      where account_id = ${lease.accountId} and attempts = 0 and not raised_limits order by message_id limit ${limit}
    ), next as (
      select message_id from fresh
      union all (select message_id from poststelle.parse_queue
        where account_id = ${lease.accountId} and not exists (select from fresh) order by attempts, message_id limit 1)
    ), claimed as (
      update poststelle.parse_queue q set attempts = q.attempts + 1
      from next where q.message_id = next.message_id and exists (select from held)
      returning q.message_id, q.attempts, q.raised_limits
    )
    select m.id, c.attempts, c.raised_limits as raised, m.size_bytes, m.complete, m.internet_message_id
    from claimed c join poststelle.messages m on m.id = c.message_id order by m.id`.execute(db)
  return rows.map((row) => ({
    id: row.id,
    attempts: row.attempts,
    raisedLimits: row.raised,
    sizeBytes: row.size_bytes,
    complete: row.complete,
    internetMessageId: row.internet_message_id,
  }))
}

/** The attempt was not the message's fault. */
export async function giveBackAttempts(db: Db, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return
  await sql`
    update poststelle.parse_queue set attempts = greatest(0, attempts - 1)
    where message_id = any(${[...ids]}::bigint[])`.execute(db)
}

/** The raw bytes in pieces, in constant memory. */
export async function* readRawBody(db: Db, { id, sizeBytes }: WaitingMessage): AsyncGenerator<Buffer> {
  let bytes = 0
  for (let chunk = 0; bytes < sizeBytes; chunk++) {
    const row = await db
      .selectFrom('message_bodies')
      .select('bytes')
      .where('message_id', '=', id)
      .where('chunk', '=', chunk)
      .executeTakeFirst()
    if (!row) return
    bytes += row.bytes.length
    yield row.bytes
  }
}

/** Writes what was made of some messages in one transaction under the lease. Throws LeaseLost: then nothing is written. */
export async function settleContents(database: Database, lease: Lease, batch: readonly NewContents[]): Promise<void> {
  if (batch.length === 0) return
  const vectors = await searchVectors(database.db, batch)
  await copyUnderLease(database, lease, async (client) => {
    const still = await takeOut(client, batch)
    await saveAttachments(client, still)
    await saveReports(client, lease.accountId, still)
    const threads = await threadIds(client, lease.accountId, still)
    await saveContents(client, lease.accountId, still, vectors, threads)
  })
}

/**
 * A message that was deleted meanwhile is left out, and so is one that an operator wants parsed otherwise now (its attempts begin
 * anew); those that are there stay until the end of the transaction.
 */
async function takeOut(client: pg.ClientBase, batch: readonly NewContents[]): Promise<readonly NewContents[]> {
  const ids = batch.map(({ id }) => id)
  const present = await client.query<{ id: number }>(
    'select id from poststelle.messages where id = any($1) order by id for key share',
    [ids],
  )
  const there = new Set(present.rows.map((row) => row.id))
  const taken = await client.query<{ id: number }>(
    'delete from poststelle.parse_queue where message_id = any($1) and attempts > 0 returning message_id as id',
    [ids.filter((id) => there.has(id))],
  )
  const waiting = new Set(taken.rows.map((row) => row.id))
  return batch.filter(({ id }) => waiting.has(id))
}

async function saveAttachments(client: pg.ClientBase, batch: readonly NewContents[]): Promise<void> {
  const all = batch.flatMap(({ id, attachments }) => attachments.map((attachment) => ({ id, attachment })))
  if (all.length === 0) return
  const blobs = await settleBlobs(
    client,
    all.map(({ attachment }) => attachment),
  )
  await copyRows(
    client,
    'poststelle.attachments (message_id, ordinal, name, content_type, disposition, content_id, size_bytes, sha256, blob_id)',
    all.map(({ id, attachment: a }) => [
      { int8: id },
      { int4: a.ordinal },
      a.name,
      a.contentType,
      a.disposition,
      a.contentId,
      { int8: a.sizeBytes },
      a.sha256,
      { int8: blobs.get(a.sha256.toString('hex')) ?? 0 },
    ]),
  )
}

async function saveContents(
  client: pg.ClientBase,
  accountId: number,
  batch: readonly NewContents[],
  vectors: ReadonlyMap<number, string>,
  threads: ReadonlyMap<number, string>,
): Promise<void> {
  const arrived = await arrivingRoundTrips(
    client,
    accountId,
    batch.map(({ id }) => id),
  )
  await endRoundTrips(client, arrived)
  const rows = batch.map((m) => ({
    message_id: m.id,
    state: m.reason === null ? 'parsed' : 'quarantined',
    reason: m.reason,
    kind: arrived.has(m.id) ? 'round_trip' : m.kind,
    thread_id: threads.get(m.id),
    in_reply_to: m.inReplyTo,
    reference_ids: m.referenceIds,
    body_text: m.bodyText,
    body_html: m.bodyHtml,
    notes: m.notes,
    search: vectors.get(m.id) ?? null,
  }))
  // from here to the commit the other lanes wait: everything that takes time is done
  await client.query('select pg_advisory_xact_lock($1, $2)', POSITION_LOCK)
  await client.query(
    `insert into poststelle.message_contents
       (message_id, account_id, position, state, reason, kind, thread_id, in_reply_to, reference_ids, body_text, body_html, notes, search)
     select r.message_id, $2, nextval('poststelle.inbox_position'), r.state, r.reason, r.kind, r.thread_id, r.in_reply_to, r.reference_ids,
       r.body_text, r.body_html, r.notes, r.search
     from (select * from json_to_recordset($1) as j (message_id bigint, state text, reason text, kind text, thread_id text, in_reply_to text,
       reference_ids text[], body_text text, body_html text, notes text[], search tsvector) order by message_id) r`,
    [JSON.stringify(rows), accountId],
  )
  await client.query(`select pg_notify('poststelle_inbox', id::text) from unnest($1::bigint[]) id`, [
    batch.map(({ id }) => id).filter((id) => !arrived.has(id)),
  ])
}

/** Gives the lease back; the lane is due again at once where messages wait. Throws LeaseLost. */
export async function releaseParseLane(db: Db, lease: Lease): Promise<void> {
  const { numAffectedRows } = await sql`
    update poststelle.lanes set lease_token = null, lease_until = null, lease_worker = null, dispatched_until = null,
      due_at = case when exists (select from poststelle.parse_queue where account_id = ${lease.accountId}) then now() end
    where account_id = ${lease.accountId} and lane = ${lease.lane} and lease_token = ${lease.token}`.execute(db)
  if (!numAffectedRows) throw new LeaseLost(`the parse lane of account ${lease.accountId} was taken over`)
}

/** Lanes with waiting messages that nobody has woken. Goes from account to account in the index, however many messages wait. */
export async function wakeParseLanes(db: Db): Promise<number> {
  const { numAffectedRows } = await sql`
    with recursive waiting as (
      (select account_id from poststelle.parse_queue order by account_id limit 1)
      union all
      select (select q.account_id from poststelle.parse_queue q where q.account_id > w.account_id order by q.account_id limit 1)
      from waiting w where w.account_id is not null
    ), asleep as (
      select l.account_id, l.lane from poststelle.lanes l join waiting w on l.account_id = w.account_id
      where l.lane = 'parse' and l.due_at is null for update of l skip locked
    )
    update poststelle.lanes l set due_at = now() from asleep
    where l.account_id = asleep.account_id and l.lane = asleep.lane`.execute(db)
  return Number(numAffectedRows ?? 0)
}

/**
 * Has messages parsed once more: quarantined ones, or any other. What was made of them is gone until then, and they become ready
 * anew, behind everything that is ready now. Returns how many there are.
 */
export async function reparse(
  db: Db,
  messageIds: readonly number[],
  { raisedLimits }: { raisedLimits: boolean },
): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    const found = await sql<{ id: number; account_id: number }>`
      select id, account_id from poststelle.messages where id = any(${[...messageIds]}::bigint[]) order by id for update`.execute(
      tx,
    )
    const ids = found.rows.map((row) => row.id)
    if (ids.length === 0) return 0
    for (const table of ['message_contents', 'attachments', 'delivery_reports'] as const) {
      await tx.deleteFrom(table).where('message_id', 'in', ids).execute()
    }
    await sql`
      insert into poststelle.parse_queue as q (message_id, account_id, raised_limits)
      select id, account_id, ${raisedLimits} from poststelle.messages where id = any(${ids}::bigint[])
      on conflict (message_id) do update set attempts = 0, raised_limits = excluded.raised_limits or q.raised_limits`.execute(
      tx,
    )
    await makeDue(tx, 'parse', [...new Set(found.rows.map((row) => row.account_id))])
    return ids.length
  })
}
