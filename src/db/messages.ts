// Received messages: a batch with its ledger rows in one transaction, and the spool of messages too large for memory.

import { sql } from 'kysely'
import type pg from 'pg'
import type { Summary } from '../base/summary.ts'
import { copyRows, type CopyValue } from './copy.ts'
import type { Database, Db } from './database.ts'
import { copyUnderLease, type Lease } from './lanes.ts'
import { archiveFormer, ledgerKey, type LedgerKey } from './ledger.ts'

/** Largest piece of a message in one row. */
export const CHUNK_BYTES = 256 * 1024

export interface NewMessage extends LedgerKey, Summary {
  /** Set where the body was spooled before. */
  readonly spooledAs: number | undefined
  /** The whole body, where it was not spooled. */
  readonly body: readonly Buffer[]
  readonly sizeBytes: number
  /** As the scan listing announced it. */
  readonly listedBytes: number
  readonly sha256: Buffer
  /** Recognises it under another UIDL; null where there is nothing to go by. */
  readonly fingerprint: Buffer | null
  /** undefined: the whole message. Otherwise why these are only its headers. */
  readonly headersOnly?: string
  /** Its headers were stored before, and give way now. */
  readonly replacesHeaders?: boolean
}

/**
 * Stores messages, bodies and ledger rows in one transaction, under the lease. What the ledger has as stored already is left out.
 * Returns the keys of what was stored now. Throws LeaseLost, or the database's error: then nothing of the batch is stored.
 */
export async function storeBatch(
  database: Database,
  lease: Lease,
  batch: readonly NewMessage[],
): Promise<ReadonlySet<string>> {
  return await copyUnderLease(database, lease, async (client) => {
    if (batch.some((message) => message.replacesHeaders)) await dropHeaders(client, lease.accountId, batch)
    const ids = await reserveIds(client, batch.length)
    const all = batch.map((message, i) => ({ message, id: message.spooledAs ?? ids[i] ?? 0 }))
    const fresh = await enterLedger(client, database.db, lease.accountId, all)
    const rows = all.filter(({ id }) => fresh.has(id))
    if (rows.length > 0) {
      await insertMessages(client, lease.accountId, rows)
      await takeCopiesAsSent(client, lease.accountId, rows)
    }
    const spooled = batch.flatMap((message) => message.spooledAs ?? [])
    const needless = spooled.filter((id) => !fresh.has(id))
    if (needless.length > 0) {
      await client.query('delete from poststelle.message_bodies where message_id = any($1)', [needless])
    }
    if (spooled.length > 0)
      await client.query('delete from poststelle.message_spools where message_id = any($1)', [spooled])
    return new Set(rows.map(({ message }) => ledgerKey(message)))
  })
}

interface Identified {
  readonly message: NewMessage
  readonly id: number
}

async function insertMessages(client: pg.ClientBase, accountId: number, rows: readonly Identified[]): Promise<void> {
  await copyRows(
    client,
    'poststelle.messages (id, account_id, size_bytes, sha256, internet_message_id, date_at, from_address, from_name, to_addresses, subject, complete)',
    rows.map(({ message: m, id }) => [
      { int8: id },
      { int8: accountId },
      { int8: m.sizeBytes },
      m.sha256,
      m.internetMessageId,
      m.dateAt && { at: m.dateAt },
      m.fromAddress,
      m.fromName,
      m.toAddresses,
      m.subject,
      m.headersOnly === undefined,
    ]),
  )
  await copyRows(
    client,
    'poststelle.message_bodies (message_id, chunk, bytes)',
    rows.flatMap(({ message, id }) => [...chunkRows(id, 0, message.body)]),
  )
  await copyRows(
    client,
    'poststelle.parse_queue (message_id, account_id)',
    rows.map(({ id }) => [{ int8: id }, { int8: accountId }]),
  )
  await client.query(`select pg_notify('poststelle_bell', 'parse:' || $1::text)`, [accountId])
}

/** Mail of our own that has come back proves that the server took it, where that was uncertain. */
async function takeCopiesAsSent(client: pg.ClientBase, accountId: number, rows: readonly Identified[]): Promise<void> {
  await client.query('select poststelle.take_copies_as_sent($1, $2::text[])', [
    accountId,
    rows.flatMap(({ message }) => message.internetMessageId ?? []),
  ])
}

/**
 * One ledger row per message. Rows that say "stored" or "being deleted" stay as they are: their message is here. One that was
 * deleted, or had gone, and is listed again is the same message if its bytes are; then its row says stored once more. Another message
 * under an old UIDL is a new one. Headers that are here already are not stored again. Returns the ids of the messages that are new.
 */
async function enterLedger(
  client: pg.ClientBase,
  db: Db,
  accountId: number,
  all: readonly Identified[],
): Promise<ReadonlySet<number>> {
  const enter = async (some: readonly Identified[]): Promise<number[]> => {
    const { rows } = await client.query<{ message_id: number }>(ENTER_LEDGER, [
      accountId,
      some.map(({ message: m }) => m.uidl),
      some.map(({ message: m }) => m.ordinal),
      some.map(({ message: m }) => m.listedBytes),
      some.map(({ message: m }) => m.sha256),
      some.map(({ id }) => id),
      some.map(({ message: m }) => m.fingerprint),
      some.map(({ message: m }) => m.headersOnly ?? null),
    ])
    return rows.map((row) => row.message_id)
  }
  const entered = await enter(all)
  const fresh = new Set(entered)
  if (entered.length === all.length) return fresh
  const refused = all.filter(({ id }) => !fresh.has(id))
  const archive = archiveFormer(
    accountId,
    refused.map(({ message }) => message),
  ).compile(db)
  const { rowCount } = await client.query(archive.sql, [...archive.parameters])
  if (rowCount) for (const id of await enter(refused)) fresh.add(id)
  return fresh
}

const ENTER_LEDGER = `
  insert into poststelle.maildrop_uidls as u
    (account_id, uidl, ordinal, size_bytes, sha256, message_id, fingerprint, state, reason, oversize, stored_at, attempts)
  select $1, k.uidl, k.ordinal, k.size_bytes, k.sha256, k.message_id,
    k.fingerprint, case when k.reason is null then 'stored' else 'skipped' end, k.reason, k.reason is not null,
    case when k.reason is null then now() end, 1
  from unnest($2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[], $8::text[])
    k (uidl, ordinal, size_bytes, sha256, message_id, fingerprint, reason)
  on conflict (account_id, uidl, ordinal) do update set
    state = excluded.state, sha256 = excluded.sha256, fingerprint = excluded.fingerprint, reason = excluded.reason,
    size_bytes = case when excluded.oversize then excluded.size_bytes else u.size_bytes end,
    message_id = case when u.state in ('deleted', 'stored') or u.oversize and excluded.oversize then u.message_id
      else excluded.message_id end,
    oversize = excluded.oversize, retry_at = null, stored_at = excluded.stored_at, deleted_at = null, gone_at = null
  where u.state in ('listed', 'skipped', 'quarantined', 'vanished')
    or (u.state = 'deleted' or u.state = 'stored' and u.gone_at is not null) and u.sha256 = excluded.sha256
  returning u.message_id`

/** The headers of a message that was too large give way to the message. */
async function dropHeaders(client: pg.ClientBase, accountId: number, batch: readonly NewMessage[]): Promise<void> {
  const replaced = batch.filter((message) => message.replacesHeaders)
  await client.query(
    `delete from poststelle.messages m using poststelle.maildrop_uidls u, unnest($2::text[], $3::int[]) k (uidl, ordinal)
     where u.account_id = $1 and u.uidl = k.uidl and u.ordinal = k.ordinal and u.oversize and m.id = u.message_id and not m.complete`,
    [accountId, replaced.map((m) => m.uidl), replaced.map((m) => m.ordinal)],
  )
}

async function reserveIds(client: pg.ClientBase, count: number): Promise<number[]> {
  const { rows } = await client.query<{ id: number }>(
    `select nextval('poststelle.messages_id_seq') as id from generate_series(1, $1::int)`,
    [count],
  )
  return rows.map((row) => row.id)
}

/** Cuts a body into rows of message_bodies. */
function* chunkRows(id: number, firstChunk: number, body: readonly Buffer[]): Generator<CopyValue[]> {
  const whole = body.length === 1 && body[0] ? body[0] : Buffer.concat(body)
  for (let chunk = 0; chunk * CHUNK_BYTES < whole.length; chunk++) {
    yield [{ int8: id }, { int4: firstChunk + chunk }, whole.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)]
  }
}

/** Announces a message whose body is written before its row; returns the id it will have. */
export async function beginSpool(db: Db, accountId: number): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.message_spools (message_id, account_id)
    values (nextval('poststelle.messages_id_seq'), ${accountId}) returning message_id as id`.execute(db)
  return rows[0]?.id ?? 0
}

/** Appends to a spooled body; `firstChunk` counts the rows written before. Returns how many rows it made. */
export async function appendSpool(
  pool: pg.Pool,
  messageId: number,
  firstChunk: number,
  bytes: readonly Buffer[],
): Promise<number> {
  const rows = [...chunkRows(messageId, firstChunk, bytes)]
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await copyRows(client, 'poststelle.message_bodies (message_id, chunk, bytes)', rows)
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    client.release(broken)
  }
  return rows.length
}

/** Removes bodies whose message never came to be, because its session broke off. */
export async function sweepSpools(db: Db): Promise<number> {
  const { rows } = await sql`
    with gone as (
      delete from poststelle.message_spools where started_at < now() - interval '1 day' returning message_id
    ), bodies as (
      delete from poststelle.message_bodies b using gone where b.message_id = gone.message_id
    ) select from gone`.execute(db)
  return rows.length
}
