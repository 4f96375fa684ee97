// Takes one message apart, streaming (RFC 2045 to 2049, 5322, 3464): bodies, attachments piece by piece, threading, its kind, and
// what a delivery report says. Nothing here knows a database; it runs in a thread of its own, because a message may be made to hurt.

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Bodies, isBody } from './bodies.ts'
import { readDeliveryReport, type ReportRow } from './dsn.ts'
import { decodeField, messageIds, readFields, type Fields } from './fields.ts'
import { messageName, safeName } from './file-name.ts'
import { GuardedParser, refusal, type AttachmentStream, type Part } from './guarded-parser.ts'
import { isAutoReply, isDispositionReport, type Kind } from './kind.ts'
import type { ParseLimits } from './limits.ts'

export interface ParsedAttachment {
  /** From 1, in the order in the message. */
  readonly ordinal: number
  readonly name: string
  readonly contentType: string
  readonly disposition: 'attachment' | 'inline'
  readonly contentId: string | null
  readonly sizeBytes: number
  readonly sha256: Uint8Array
}

export interface ParsedMessage {
  readonly kind: Kind
  readonly messageId: string | null
  readonly inReplyTo: string | null
  readonly referenceIds: readonly string[]
  readonly bodyText: string | null
  readonly bodyHtml: string | null
  readonly notes: readonly string[]
  readonly attachments: readonly ParsedAttachment[]
  readonly reports: readonly ReportRow[]
}

/** Takes the next bytes of an attachment; resolves when there is room for more. */
export type AttachmentWriter = (ordinal: number, bytes: Buffer) => Promise<void>

const MAX_REFERENCES = 100
/** Of an attached message or report this much is read for names, ids and recipients. */
const KEPT_BYTES = 256 * 1024

/** Throws ParseRefused where the message is over a limit. What `source` and `write` throw comes through. */
export async function parseMessage(
  source: AsyncIterable<Uint8Array>,
  write: AttachmentWriter,
  limits: ParseLimits,
): Promise<ParsedMessage> {
  const parser = new GuardedParser(limits)
  const message = new MessageParts(parser, limits, write)
  try {
    const bytes = Readable.from(withLineFeeds(source, parser.notes), { objectMode: false })
    await Promise.all([pipeline(bytes, parser), message.takeAll()])
  } catch (error) {
    throw refusal(error, limits)
  }
  return message.finish()
}

/** A message whose lines end in lone CR has no line at all for a parser that looks for LF. */
async function* withLineFeeds(source: AsyncIterable<Uint8Array>, notes: Set<string>): AsyncGenerator<Buffer> {
  let lone: boolean | undefined
  for await (const bytes of source) {
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    lone ??= chunk.includes(0x0d) && !chunk.includes(0x0a)
    if (lone) {
      notes.add('its lines end in CR alone')
      for (let at = chunk.indexOf(0x0d); at >= 0; at = chunk.indexOf(0x0d, at + 1)) chunk[at] = 0x0a
    }
    yield chunk
  }
}

class MessageParts {
  readonly #parser: GuardedParser
  readonly #write: AttachmentWriter
  readonly #bodies: Bodies
  readonly #attachments: ParsedAttachment[] = []
  readonly #types: string[] = []
  readonly #statuses: string[] = []
  #original: Fields | undefined

  constructor(parser: GuardedParser, limits: ParseLimits, write: AttachmentWriter) {
    this.#parser = parser
    this.#write = write
    this.#bodies = new Bodies(limits.bodyBytes, parser.notes)
  }

  async takeAll(): Promise<void> {
    for await (const item of this.#parser as AsyncIterable<AttachmentStream | { type: 'text' }>) {
      if (item.type === 'attachment') await this.#take(item)
    }
  }

  async #take(stream: AttachmentStream): Promise<void> {
    const part = this.#parser.nextPart()
    const content = stream.content as AsyncIterable<Buffer>
    if (part && isBody(part)) await this.#bodies.take(part, content)
    else if (part) await this.#attach(part, content)
    stream.release?.()
  }

  /** When everything was taken. */
  finish(): ParsedMessage {
    const { rootFields: fields, rootType, notes } = this.#parser
    const reportType =
      rootType.value === 'multipart/report' ? (rootType.params.get('report-type') ?? '').toLowerCase() : ''
    const text = this.#bodies.text
    const html = this.#bodies.html
    const disposed = isDispositionReport(reportType, this.#types)
    const report = disposed
      ? undefined
      : readDeliveryReport({ fields, reportType, statuses: this.#statuses, original: this.#original, text })
    const kind = disposed
      ? 'disposition_report'
      : report
        ? 'delivery_report'
        : isAutoReply(fields)
          ? 'auto_reply'
          : 'mail'
    const references = messageIds(fields.all('references'))
    return {
      kind,
      messageId: messageIds(fields.all('message-id'))[0] ?? null,
      inReplyTo: messageIds(fields.all('in-reply-to'))[0] ?? null,
      // the first is the root of the conversation, the last are what it answers
      referenceIds:
        references.length > MAX_REFERENCES
          ? [...references.slice(0, 1), ...references.slice(1 - MAX_REFERENCES)]
          : references,
      bodyText: text,
      bodyHtml: html,
      notes: [...notes],
      attachments: this.#attachments,
      reports: report ?? [],
    }
  }

  async #attach(part: Part, content: AsyncIterable<Buffer>): Promise<void> {
    const ordinal = this.#attachments.length + 1
    const hash = createHash('sha256')
    const head: Buffer[] = []
    const keep = /^(?:message\/|text\/rfc822-headers$)/.test(part.contentType)
    let sizeBytes = 0
    for await (const bytes of content) {
      hash.update(bytes)
      if (keep && sizeBytes < KEPT_BYTES) head.push(Buffer.from(bytes))
      sizeBytes += bytes.length
      await this.#write(ordinal, bytes)
    }
    this.#types.push(part.contentType)
    const inner = keep ? this.#readHead(part, Buffer.concat(head)) : undefined
    const contentId = part.fields
      .text('content-id')
      .replace(/^\s*<|>\s*$/g, '')
      .replace(/[\u0000-\u001f\u007f]/g, '')
      .trim()
    this.#attachments.push({
      ordinal,
      name: nameOf(part, inner, ordinal),
      contentType: cleanType(part.contentType),
      disposition:
        part.disposition.value === 'inline' ||
        (part.disposition.value === '' && contentId !== '' && part.parentType === 'multipart/related')
          ? 'inline'
          : 'attachment',
      contentId: contentId === '' ? null : contentId.toWellFormed().slice(0, 500),
      sizeBytes,
      sha256: hash.digest(),
    })
  }

  /** Header of an attached message; remembers what a report needs. */
  #readHead(part: Part, head: Buffer): Fields | undefined {
    if (/^message\/(?:global-)?delivery-status$/.test(part.contentType)) {
      this.#statuses.push(head.toString('utf8'))
      return undefined
    }
    if (!/^message\/(?:rfc822|global)(?:-headers)?$|^text\/rfc822-headers$/.test(part.contentType)) return undefined
    const fields = readFields(head)
    this.#original ??= fields
    return part.contentType === 'message/rfc822' || part.contentType === 'message/global' ? fields : undefined
  }
}

function nameOf(part: Part, inner: Fields | undefined, ordinal: number): string {
  const declared = part.disposition.params.get('filename') ?? part.type.params.get('name') ?? ''
  if (declared.trim() === '' && inner) return messageName(decodeField(inner.raw('subject') ?? ''), ordinal)
  return safeName(declared, ordinal, part.contentType)
}

const cleanType = (type: string): string =>
  /^[a-z0-9][\w.+!#$&^-]{0,126}\/[a-z0-9][\w.+!#$&^-]{0,126}$/.test(type) ? type : 'application/octet-stream'
