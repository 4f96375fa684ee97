// What the simulated SMTP servers took responsibility for: the ground truth that a test compares with the outbox. Bounded,
// so that a demonstration may run for days.

import { createHash } from 'node:crypto'

export interface AcceptedMessage {
  readonly number: number
  readonly at: Date
  readonly account: string
  readonly envelopeFrom: string
  readonly recipients: readonly string[]
  readonly messageId: string | undefined
  readonly sizeBytes: number
  readonly sha256: string
  /** Kept for the newest messages only. */
  readonly raw?: Buffer
}

export class AcceptedLedger {
  #messages: AcceptedMessage[] = []
  #count = 0
  readonly #records: number
  readonly #bodies: number

  constructor(keep: { records?: number; bodies?: number } = {}) {
    this.#records = keep.records ?? 10_000
    this.#bodies = keep.bodies ?? 50
  }

  /** All messages ever accepted, also those no longer kept. */
  get count(): number {
    return this.#count
  }

  list(): readonly AcceptedMessage[] {
    return [...this.#messages]
  }

  add(account: string, envelopeFrom: string, recipients: readonly string[], raw: Buffer): AcceptedMessage {
    this.#count += 1
    const message = {
      number: this.#count,
      at: new Date(),
      account,
      envelopeFrom,
      recipients: [...recipients],
      messageId: headerOf(raw, 'message-id'),
      sizeBytes: raw.length,
      sha256: createHash('sha256').update(raw).digest('hex'),
      raw,
    }
    this.#messages.push(message)
    if (this.#messages.length > this.#records) this.#messages.shift()
    const aged = this.#messages.length - 1 - this.#bodies
    const old = this.#messages[aged]
    if (old !== undefined) {
      const { raw: _body, ...record } = old
      this.#messages[aged] = record
    }
    return message
  }
}

/** Value of the first header field of that name, unfolded, undecoded. */
export function headerOf(raw: Buffer, name: string): string | undefined {
  const end = raw.indexOf('\r\n\r\n')
  const head = raw.toString('utf8', 0, end < 0 ? raw.length : end).replace(/\r\n(?=[ \t])/g, '')
  const field = head.split('\r\n').find((line) => line.toLowerCase().startsWith(`${name}:`))
  return field?.slice(name.length + 1).trim()
}
