// Received and parsed messages, written by SQL as the owner of the tables.

import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type pg from 'pg'
import type { Db } from '../../src/db/database.ts'

export interface InboxRow {
  readonly accountId: number
  readonly subject?: string | null
  readonly fromName?: string | null
  readonly fromAddress?: string | null
  readonly raw?: Buffer
  readonly receivedAt?: Date
  readonly complete?: boolean
  /** Rows of message_bodies; the last one takes the rest. */
  readonly chunkBytes?: number
}

/** A stored message that waits for parsing; returns its id. */
export async function insertMessage(db: Db, row: InboxRow): Promise<number> {
  const raw = row.raw ?? Buffer.from(`Subject: ${row.subject ?? 'x'}\r\n\r\nText\r\n`)
  const { id } = await db
    .insertInto('messages')
    .values({
      account_id: row.accountId,
      size_bytes: raw.length,
      sha256: createHash('sha256').update(raw).digest(),
      internet_message_id: null,
      date_at: null,
      from_address: row.fromAddress === undefined ? 'anna@example.test' : row.fromAddress,
      from_name: row.fromName ?? null,
      to_addresses: null,
      subject: row.subject === undefined ? 'Hallo' : row.subject,
      ...(row.receivedAt && { received_at: row.receivedAt }),
      ...(row.complete !== undefined && { complete: row.complete }),
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  const size = row.chunkBytes ?? 256 * 1024
  for (let at = 0; at < raw.length; at += size)
    await db
      .insertInto('message_bodies')
      .values({ message_id: id, chunk: at / size, bytes: raw.subarray(at, at + size) })
      .execute()
  return id
}

export interface Contents {
  readonly text?: string | null
  readonly html?: string | null
  readonly quarantined?: string
  readonly threadId?: string
  /** What the search column is made of; without it the text. */
  readonly words?: string
}

/** The lock under which positions are given: 'POSI' and 'TION' in ASCII. */
export const POSITION_LOCK = [0x504f5349, 0x54494f4e] as const

/** In the caller's open transaction: the last thing before its commit, as the program settles a parsed message. */
export async function settleContents(
  client: pg.ClientBase,
  messageId: number,
  contents: Contents = {},
): Promise<number> {
  await client.query('select pg_advisory_xact_lock($1, $2)', [...POSITION_LOCK])
  const { text = 'Text', html = null, quarantined = null, threadId = null } = contents
  const { rows } = await client.query<{ position: string }>(
    `insert into poststelle.message_contents (message_id, account_id, position, state, reason, kind, thread_id, body_text, body_html, search)
     select m.id, m.account_id, nextval('poststelle.inbox_position'), case when $2::text is null then 'parsed' else 'quarantined' end, $2,
       'mail', $3, $4, $5, to_tsvector('german', $6) || to_tsvector('english', $6) || to_tsvector('simple', $6)
     from poststelle.messages m where m.id = $1 returning position`,
    [messageId, quarantined, threadId, text, html, contents.words ?? text ?? ''],
  )
  await client.query(`select pg_notify('poststelle_inbox', $1)`, [String(messageId)])
  return Number(rows[0]?.position)
}

export async function settle(pool: pg.Pool, messageId: number, contents: Contents = {}): Promise<number> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    const position = await settleContents(client, messageId, contents)
    await client.query('commit')
    return position
  } finally {
    client.release()
  }
}

export async function insertAttachment(
  db: Db,
  messageId: number,
  attachment: { ordinal: number; name: string; chunks: readonly Buffer[] },
): Promise<void> {
  const bytes = Buffer.concat(attachment.chunks)
  const sha256 = createHash('sha256').update(bytes).digest()
  const { id } = await db
    .insertInto('blobs')
    .values({ sha256, size_bytes: bytes.length })
    .onConflict((oc) => oc.column('sha256').doUpdateSet({ size_bytes: bytes.length }))
    .returning('id')
    .executeTakeFirstOrThrow()
  for (const [chunk, piece] of attachment.chunks.entries())
    await sql`insert into poststelle.blob_chunks values (${id}, ${chunk}, ${piece}) on conflict do nothing`.execute(db)
  await db
    .insertInto('attachments')
    .values({
      message_id: messageId,
      ordinal: attachment.ordinal,
      name: attachment.name,
      content_type: 'application/pdf',
      disposition: 'attachment',
      content_id: null,
      size_bytes: bytes.length,
      sha256,
      blob_id: id,
    })
    .execute()
}
