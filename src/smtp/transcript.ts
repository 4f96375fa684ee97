// The dialogue of one connection as an operator may see it: session start and the current transaction, bounded,
// without control characters, secrets and message bytes.

const SESSION_LINES = 39
const TRANSACTION_LINES = 59
const LINE_CHARS = 500
const SECRET_CHARS = 6
/** Lines at the start of a section that are kept when its middle has to go. */
const KEPT_HEAD = 15

class Section {
  readonly #lines: string[] = []
  readonly #maxLines: number
  #leftOut = 0

  constructor(maxLines: number) {
    this.#maxLines = maxLines
  }

  add(line: string): void {
    this.#lines.push(line)
    if (this.#lines.length <= this.#maxLines) return
    this.#lines.splice(KEPT_HEAD, 1)
    this.#leftOut += 1
  }

  get lines(): string[] {
    if (this.#leftOut === 0) return [...this.#lines]
    const note = `... ${this.#leftOut} lines left out ...`
    return [...this.#lines.slice(0, KEPT_HEAD), note, ...this.#lines.slice(KEPT_HEAD)]
  }
}

export class Transcript {
  readonly #session = new Section(SESSION_LINES)
  #transaction: Section | undefined
  #secrets: readonly string[] = []

  /** From here on lines belong to a new transaction; those of the one before are forgotten. */
  beginTransaction(): void {
    this.#transaction = new Section(TRANSACTION_LINES)
  }

  /** Texts to be blotted out if the peer echoes them; forgotten with the next call. Shorter ones would hit reply codes. */
  hide(secrets: readonly string[]): void {
    this.#secrets = secrets.filter((secret) => secret.length >= SECRET_CHARS)
  }

  /** Blots the hidden texts out of something the peer said. */
  mask(text: string): string {
    return this.#secrets.reduce((masked, secret) => masked.replaceAll(secret, '***'), text)
  }

  client(line: string): void {
    this.#add(`C: ${line}`)
  }

  server(reply: string): void {
    // What follows a 334 is SASL data, from either side.
    for (const line of reply.split(/\r?\n/)) this.#add(`S: ${this.mask(line).replace(/^(334[ -])\s*\S.*$/, '$1***')}`)
  }

  #add(line: string): void {
    const shown = line.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?')
    const bounded = shown.length > LINE_CHARS ? `${shown.slice(0, LINE_CHARS - 3)}...` : shown
    ;(this.#transaction ?? this.#session).add(bounded)
  }

  get lines(): readonly string[] {
    return [...this.#session.lines, ...(this.#transaction?.lines ?? [])]
  }
}
