// Bytes of attachments, each content once. Large ones are written piece by piece under a reserved id before their hash is known; when
// they are settled they become a blob, or make room for one that is there already.

import { sql } from 'kysely'
import type pg from 'pg'
import { copyRows, type CopyValue } from './copy.ts'
import type { Database, Db } from './database.ts'
import { CHUNK_BYTES } from './messages.ts'

/** What was received of one attachment: in memory where it is small, else in the chunks of a reserved id. */
export interface ReceivedBlob {
  readonly bytes: Buffer
  readonly spooledAs: number | undefined
}

export interface BlobToSettle extends ReceivedBlob {
  readonly sha256: Buffer
  readonly sizeBytes: number
}

/** Collects one attachment in bounded memory. */
export class BlobWriter {
  readonly #database: Database
  #pieces: Buffer[] = []
  #length = 0
  #spooledAs: number | undefined
  #chunk = 0

  constructor(database: Database) {
    this.#database = database
  }

  async write(bytes: Buffer): Promise<void> {
    this.#pieces.push(bytes)
    this.#length += bytes.length
    if (this.#length > CHUNK_BYTES) await this.#spool(this.#length - (this.#length % CHUNK_BYTES))
  }

  /** In memory. */
  get heldBytes(): number {
    return this.#length
  }

  /** Writes what is in memory into the spool: many small attachments are as much as a large one. */
  async spill(): Promise<void> {
    if (this.#length > 0) await this.#spool(this.#length)
  }

  async finish(): Promise<ReceivedBlob> {
    if (this.#spooledAs !== undefined) await this.spill()
    return { bytes: Buffer.concat(this.#pieces), spooledAs: this.#spooledAs }
  }

  async #spool(length: number): Promise<void> {
    this.#spooledAs ??= await beginBlobSpool(this.#database.db)
    const held = Buffer.concat(this.#pieces, this.#length)
    const rows = [...chunkRows(this.#spooledAs, this.#chunk, held.subarray(0, length))]
    this.#pieces = [held.subarray(length)]
    this.#length -= length
    this.#chunk += rows.length
    const client = await this.#database.pool.connect()
    let broken: Error | undefined
    try {
      await copyRows(client, 'poststelle.blob_chunks (blob_id, chunk, bytes)', rows)
    } catch (error) {
      broken = error instanceof Error ? error : new Error(String(error))
      throw error
    } finally {
      client.release(broken)
    }
  }
}

async function beginBlobSpool(db: Db): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.blob_spools (blob_id) values (nextval(pg_get_serial_sequence('poststelle.blobs', 'id')))
    returning blob_id as id`.execute(db)
  return rows[0]?.id ?? 0
}

function* chunkRows(id: number, firstChunk: number, bytes: Buffer): Generator<CopyValue[]> {
  for (let chunk = 0; chunk * CHUNK_BYTES < bytes.length; chunk++) {
    yield [{ int8: id }, { int4: firstChunk + chunk }, bytes.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)]
  }
}

/**
 * Inside the caller's transaction: makes a blob of every content that is new, and returns the blob of each by its hash in
 * hexadecimal digits. A blob that is used again counts as new, so that the sweep leaves it alone.
 */
export async function settleBlobs(
  client: pg.ClientBase,
  received: readonly BlobToSettle[],
): Promise<ReadonlyMap<string, number>> {
  // one order for everybody: two transactions that store the same contents wait for each other, and never in a circle
  const wanted = [...new Map(received.map((blob) => [blob.sha256.toString('hex'), blob])).entries()].toSorted(
    ([a], [b]) => (a < b ? -1 : 1),
  )
  if (wanted.length === 0) return new Map()
  const { rows } = await client.query<{ sha256: Buffer; id: number; fresh: boolean }>(
    `insert into poststelle.blobs as b (id, sha256, size_bytes)
     select coalesce(w.id, nextval(pg_get_serial_sequence('poststelle.blobs', 'id'))), w.sha256, w.size_bytes
     from unnest($1::bigint[], $2::bytea[], $3::bigint[]) with ordinality w (id, sha256, size_bytes, position) order by w.position
     on conflict (sha256) do update set created_at = now()
     returning b.sha256, b.id, (b.xmax = 0) as fresh`,
    [
      wanted.map(([, { spooledAs }]) => spooledAs ?? null),
      wanted.map(([, { sha256 }]) => sha256),
      wanted.map(([, { sizeBytes }]) => sizeBytes),
    ],
  )
  const settled = new Map(rows.map((row) => [row.sha256.toString('hex'), row]))
  const chunks = wanted.flatMap(([hash, { bytes, spooledAs }]) => {
    const row = settled.get(hash)
    return row?.fresh === true && spooledAs === undefined ? [...chunkRows(row.id, 0, bytes)] : []
  })
  if (chunks.length > 0) await copyRows(client, 'poststelle.blob_chunks (blob_id, chunk, bytes)', chunks)
  const ids = new Map([...settled].map(([hash, { id }]) => [hash, id]))
  const used = new Set(ids.values())
  const spooled = received.flatMap(({ spooledAs }) => spooledAs ?? [])
  await dropSpools(
    client,
    spooled,
    spooled.filter((id) => !used.has(id)),
  )
  return ids
}

async function dropSpools(
  client: pg.ClientBase,
  spools: readonly number[],
  chunksOf: readonly number[],
): Promise<void> {
  if (chunksOf.length > 0) await client.query('delete from poststelle.blob_chunks where blob_id = any($1)', [chunksOf])
  if (spools.length > 0) await client.query('delete from poststelle.blob_spools where blob_id = any($1)', [spools])
}

/** What was spooled of a message that could not be parsed. */
export async function discardBlobs(db: Db, ids: readonly number[]): Promise<void> {
  if (ids.length === 0) return
  await sql`
    with chunks as (delete from poststelle.blob_chunks where blob_id = any(${[...ids]}::bigint[]))
    delete from poststelle.blob_spools where blob_id = any(${[...ids]}::bigint[])`.execute(db)
}

const SWEPT_AT_ONCE = 10_000

/** Removes what nothing refers to for a day: chunks of parsers that broke off, and blobs whose messages are gone. */
export async function sweepBlobs(db: Db): Promise<number> {
  const { rows } = await sql`
    with spool as (
      delete from poststelle.blob_spools where started_at < now() - interval '1 day' returning blob_id as id
    ), orphan as (
      delete from poststelle.blobs b where b.id in (
        select o.id from poststelle.blobs o where o.created_at < now() - interval '1 day'
          and not exists (select from poststelle.attachments t where t.blob_id = o.id)
        limit ${SWEPT_AT_ONCE})
      and b.created_at < now() - interval '1 day' returning b.id
    ), gone as (select id from spool union all select id from orphan), chunks as (
      delete from poststelle.blob_chunks c using gone where c.blob_id = gone.id
    ) select from gone`.execute(db)
  return rows.length
}
