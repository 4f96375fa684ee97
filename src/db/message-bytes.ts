// Reads raw messages and attachments piece by piece, so that memory does not depend on their size.

import { sql, type RawBuilder } from 'kysely'
import type { Database, Db } from './database.ts'
import { inboxConditions, type InboxFilter } from './inbox.ts'

/** Rows of at most 256 KiB. */
const ROWS_AT_ONCE = 16
const BATCH_MESSAGES = 500
const BATCH_BYTES = 4 * 1024 * 1024

/** The raw bytes, exactly as the server sent them; nothing where there are none. */
export const rawMessage = (db: Db, id: number): AsyncGenerator<Buffer> =>
  chunks(
    db,
    (next) => sql`select chunk, bytes from poststelle.message_bodies where message_id = ${id} and chunk >= ${next}`,
  )

/** The decoded bytes of one attachment; nothing where it is empty. */
export const attachmentBytes = (db: Db, messageId: number, ordinal: number): AsyncGenerator<Buffer> =>
  chunks(
    db,
    (
      next,
    ) => sql`select b.chunk, b.bytes from poststelle.attachments t join poststelle.blob_chunks b on b.blob_id = t.blob_id
      where t.message_id = ${messageId} and t.ordinal = ${ordinal} and b.chunk >= ${next}`,
  )

async function* chunks(db: Db, select: (next: number) => RawBuilder<unknown>): AsyncGenerator<Buffer> {
  for (let next: number | undefined = 0; next !== undefined;) {
    const { rows }: { rows: { chunk: number; bytes: Buffer }[] } = await sql<{ chunk: number; bytes: Buffer }>`
      ${select(next)} order by chunk limit ${ROWS_AT_ONCE}`.execute(db)
    for (const row of rows) yield row.bytes
    const last = rows.at(-1)
    next = last && rows.length === ROWS_AT_ONCE ? last.chunk + 1 : undefined
  }
}

export interface ExportedMessage {
  readonly id: number
  readonly receivedAt: Date
  readonly fromAddress: string | null
  /** It has a size, and no bytes. */
  readonly lost: boolean
  /** To be read to its end before the next message. */
  readonly body: AsyncIterable<Buffer> | readonly Buffer[]
}

interface Head {
  readonly id: number
  readonly receivedAt: Date
  readonly fromAddress: string | null
  readonly sizeBytes: number
}

/** Every message that fits, oldest first. Small ones are read many at once, large ones in pieces. */
export async function* exportMessages({ db, pool }: Database, filter: InboxFilter): AsyncGenerator<ExportedMessage> {
  // found once, and kept by the server: no transaction is open while files are written
  const select = sql`declare poststelle_export cursor with hold for
    select m.id, m.received_at as "receivedAt", m.from_address as "fromAddress", m.size_bytes as "sizeBytes"
    from poststelle.messages m left join poststelle.message_contents c on c.message_id = m.id
    where ${inboxConditions(filter)} order by m.id`.compile(db)
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await client.query(select.sql, [...select.parameters])
    for (;;) {
      const { rows: heads } = await client.query<Head>(`fetch ${BATCH_MESSAGES} from poststelle_export`)
      if (heads.length === 0) break
      for (const batch of bySize(heads)) yield* readBatch(db, batch)
    }
    await client.query('close poststelle_export')
  } catch (error) {
    broken = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    client.release(broken ?? false)
  }
}

async function* readBatch(db: Db, batch: readonly Head[]): AsyncGenerator<ExportedMessage> {
  const [only] = batch
  if (batch.length === 1 && only && only.sizeBytes > BATCH_BYTES) {
    const first = await db
      .selectFrom('message_bodies')
      .select('chunk')
      .where('message_id', '=', only.id)
      .limit(1)
      .execute()
    yield { ...only, lost: first.length === 0, body: rawMessage(db, only.id) }
    return
  }
  const bodies = await smallBodies(db, batch)
  for (const head of batch) {
    const body = bodies.get(head.id)
    yield { ...head, lost: head.sizeBytes > 0 && body === undefined, body: body ?? [] }
  }
}

/** Runs of messages that are together no larger than a batch; a large one stands alone. */
function* bySize(heads: readonly Head[]): Generator<Head[]> {
  let batch: Head[] = []
  let bytes = 0
  for (const head of heads) {
    if (batch.length > 0 && bytes + head.sizeBytes > BATCH_BYTES) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(head)
    bytes += head.sizeBytes
  }
  if (batch.length > 0) yield batch
}

async function smallBodies(db: Db, batch: readonly Head[]): Promise<Map<number, Buffer[]>> {
  const { rows } = await sql<{ message_id: number; bytes: Buffer }>`
    select message_id, bytes from poststelle.message_bodies where message_id = any(${batch.map(({ id }) => id)}::bigint[])
    order by message_id, chunk`.execute(db)
  const bodies = new Map<number, Buffer[]>()
  for (const { message_id: id, bytes } of rows) {
    const body = bodies.get(id)
    if (body) body.push(bytes)
    else bodies.set(id, [bytes])
  }
  return bodies
}
