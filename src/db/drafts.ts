// Drafts: messages that were submitted in parts, until their bytes are made. Pieces are written while they are made, without a
// transaction; they count only once the message is settled as composed, under the lease.

import { sql, type RawBuilder } from 'kysely'
import type { Db } from './database.ts'
import { underLease, type Lease } from './lanes.ts'
import type { StoredParts } from './schema-outbound.ts'

/** Of a body in one row. */
export const BODY_CHUNK_BYTES = 256 * 1024

export interface Draft {
  readonly messageId: number
  /** The header field, with its angle brackets. */
  readonly internetMessageId: string
  readonly datedAt: Date
  readonly parts: StoredParts
}

/** undefined: the message has none, or no longer. */
export async function readDraft(db: Db, messageId: number): Promise<Draft | undefined> {
  return await db
    .selectFrom('outbound_drafts as d')
    .innerJoin('outbound_messages as m', 'm.id', 'd.message_id')
    .select([
      'm.id as messageId',
      'm.internet_message_id as internetMessageId',
      'd.dated_at as datedAt',
      'd.parts as parts',
    ])
    .where('m.id', '=', messageId)
    .$narrowType<{ parts: StoredParts }>()
    .executeTakeFirst()
}

/** The bytes of one attachment, by its place from 0, in constant memory. */
export async function* draftAttachment(db: Db, messageId: number, ordinal: number): AsyncGenerator<Buffer> {
  for (let chunk = 0; ; chunk++) {
    const row = await db
      .selectFrom('outbound_draft_attachments')
      .select('bytes')
      .where('message_id', '=', messageId)
      .where('ordinal', '=', ordinal)
      .where('chunk', '=', chunk)
      .executeTakeFirst()
    if (!row) return
    yield row.bytes
  }
}

/** Size of a composed message; undefined while it is a draft. */
export async function composedSize(db: Db, messageId: number): Promise<number | undefined> {
  const row = await db
    .selectFrom('outbound_messages')
    .select('size_bytes')
    .where('id', '=', messageId)
    .executeTakeFirst()
  return row?.size_bytes ?? undefined
}

/** Takes away the pieces of a composition that was broken off. */
export async function dropPieces(db: Db, lease: Lease, messageId: number): Promise<void> {
  await underLease(db, lease, async (tx) => {
    await sql`delete from poststelle.outbound_bodies b using poststelle.outbound_messages m
      where m.id = ${messageId} and b.message_id = m.id and m.size_bytes is null`.execute(tx)
  })
}

/** Writes pieces of a message that is still a draft. No lock is kept on the lane: a large message takes its time. Throws LeaseLost. */
export async function writePieces(
  db: Db,
  lease: Lease,
  messageId: number,
  firstChunk: number,
  chunks: readonly Buffer[],
): Promise<void> {
  const { numAffectedRows } = await sql`
    insert into poststelle.outbound_bodies (message_id, chunk, bytes)
    select m.id, p.chunk, p.bytes from poststelle.outbound_messages m, ${rowsOf(firstChunk, chunks)}
    where m.id = ${messageId} and m.size_bytes is null and exists (select from poststelle.lanes l where l.account_id = ${lease.accountId}
      and l.lane = ${lease.lane} and l.lease_token = ${lease.token} and l.lease_until > now())
    on conflict (message_id, chunk) do update set bytes = excluded.bytes`.execute(db)
  // whether the lease is gone or the draft is: the check under the lease says which
  if (!numAffectedRows) await underLease(db, lease, async () => undefined)
}

/** The message is composed: its last pieces, size and hash, and the draft is gone. One transaction; throws LeaseLost. */
export async function settleComposed(
  db: Db,
  lease: Lease,
  messageId: number,
  last: {
    readonly firstChunk: number
    readonly chunks: readonly Buffer[]
    readonly sizeBytes: number
    readonly sha256: Buffer
  },
): Promise<void> {
  await underLease(db, lease, async (tx, accountId) => {
    await sql`
      with composed as (
        update poststelle.outbound_messages set size_bytes = ${last.sizeBytes}, sha256 = ${last.sha256}
        where id = ${messageId} and account_id = ${accountId} and size_bytes is null returning id
      ), body as (
        insert into poststelle.outbound_bodies (message_id, chunk, bytes)
        select c.id, p.chunk, p.bytes from composed c, ${rowsOf(last.firstChunk, last.chunks)}
        on conflict (message_id, chunk) do update set bytes = excluded.bytes
      )
      delete from poststelle.outbound_drafts d using composed where d.message_id = composed.id`.execute(tx)
  })
}

/** Each chunk as a parameter of its own: an array of them would go as hexadecimal text. */
const rowsOf = (firstChunk: number, chunks: readonly Buffer[]): RawBuilder<unknown> =>
  sql`(values ${sql.join(chunks.map((bytes, i) => sql`(${firstChunk + i}::int, ${bytes}::bytea)`))}) p (chunk, bytes)`
