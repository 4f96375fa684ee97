// Received messages: a batch with its ledger rows in one transaction, and the spool of messages too large for memory.

import { sql } from 'kysely'
import type pg from 'pg'
import type { Summary } from '../base/summary.ts'
import { copyRows, type CopyValue } from './copy.ts'
import type { Database, Db } from './database.ts'
import { holdLeaseOn, type Lease } from './lanes.ts'
import { ledgerKey, type LedgerKey } from './maildrops.ts'

/** Largest piece of a message in one row. */
export const CHUNK_BYTES = 256 * 1024

export interface NewMessage extends LedgerKey, Summary {
  /** Set where the body was spooled before. */
  readonly spooledAs: number | undefined
  /** The whole body, where it was not spooled. */
  readonly body: readonly Buffer[]
  readonly sizeBytes: number
  readonly sha256: Buffer
}

/**
 * Stores messages, bodies and ledger rows in one transaction, under the lease. Throws LeaseLost, or the database's error: then
 * nothing of the batch is stored.
 */
export async function storeBatch({ db, pool }: Database, lease: Lease, batch: readonly NewMessage[]): Promise<void> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await client.query('begin')
    await holdLeaseOn(client, db, lease)
    const returned = await clearLedger(client, lease.accountId, batch)
    const fresh = batch.filter((message) => !returned.has(ledgerKey(message)))
    const ids = await reserveIds(client, fresh.length)
    const rows = fresh.map((message, i) => ({ message, id: message.spooledAs ?? ids[i] ?? 0 }))
    await copyRows(
      client,
      'poststelle.messages (id, account_id, size_bytes, sha256, internet_message_id, date_at, from_address, from_name, to_addresses, subject)',
      rows.map(({ message: m, id }) => [
        { int8: id },
        { int8: lease.accountId },
        { int8: m.sizeBytes },
        m.sha256,
        m.internetMessageId,
        m.dateAt && { at: m.dateAt },
        m.fromAddress,
        m.fromName,
        m.toAddresses,
        m.subject,
      ]),
    )
    await copyRows(
      client,
      'poststelle.message_bodies (message_id, chunk, bytes)',
      rows.flatMap(({ message, id }) => [...chunkRows(id, 0, message.body)]),
    )
    const storedAt = new Date()
    await copyRows(
      client,
      'poststelle.maildrop_uidls (account_id, uidl, ordinal, state, size_bytes, sha256, message_id, stored_at)',
      rows.map(({ message: m, id }) => [
        { int8: lease.accountId },
        m.uidl,
        { int4: m.ordinal },
        'stored',
        { int8: m.sizeBytes },
        m.sha256,
        { int8: id },
        { at: storedAt },
      ]),
    )
    await copyRows(
      client,
      'poststelle.parse_queue (message_id, account_id)',
      rows.map(({ id }) => [{ int8: id }, { int8: lease.accountId }]),
    )
    await client.query(`select pg_notify('poststelle_bell', 'parse:' || $1::text)`, [lease.accountId])
    const spooled = batch.flatMap((message) => message.spooledAs ?? [])
    const needless = batch.flatMap((m) => (returned.has(ledgerKey(m)) ? (m.spooledAs ?? []) : []))
    if (needless.length > 0) {
      await client.query('delete from poststelle.message_bodies where message_id = any($1)', [needless])
    }
    if (spooled.length > 0)
      await client.query('delete from poststelle.message_spools where message_id = any($1)', [spooled])
    await client.query('commit')
  } catch (error) {
    await client.query('rollback').catch((failed: Error) => {
      broken = failed
    })
    throw error
  } finally {
    client.release(broken)
  }
}

/**
 * Makes room for keys the ledger has already: skipped before, or deleted and listed again. What was deleted and is the same
 * message is stored already: its row says so again, and its key is returned. Another message under an old UIDL is a new one.
 */
async function clearLedger(
  client: pg.ClientBase,
  accountId: number,
  batch: readonly NewMessage[],
): Promise<ReadonlySet<string>> {
  const keys = [accountId, batch.map((m) => m.uidl), batch.map((m) => m.ordinal), batch.map((m) => m.sha256)]
  const { rows } = await client.query<LedgerKey>(
    `update poststelle.maildrop_uidls u set state = 'stored', deleted_at = null, stored_at = now()
     from unnest($2::text[], $3::int[], $4::bytea[]) k (uidl, ordinal, sha256)
     where u.account_id = $1 and u.uidl = k.uidl and u.ordinal = k.ordinal and u.state = 'deleted' and u.sha256 = k.sha256
     returning u.uidl, u.ordinal`,
    keys,
  )
  await client.query(
    `delete from poststelle.maildrop_uidls u using unnest($2::text[], $3::int[]) k (uidl, ordinal)
     where u.account_id = $1 and u.uidl = k.uidl and u.ordinal = k.ordinal and u.state in ('skipped', 'deleted')`,
    keys.slice(0, 3),
  )
  return new Set(rows.map(ledgerKey))
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
