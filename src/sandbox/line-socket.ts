// The server's end of one line-based connection: lines and dot-terminated bodies in, bytes out, upgrade to TLS, and the
// unfriendly ways to end a connection. Reading after the peer has gone yields undefined, writing then does nothing.

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SecureContext, TLSSocket } from 'node:tls'

const MAX_LINE_BYTES = 65_536
const MAX_BUFFERED_BYTES = 262_144
const DOT_END = Buffer.from('\r\n.\r\n')

export class LineSocket {
  #socket: Socket
  #buffer: Buffer = Buffer.alloc(0)
  #ended = false
  /** We hung up: what the client sent ahead is no longer carried out. */
  #hungUp = false
  #wake: (() => void) | undefined
  #drained: (() => void) | undefined
  readonly #idleTimeoutMs: number
  readonly #closing = new AbortController()

  constructor(socket: Socket, options: { idleTimeoutMs: number }) {
    this.#socket = socket
    this.#idleTimeoutMs = options.idleTimeoutMs
    socket.setNoDelay(true)
    this.#attach(socket)
  }

  get secured(): boolean {
    return this.#socket instanceof TLSSocket
  }

  get closed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Bytes that have arrived but were not asked for yet: more than none after a command means the client pipelines. */
  get bufferedBytes(): number {
    return this.#buffer.length
  }

  #attach(socket: Socket): void {
    socket.setTimeout(this.#idleTimeoutMs, () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      if (this.#hungUp) return
      this.#buffer = this.#buffer.length > 0 ? Buffer.concat([this.#buffer, chunk]) : chunk
      if (this.#buffer.length > MAX_BUFFERED_BYTES) socket.pause()
      this.#wake?.()
    })
    socket.on('drain', () => this.#drained?.())
    socket.on('end', () => this.#finish())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      if (socket !== this.#socket) return
      this.#finish()
      this.#drained?.()
      this.#closing.abort()
    })
  }

  #finish(): void {
    this.#ended = true
    this.#wake?.()
  }

  async #more(): Promise<boolean> {
    if (this.#ended || this.#hungUp || this.closed) return false
    const before = this.#buffer.length
    this.#socket.resume()
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = undefined
    return this.#buffer.length > before
  }

  /** The next line without its end (CRLF or LF), undefined when the peer has gone or sends no end of line. */
  async line(): Promise<string | undefined> {
    for (;;) {
      const lf = this.#buffer.indexOf(0x0a)
      if (lf >= 0) {
        const end = lf > 0 && this.#buffer[lf - 1] === 0x0d ? lf - 1 : lf
        const line = this.#buffer.toString('utf8', 0, end)
        this.#buffer = this.#buffer.subarray(lf + 1)
        return line
      }
      if (this.#buffer.length > MAX_LINE_BYTES) this.reset()
      if (!(await this.#more())) return undefined
    }
  }

  /** Exactly this many bytes (RFC 3030 BDAT), undefined when the peer has gone before. */
  async bytes(count: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = []
    for (let missing = count; missing > 0;) {
      const part = this.#buffer.subarray(0, missing)
      this.#buffer = this.#buffer.subarray(part.length)
      if (part.length > 0) parts.push(part)
      missing -= part.length
      if (missing > 0 && !(await this.#more())) return undefined
    }
    return Buffer.concat(parts)
  }

  /** A message up to CRLF.CRLF (RFC 5321 section 4.5.2), unstuffed; undefined when the peer has gone before the dot. */
  async dotBody(): Promise<Buffer | undefined> {
    // A line end is put in front, so that a dot in the very first line needs no case of its own.
    const parts: Buffer[] = []
    let tail: Buffer = Buffer.from('\r\n')
    for (;;) {
      tail = Buffer.concat([tail, this.#buffer])
      this.#buffer = Buffer.alloc(0)
      const end = tail.indexOf(DOT_END)
      if (end >= 0) {
        this.#buffer = tail.subarray(end + DOT_END.length)
        parts.push(tail.subarray(0, end + 2))
        return dotUnstuff(Buffer.concat(parts)).subarray(2)
      }
      const keep = Math.min(tail.length, DOT_END.length - 1)
      parts.push(tail.subarray(0, tail.length - keep))
      tail = tail.subarray(tail.length - keep)
      if (!(await this.#more())) return undefined
    }
  }

  /** Resolves when more may be sent; one call at a time. */
  async send(data: string | Buffer): Promise<void> {
    if (this.closed || this.#socket.writableEnded || this.#socket.write(data)) return
    await new Promise<void>((resolve) => {
      this.#drained = resolve
    })
  }

  /** One byte at a time, so far apart. */
  async drip(data: Buffer, everyMs: number): Promise<void> {
    for (let at = 0; at < data.length && !this.closed; at++) {
      await this.send(data.subarray(at, at + 1))
      await this.delay(everyMs)
    }
  }

  /** Ends early when the connection does. */
  async delay(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#closing.signal }).catch(() => undefined)
  }

  /** Until the peer gives up or the server is closed. */
  async untilClosed(): Promise<void> {
    while (await this.#more()) this.#buffer = Buffer.alloc(0)
    this.#socket.destroy()
  }

  /** Server side of STLS and STARTTLS. What came before the handshake is thrown away (RFC 2595 section 4). */
  async upgrade(secureContext: SecureContext): Promise<void> {
    const plain = this.#socket
    plain.removeAllListeners('data')
    plain.removeAllListeners('end')
    plain.setTimeout(0)
    this.#buffer = Buffer.alloc(0)
    const secured = new TLSSocket(plain, { isServer: true, secureContext })
    plain.on('close', () => secured.destroy())
    this.#socket = secured
    this.#attach(secured)
    await new Promise<void>((resolve) => {
      secured.once('secure', resolve)
      secured.once('close', () => resolve())
    })
  }

  #stopReading(): void {
    this.#hungUp = true
    this.#buffer = Buffer.alloc(0)
  }

  /** Closes after everything written has left. */
  hangUp(): void {
    this.#stopReading()
    this.#socket.destroySoon()
  }

  /** Closes at once, with RST where the transport allows it. */
  reset(): void {
    this.#stopReading()
    if (this.#socket instanceof TLSSocket) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }
}

const LINE_DOT = Buffer.from('\r\n.')

/** Doubles the dot of every line that begins with one (RFC 1939 section 3); the final CRLF is added where missing. */
export function dotStuff(raw: Buffer): Buffer {
  const parts: Buffer[] = []
  if (raw[0] === 0x2e) parts.push(Buffer.from('.'))
  let from = 0
  for (let at = raw.indexOf(LINE_DOT); at >= 0; at = raw.indexOf(LINE_DOT, from)) {
    parts.push(raw.subarray(from, at + 3), Buffer.from('.'))
    from = at + 3
  }
  parts.push(raw.subarray(from))
  if (raw.length > 0 && raw.subarray(-2).toString('latin1') !== '\r\n') parts.push(Buffer.from('\r\n'))
  return Buffer.concat(parts)
}

/** Takes one dot away from every line after a CRLF that begins with one. */
function dotUnstuff(stuffed: Buffer): Buffer {
  const parts: Buffer[] = []
  let from = 0
  for (let at = stuffed.indexOf(LINE_DOT); at >= 0; at = stuffed.indexOf(LINE_DOT, from)) {
    parts.push(stuffed.subarray(from, at + 2))
    from = at + 3
  }
  parts.push(stuffed.subarray(from))
  return Buffer.concat(parts)
}
