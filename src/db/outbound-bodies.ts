// The bytes of outbound messages: small ones read ahead for a whole batch, larger ones piece by piece while they are sent.

import { sql } from 'kysely'
import { prepared, type Database, type Db } from './database.ts'
import type { ClaimedMessage } from './outbound.ts'

/** Of one piece, whatever the size of the message. */
const READ_AHEAD_MAX_BYTES = 64 * 1024
const PIECE_BYTES = 48 * 1024

/** What is in the database is not what was accepted; nothing of it is sent. */
export class DamagedBody extends Error {
  override readonly name = 'DamagedBody'
}

/** Bodies of one piece, by message id. */
export async function readSmallBodies(db: Db, messages: readonly ClaimedMessage[]): Promise<Map<number, Buffer>> {
  const ids = messages
    .filter(({ sizeBytes }) => sizeBytes !== null && sizeBytes <= READ_AHEAD_MAX_BYTES)
    .map(({ id }) => id)
  if (ids.length === 0) return new Map()
  const rows = await db
    .selectFrom('outbound_bodies')
    .select(['message_id', 'bytes'])
    .where('message_id', 'in', ids)
    .where('chunk', '=', 0)
    .execute()
  return new Map(rows.map((row) => [row.message_id, row.bytes]))
}

/** The body in pieces, in constant memory. `ahead`: the whole of it, where it was read before. Throws DamagedBody. */
export async function* readOutboundBody(
  database: Database,
  { id: messageId, sizeBytes }: { id: number; sizeBytes: number },
  ahead?: Buffer,
): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const piece of ahead ? [ahead] : pieces(database, messageId)) {
    bytes += piece.length
    yield piece
  }
  // before the final dot: a mail that has lost a piece is not sent as a shorter one
  if (bytes !== sizeBytes)
    throw new DamagedBody(`message ${messageId} has ${bytes} bytes in the database instead of ${sizeBytes}`)
}

/**
 * A chunk comes in several answers, one at a time: what hangs on one of them is short-lived, and small enough to be cleared away as
 * such, where that of a whole chunk would stay until the heap is full.
 */
async function* pieces(database: Database, messageId: number): AsyncGenerator<Buffer> {
  for (let [chunk, from] = [0, 0]; ; from += PIECE_BYTES) {
    const { rows } = await prepared<{ bytes: Buffer }>(
      database,
      'read_body_piece',
      sql`
      select substring(bytes from ${from + 1}::int for ${PIECE_BYTES}::int) as bytes from poststelle.outbound_bodies
      where message_id = ${messageId}::bigint and chunk = ${chunk}::int`,
    )
    const bytes = rows[0]?.bytes
    if (!bytes) return
    if (bytes.length > 0) yield bytes
    if (bytes.length < PIECE_BYTES) {
      chunk += 1
      from = -PIECE_BYTES
    }
  }
}
