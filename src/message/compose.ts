// Makes the bytes of a message out of its parts, with nodemailer's composer, as a stream: attachments pass through, they are not
// held. The same parts make the same bytes. RFC 5322, RFC 2045 to 2047, RFC 6532 where a mailbox name is not ASCII.

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import MailComposer from 'nodemailer/lib/mail-composer'

export interface ComposeAddress {
  readonly address: string
  readonly name?: string
}

export interface ComposeParts {
  readonly from: ComposeAddress
  readonly replyTo?: ComposeAddress
  readonly to: readonly ComposeAddress[]
  readonly cc: readonly ComposeAddress[]
  readonly subject?: string
  readonly text?: string
  readonly html?: string
  readonly headers: Readonly<Record<string, string>>
  readonly attachments: readonly ComposeAttachment[]
  /** With its angle brackets. */
  readonly messageId: string
  readonly date: Date
}

export interface ComposeAttachment {
  readonly filename?: string
  readonly contentType: string
  readonly contentId?: string
  readonly disposition?: 'attachment' | 'inline'
  readonly sizeBytes: number
  /** Read once, to its end. */
  readonly content: AsyncIterable<Buffer>
}

/** These parts do not make a message; another try would not either. */
export class CannotCompose extends Error {
  override readonly name = 'CannotCompose'
}

/**
 * The message in pieces, with CRLF line ends. The values are checked ones: nothing here parses an address or a header. Throws
 * CannotCompose, or what the content of an attachment throws.
 */
export async function* compose(parts: ComposeParts): AsyncGenerator<Buffer> {
  const broken: unknown[] = []
  let output: Readable | undefined
  try {
    output = composer(parts, (error) => broken.push(error))
      .compile()
      .createReadStream()
    for await (const piece of output) yield piece as Buffer
  } catch (error) {
    if (broken.length > 0) throw broken[0]
    throw new CannotCompose(`the message could not be composed: ${String(error)}`, { cause: error })
  } finally {
    output?.destroy()
  }
}

function composer(parts: ComposeParts, onBroken: (error: unknown) => void): MailComposer {
  return new MailComposer({
    from: named(parts.from),
    to: parts.to.map(named),
    cc: parts.cc.map(named),
    ...(parts.replyTo && { replyTo: named(parts.replyTo) }),
    headers: [
      ...Object.entries(parts.headers).map(([name, value]) => field(name, value.trim().replaceAll(/ +/g, ' '))),
      ...(parts.subject === undefined ? [] : [field('Subject', parts.subject)]),
    ],
    ...(parts.text !== undefined && { text: lines(parts.text) }),
    ...(parts.html !== undefined && { html: lines(parts.html) }),
    attachments: parts.attachments.map((attachment) => ({
      filename: attachment.filename ?? false,
      contentType: attachment.contentType,
      contentDisposition: attachment.disposition ?? (attachment.contentId === undefined ? 'attachment' : 'inline'),
      ...(attachment.contentId !== undefined && { cid: attachment.contentId }),
      ...(isMessage(attachment.contentType) && { contentTransferEncoding: '8bit' }),
      content: attachment.sizeBytes === 0 ? '' : Readable.from(guarded(attachment, onBroken), { objectMode: false }),
    })),
    messageId: parts.messageId,
    date: parts.date,
    // drawn from an id that was made after the contents: none of them can hold it
    baseBoundary: createHash('sha256').update(parts.messageId).digest('hex').slice(0, 32),
    newline: 'windows',
    disableFileAccess: true,
    disableUrlAccess: true,
  })
}

/** A name of its own, so that an address is never read out of a text. */
const named = ({ address, name }: ComposeAddress): { address: string; name: string } => ({ address, name: name ?? '' })

/** Other than the composer does it, quotes stay as they are: programs read these fields too. */
const field = (key: string, value: string) => ({
  key,
  // what looks like an encoded word is encoded, so that it is read as it was written
  value: {
    prepared: true,
    foldLines: true,
    value: /^[!-~]+(?: [!-~]+)*$/.test(value) && !value.includes('=?') ? value : encodedWords(value),
  },
})

const WORD_BYTES = 39

/** RFC 2047: words of whole characters, none longer than 75 octets. */
export function encodedWords(text: string): string {
  const words = ['']
  for (const character of text) {
    const longer = `${words.at(-1)}${character}`
    if (Buffer.byteLength(longer) > WORD_BYTES) words.push(character)
    else words[words.length - 1] = longer
  }
  return words.map((word) => `=?UTF-8?B?${Buffer.from(word).toString('base64')}?=`).join(' ')
}

const lines = (text: string): string => text.replaceAll(/\r\n|\r|\n/g, '\r\n')

const isMessage = (contentType: string): boolean => /^message\//i.test(contentType)

async function* guarded(
  { content, sizeBytes }: ComposeAttachment,
  onBroken: (error: unknown) => void,
): AsyncGenerator<Buffer> {
  let bytes = 0
  try {
    for await (const piece of content) {
      bytes += piece.length
      yield piece
    }
    // an attachment that has lost a piece is not sent as a shorter one
    if (bytes !== sizeBytes) throw new CannotCompose(`an attachment has ${bytes} bytes instead of ${sizeBytes}`)
  } catch (error) {
    onBroken(error)
    throw error
  }
}
