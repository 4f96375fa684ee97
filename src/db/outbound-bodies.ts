// The bytes of outbound messages: small ones read ahead for a whole batch, larger ones piece by piece while they are sent.

import { sql } from 'kysely'
import type { Db } from './database.ts'
import type { ClaimedMessage } from './outbound.ts'

/** Of one piece, whatever the size of the message. */
const READ_AHEAD_MAX_BYTES = 64 * 1024
const PIECE_BYTES = 48 * 1024

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

/** The body in pieces, in constant memory. `ahead`: the whole of it, where it was read before. */
export async function* readOutboundBody(
  db: Db,
  { id: messageId, sizeBytes }: { id: number; sizeBytes: number },
  ahead?: Buffer,
): AsyncGenerator<Buffer> {
  let bytes = 0
  for await (const piece of ahead ? [ahead] : pieces(db, messageId)) {
    bytes += piece.length
    yield piece
  }
  // before the final dot: a mail that has lost a piece is not sent as a shorter one
  if (bytes !== sizeBytes)
    throw new Error(`message ${messageId} has ${bytes} bytes in the database instead of ${sizeBytes}`)
}

/**
 * A chunk comes as several rows: their hexadecimal texts are short-lived and small enough to be cleared away as such, where that of a whole
 * chunk stays until the heap is full.
 */
async function* pieces(db: Db, messageId: number): AsyncGenerator<Buffer> {
  for (let chunk = 0; ; chunk++) {
    const { rows } = await sql<{ bytes: Buffer }>`
      select substring(b.bytes from n + 1 for ${PIECE_BYTES}) as bytes
      from poststelle.outbound_bodies b cross join generate_series(0, length(b.bytes) - 1, ${PIECE_BYTES}) n
      where b.message_id = ${messageId} and b.chunk = ${chunk} order by n`.execute(db)
    if (rows.length === 0) return
    for (const row of rows) yield row.bytes
  }
}
