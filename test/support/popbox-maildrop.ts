// One maildrop of the popbox: what was ever put in, what is there now, and what left it how. Ground truth: a message is what a
// client has to store, byte for byte, whatever the server says about it.

import { createHash, randomBytes } from 'node:crypto'
import { dotStuff } from '../../src/sandbox/line-socket.ts'

export interface BoxMessage {
  uidl: string
  /** What LIST says. */
  announced: number
  readonly sizeBytes: number
  /** Of the bytes a client has to store. */
  readonly sha256: string
  /** The header and the empty line. */
  readonly head: Buffer
  /** Said instead of the message, as it is: a refusal, or `+OK` with an empty body. */
  refusal?: string
  /** As it goes over the wire: dots doubled, terminator behind it. */
  wire(): Iterable<Buffer>
}

export interface AddOptions {
  readonly uidl?: string
  readonly announced?: number
  readonly refusal?: string
}

export interface GeneratedBody {
  /** About that many; the message knows how many exactly. */
  readonly sizeBytes: number
  /** One line without an end instead of lines of 76 characters. */
  readonly oneLine?: boolean
}

/** The refusal of a server that lists a message before its body can be read. */
export const EMPTY_BODY = '+OK\r\n.\r\n'

const PIECE_BYTES = 64 * 1024
const TERMINATOR = Buffer.from('.\r\n')

export class Maildrop {
  readonly user: string
  password = 'correct-horse'
  /** Whoever holds it; the others are told that it is in use. */
  holder: object | undefined
  /** Everything that was ever put in. */
  readonly delivered: BoxMessage[] = []
  /** What DELE and QUIT removed, in order. */
  readonly deleted: BoxMessage[] = []
  readonly retrieved = new Set<BoxMessage>()
  #messages: BoxMessage[] = []
  #numbered = 0
  readonly #validity = randomBytes(4).toString('hex')

  constructor(user: string) {
    this.user = user
  }

  get messages(): readonly BoxMessage[] {
    return this.#messages
  }

  /** A server ends every message with a line end: one that has none gets one, and that is what a client has to store. */
  add(bytes: Buffer, o: AddOptions = {}): BoxMessage {
    const served = endsLine(bytes) ? bytes : Buffer.concat([bytes, Buffer.from('\r\n')])
    const end = served.indexOf('\r\n\r\n')
    return this.#keep({
      ...this.#listed(served.length, o),
      sizeBytes: served.length,
      sha256: createHash('sha256').update(served).digest('hex'),
      head: end < 0 ? served : served.subarray(0, end + 4),
      wire: () => [dotStuff(served), TERMINATOR],
    })
  }

  /** A body of any size that is never in memory as a whole. */
  addGenerated(body: GeneratedBody, o: AddOptions = {}): BoxMessage {
    const uidl = o.uidl ?? this.nextUidl()
    const head = Buffer.from(
      `From: absender@example.test\r\nSubject: gross ${uidl}\r\nMessage-ID: <${uidl}@example.test>\r\n\r\n`,
    )
    const piece = Buffer.from(body.oneLine ? 'x'.repeat(PIECE_BYTES) : `${'x'.repeat(62)}\r\n`.repeat(PIECE_BYTES / 64))
    const count = Math.max(1, Math.round((body.sizeBytes - head.length) / piece.length))
    const tail = Buffer.from('\r\n')
    const hash = createHash('sha256').update(head)
    for (let n = 0; n < count; n++) hash.update(piece)
    const sizeBytes = head.length + count * piece.length + tail.length
    return this.#keep({
      ...this.#listed(sizeBytes, { ...o, uidl }),
      sizeBytes,
      sha256: hash.update(tail).digest('hex'),
      head,
      *wire() {
        yield head
        for (let n = 0; n < count; n++) yield piece
        yield tail
        yield TERMINATOR
      },
    })
  }

  /** By QUIT: after that the message lives with the client alone. */
  deleteAll(gone: ReadonlySet<BoxMessage>): void {
    this.deleted.push(...this.#messages.filter((message) => gone.has(message)))
    this.tidy((message) => gone.has(message))
  }

  /** Takes messages away without POP3, as somebody would by webmail. */
  tidy(goes: (message: BoxMessage) => boolean): void {
    this.#messages = this.#messages.filter((message) => !goes(message))
  }

  /** As after a move to another server: the same mail under new UIDLs. */
  renumber(which: (message: BoxMessage, index: number) => boolean = () => true): number {
    const changed = this.#messages.filter(which)
    for (const message of changed) message.uidl = this.nextUidl()
    return changed.length
  }

  /** Shows what another maildrop holds, as a server does that mixes its users up. */
  showInstead(messages: readonly BoxMessage[]): void {
    this.#messages = [...messages]
  }

  nextUidl(): string {
    this.#numbered += 1
    return `${this.#validity}-${this.#numbered}`
  }

  #listed(sizeBytes: number, o: AddOptions): Pick<BoxMessage, 'uidl' | 'announced' | 'refusal'> {
    const { refusal } = o
    return {
      uidl: o.uidl ?? this.nextUidl(),
      announced: o.announced ?? sizeBytes,
      ...(refusal !== undefined && { refusal }),
    }
  }

  #keep(message: BoxMessage): BoxMessage {
    this.delivered.push(message)
    this.#messages.push(message)
    return message
  }
}

const endsLine = (bytes: Buffer): boolean => bytes.subarray(-2).toString('latin1') === '\r\n'
