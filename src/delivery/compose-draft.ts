// Makes the final bytes of a message that was submitted in parts, before its first attempt. They do not change any more: Message-ID
// and Date were fixed when it was accepted.

import { createHash } from 'node:crypto'
import type { Db } from '../db/database.ts'
import {
  BODY_CHUNK_BYTES,
  composedSize,
  draftAttachment,
  dropPieces,
  readDraft,
  settleComposed,
  writePieces,
  type Draft,
} from '../db/drafts.ts'
import type { Lease } from '../db/lanes.ts'
import { DamagedBody } from '../db/outbound-bodies.ts'
import { compose } from '../message/compose.ts'

/** Larger messages are written while they are made. */
const HELD_CHUNKS = 8

/**
 * Composes the message, unless it is composed already. Holds no more than 2 MB of it. Throws CannotCompose where its parts do not
 * make a message, and LeaseLost.
 */
export async function composeDraft(db: Db, lease: Lease, messageId: number): Promise<{ sizeBytes: number }> {
  const draft = await readDraft(db, messageId)
  if (!draft) {
    const sizeBytes = await composedSize(db, messageId)
    if (sizeBytes === undefined) throw new DamagedBody(`message ${messageId} has neither a body nor a draft`)
    return { sizeBytes }
  }
  const sha256 = createHash('sha256')
  const writer = new BodyWriter(db, lease, messageId)
  let sizeBytes = 0
  for await (const piece of composeParts(db, draft)) {
    sha256.update(piece)
    sizeBytes += piece.length
    await writer.write(piece)
  }
  await settleComposed(db, lease, messageId, { ...writer.rest(), sizeBytes, sha256: sha256.digest() })
  return { sizeBytes }
}

function composeParts(db: Db, { messageId, internetMessageId, datedAt, parts }: Draft): AsyncGenerator<Buffer> {
  const { reply_to: replyTo, subject, text, html } = parts
  return compose({
    from: parts.from,
    to: parts.to,
    cc: parts.cc,
    headers: parts.headers,
    ...(replyTo && { replyTo }),
    ...(subject !== undefined && { subject }),
    ...(text !== undefined && { text }),
    ...(html !== undefined && { html }),
    attachments: parts.attachments.map((attachment, ordinal) => ({
      ...(attachment.filename !== undefined && { filename: attachment.filename }),
      contentType: attachment.content_type,
      ...(attachment.content_id !== undefined && { contentId: attachment.content_id }),
      ...(attachment.disposition && { disposition: attachment.disposition }),
      sizeBytes: attachment.size_bytes,
      content: draftAttachment(db, messageId, ordinal),
    })),
    messageId: internetMessageId,
    date: datedAt,
  })
}

/** Cuts the message into rows. */
class BodyWriter {
  readonly #db: Db
  readonly #lease: Lease
  readonly #messageId: number
  #pieces: Buffer[] = []
  #length = 0
  #chunk = 0

  constructor(db: Db, lease: Lease, messageId: number) {
    this.#db = db
    this.#lease = lease
    this.#messageId = messageId
  }

  async write(piece: Buffer): Promise<void> {
    this.#pieces.push(piece)
    this.#length += piece.length
    if (this.#length < HELD_CHUNKS * BODY_CHUNK_BYTES) return
    if (this.#chunk === 0) await dropPieces(this.#db, this.#lease, this.#messageId)
    const held = Buffer.concat(this.#pieces, this.#length)
    // something is left for the last statement
    const whole = held.length - (held.length % BODY_CHUNK_BYTES || BODY_CHUNK_BYTES)
    const chunks = [...cut(held.subarray(0, whole))]
    await writePieces(this.#db, this.#lease, this.#messageId, this.#chunk, chunks)
    this.#chunk += chunks.length
    this.#pieces = [held.subarray(whole)]
    this.#length -= whole
  }

  rest(): { firstChunk: number; chunks: Buffer[] } {
    return { firstChunk: this.#chunk, chunks: [...cut(Buffer.concat(this.#pieces, this.#length))] }
  }
}

function* cut(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += BODY_CHUNK_BYTES) yield bytes.subarray(at, at + BODY_CHUNK_BYTES)
}
