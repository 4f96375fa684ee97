// One connection as commands and replies, on nodemailer's SMTPConnection: it frames the replies, bounds them, greets,
// and closes on 421. Only its public parts are used. Its own send() is not: that one hides whether the final dot went
// out. The one public way to send a single command is the context of a custom authentication handler.

import type { Socket } from 'node:net'
import SMTPConnection, { type SMTPConnectionCustomAuthContext } from 'nodemailer/lib/smtp-connection'
import { errorText } from '../base/failure.ts'
import type { Transcript } from './transcript.ts'

/** The dialogue cannot go on. `reply` is a complete reply that ended it, '' where there was none. */
export class Lost extends Error {
  override readonly name = 'Lost'
  readonly code: string
  readonly reply: string

  constructor(code: string, message: string, about: ErrorOptions & { reply?: string } = {}) {
    super(message, about)
    this.code = code
    this.reply = about.reply ?? ''
  }
}

export interface ChannelOptions {
  readonly host: string
  readonly clientName: string
  /** TLS is up, and the session must never be asked to change that. */
  readonly secured: boolean
  /** The server has greeted already, before the upgrade. */
  readonly greeted: boolean
  readonly greetingMs: number
  readonly commandMs: number
  readonly transcript: Transcript
  /** Called when EHLO is said. */
  readonly onHello: () => void
}

const HANDLER = 'POSTSTELLE'
/** nodemailer waits for a greeting, but a server says it once, before STARTTLS, where it cannot be believed. */
const STAND_IN_GREETING = '220 ready'
const MAX_REPLY_BYTES = 64 * 1024
/** Of what the server said last, for the record of an uncertain outcome. */
const REMEMBERED_CHARS = 2_000
/** Commands in flight with PIPELINING: few enough for a server that delays each answer. */
const PIPELINE_WIDTH = 50
/** Every wait has a timer of its own; nodemailer's idle timer must never be the first to fire. */
const NEVER_MS = 2 ** 31 - 1

export class Channel {
  readonly #connection: SMTPConnection
  readonly #socket: Socket
  readonly #options: ChannelOptions
  readonly #waiting = new Set<(lost: Lost) => void>()
  #context: SMTPConnectionCustomAuthContext | undefined
  #lost: Lost | undefined
  #received = ''
  #helloSaid = false

  /** Takes over a connected socket on which nothing was read yet. */
  constructor(socket: Socket, options: ChannelOptions) {
    this.#socket = socket
    this.#options = options
    if (options.greeted) socket.unshift(Buffer.from(`${STAND_IN_GREETING}\r\n`))
    this.#connection = new SMTPConnection({
      connection: socket,
      host: options.host,
      name: options.clientName,
      secure: options.secured,
      secured: options.secured,
      // The upgrade is done before this object exists (starttls.ts).
      ignoreTLS: true,
      connectionTimeout: options.greetingMs,
      greetingTimeout: options.greetingMs,
      socketTimeout: NEVER_MS,
      socketCloseTimeout: 0,
      maxResponseSize: MAX_REPLY_BYTES,
      transactionLog: true,
      logger: { debug: (entry: { tnx?: string }, line: string) => this.#record(entry.tnx, line) },
      customAuth: { [HANDLER]: (context) => void (this.#context = context) },
    })
    this.#connection.on('error', (error) => this.#lose(this.#lostBy(error)))
    this.#connection.once('end', () => this.#lose(this.#lostBy()))
  }

  /** Reads the greeting and says EHLO. Rejects with Lost. */
  async handshake(): Promise<void> {
    await this.#wait<void>(this.#options.greetingMs + this.#options.commandMs, (done) => {
      this.#connection.connect((error) => (error ? this.#lose(this.#lostBy(error)) : done()))
      // nodemailer begins to listen in a setImmediate of its own; listening before that would eat the greeting.
      setImmediate(() => this.#socket.prependListener('data', (chunk: Buffer) => this.#remember(chunk)))
    })
    this.#connection.login({ method: HANDLER }, () => {})
  }

  get lost(): Lost | undefined {
    return this.#lost
  }

  /** What the server said since the last command, complete or not, at most 2,000 characters of it. */
  get received(): string {
    return this.#received
  }

  offers(extension: 'PIPELINING' | 'SIZE' | '8BITMIME' | 'SMTPUTF8'): boolean {
    return this.#context?.extensions.includes(extension) ?? false
  }

  get mechanisms(): readonly string[] {
    return this.#context?.authMethods ?? []
  }

  /** The largest message the server takes, as announced with SIZE (RFC 1870); undefined: it named no limit. */
  get maxMessageBytes(): number | undefined {
    return this.#context?.maxAllowedSize || undefined
  }

  /**
   * Sends one line and waits for its complete reply. `shown` is what the transcript gets in its place.
   * Rejects with Lost, also when the reply takes longer than `timeoutMs`; the connection is closed then.
   */
  command(line: string, options: { timeoutMs?: number; shown?: string } = {}): Promise<string> {
    return this.#wait<string>(options.timeoutMs ?? this.#options.commandMs, (done) => {
      this.#options.transcript.client(options.shown ?? line)
      this.#received = ''
      this.#context?.sendCommand(line, (_error, data) => done(data.response))
    })
  }

  /** So many commands may be sent before the first is answered. */
  get flightWidth(): number {
    return this.offers('PIPELINING') ? PIPELINE_WIDTH : 1
  }

  /** Replies in the order of the lines; with PIPELINING later lines are sent before earlier ones are answered. */
  async *dialogue(lines: readonly string[]): AsyncGenerator<string, void, undefined> {
    const width = this.flightWidth
    const unsent = [...lines]
    const pending: Promise<string>[] = []
    for (;;) {
      const now = unsent.splice(0, width - pending.length)
      if (now.length > 1) this.#inOneFlight()
      for (const line of now) {
        const reply = this.command(line)
        // Whoever stops early leaves replies behind; they are read, so that the next command gets its own.
        reply.catch(() => {})
        pending.push(reply)
      }
      const reply = await pending.shift()
      if (reply === undefined) return
      yield reply
    }
  }

  /** nodemailer writes each command in a setImmediate of its own; those queued before ours leave together. */
  #inOneFlight(): void {
    this.#socket.cork()
    process.nextTick(() => setImmediate(() => this.#socket.uncork()))
  }

  /** Resolves when the bytes were handed to the kernel. Rejects with Lost. */
  write(bytes: Buffer, timeoutMs: number): Promise<void> {
    return this.#wait<void>(timeoutMs, (done) => {
      this.#socket.write(bytes, (error) => {
        if (error) this.#lose(new Lost(codeOf(error), error.message, { cause: error }))
        else done()
      })
    })
  }

  /** Waits for something of the caller's, but no longer than the connection lives. */
  unlessLost<T>(promise: Promise<T>): Promise<T> {
    return this.#wait<T>(undefined, (fulfil, fail) => void promise.then(fulfil, fail))
  }

  close(message = 'connection closed by us'): void {
    this.#lose(new Lost('ABORT_ERR', message))
  }

  /** Closes because the server left the protocol. */
  reject(message: string, reply: string): Lost {
    const lost = new Lost('EPROTOCOL', message, { reply })
    this.#lose(lost)
    return lost
  }

  #wait<T>(
    timeoutMs: number | undefined,
    begin: (done: (value: T) => void, fail: (error: unknown) => void) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) return reject(this.#lost)
      const silence = () => this.#lose(new Lost('ETIMEDOUT', `no answer within ${timeoutMs} ms`))
      const timer = timeoutMs === undefined ? undefined : setTimeout(silence, timeoutMs)
      const settle = () => {
        clearTimeout(timer)
        this.#waiting.delete(fail)
      }
      const fail = (error: unknown) => {
        settle()
        reject(error instanceof Error ? error : new Error(errorText(error)))
      }
      this.#waiting.add(fail)
      begin((value) => {
        settle()
        resolve(value)
      }, fail)
    })
  }

  #lose(lost: Lost): void {
    if (this.#lost !== undefined) return
    this.#lost = lost
    this.#connection.close()
    for (const fail of this.#waiting) fail(lost)
  }

  /** What an error or the end of nodemailer's connection means; a reply counts only when its line was complete. */
  #lostBy(error?: SMTPConnection.SMTPError): Lost {
    const last = error === undefined ? String(this.#connection.lastServerResponse) : (error.response ?? '')
    const heard = this.#received.endsWith('\n') && (error !== undefined || last.startsWith('421'))
    const reply = heard ? this.#options.transcript.mask(last) : ''
    if (error === undefined) return new Lost('ECONNRESET', 'the server closed the connection', { reply })
    // nodemailer puts the reply into its error too, unmasked.
    if (error.response) return new Lost(codeOf(error), 'the server ended the dialogue', { reply })
    return new Lost(codeOf(error), error.message, { cause: error, reply })
  }

  #remember(chunk: Buffer): void {
    this.#received = (this.#received + chunk.toString('latin1')).slice(-REMEMBERED_CHARS)
  }

  #record(tnx: string | undefined, line: string): void {
    if (tnx === 'client' && this.#context === undefined) {
      // Only EHLO; later commands are ours: recorded, and masked, where they are sent.
      this.#helloSaid = true
      this.#options.transcript.client(line)
      this.#options.onHello()
    } else if (tnx === 'server' && (this.#helloSaid || !this.#options.greeted)) {
      this.#options.transcript.server(line)
    }
  }
}

/** nodemailer's own codes say less than the system's they replace; writing after the server's FIN is a lost connection. */
function codeOf(error: SMTPConnection.SMTPError): string {
  const code = error.originalCode ?? error.code ?? ''
  return /^(?:|ECONNECTION|ESOCKET|ERR_STREAM_.*)$/.test(code) ? 'ECONNRESET' : code
}
