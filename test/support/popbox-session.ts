// One connection of the popbox: reads lines, asks the hooks, answers in order. RFC 1939 with STLS (RFC 2595) and SASL (RFC 5034).

import type { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import { parseBearer } from '../../src/sandbox/sasl.ts'
import type { BoxEvent, BoxState, Twist } from './popbox.ts'
import { type BoxMessage, EMPTY_BODY, type Maildrop } from './popbox-maildrop.ts'

/** A string is a status line. */
type Answer = string | Iterable<Buffer>

const LF = 0x0a
/** Not a POP3 line any more; a client that sends one is broken. */
const MAX_LINE_BYTES = 64 * 1024

export class PopboxSession {
  readonly #plain: Socket
  #socket: Socket
  readonly #state: BoxState
  readonly #number: number
  readonly #gone = new AbortController()
  #input: Buffer = Buffer.alloc(0)
  readonly #lines: string[] = []
  #working = false
  #expectsSasl = false
  #user = ''
  #named = ''
  #maildrop: Maildrop | undefined
  #listed: readonly BoxMessage[] = []
  readonly #marked = new Set<BoxMessage>()
  readonly #counts = new Map<string, number>()
  #upgrade = false
  #over = false

  constructor(socket: Socket, state: BoxState, number: number) {
    this.#plain = socket
    this.#socket = socket
    this.#state = state
    this.#number = number
  }

  begin(): void {
    this.#plain.on('error', () => this.#plain.destroy())
    const greet = (): void => {
      this.#lines.unshift('GREETING')
      void this.#work()
    }
    if (this.#state.security === 'tls') return this.#secure(greet)
    this.#plain.on('data', this.#onData)
    greet()
  }

  /** The connection is closed: marks are forgotten (RFC 1939 section 6), the maildrop is free. */
  gone(): void {
    this.#gone.abort()
    if (this.#maildrop?.holder === this) this.#maildrop.holder = undefined
  }

  #secure(then?: () => void): void {
    this.#plain.off('data', this.#onData)
    const secured = new TLSSocket(this.#plain, { isServer: true, ...this.#state.tls })
    this.#socket = secured
    secured.on('data', this.#onData).on('error', () => this.#plain.destroy())
    if (then) secured.once('secure', then)
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
    for (let end = this.#input.indexOf(LF); end >= 0; end = this.#input.indexOf(LF)) {
      this.#lines.push(this.#input.toString('utf8', 0, end).replace(/\r$/, ''))
      this.#input = this.#input.subarray(end + 1)
    }
    if (this.#input.length > MAX_LINE_BYTES) this.#plain.destroy()
    void this.#work()
  }

  async #work(): Promise<void> {
    if (this.#working) return
    this.#working = true
    for (let line = this.#lines.shift(); line !== undefined && !this.#over; line = this.#lines.shift()) {
      await this.#handle(line)
      this.#state.changed()
    }
    this.#working = false
  }

  async #handle(line: string): Promise<void> {
    const verb = this.#expectsSasl ? 'SASL' : (line.split(' ')[0] ?? '').toUpperCase()
    const nth = (this.#counts.get(verb) ?? 0) + 1
    this.#counts.set(verb, nth)
    const secret = verb === 'SASL' || verb === 'PASS' || verb === 'GREETING'
    if (verb !== 'GREETING')
      this.#state.seen.commands.push({ session: this.#number, user: this.#user, line: secret ? verb : line })
    const about = verb === 'RETR' || verb === 'TOP' || verb === 'DELE' ? this.#message(line.split(' ')[1]) : undefined
    const event: BoxEvent = { session: this.#number, user: this.#user, verb, line, nth, message: about }
    const twist = (await this.#state.hooks.seen?.(event)) ?? {}
    await this.#send(twist.reply ?? this.#usual(verb, line), twist)
    if (this.#upgrade) {
      this.#upgrade = false
      this.#secure()
    }
    await this.#state.hooks.answered?.(event)
    if (verb === 'QUIT') this.#end('close')
  }

  async #send(answer: string | Buffer | Iterable<Buffer>, twist: Twist): Promise<void> {
    const pieces =
      typeof answer === 'string' ? [Buffer.from(`${answer}\r\n`)] : Buffer.isBuffer(answer) ? [answer] : answer
    let left = twist.cutAfter ?? Infinity
    for (const whole of pieces) {
      const piece = whole.length > left ? whole.subarray(0, left) : whole
      left -= piece.length
      await this.#write(piece, twist.bytesPerSecond)
      if (this.#gone.signal.aborted || left <= 0) break
    }
    if (twist.cutAfter !== undefined || twist.hangUp) this.#end(twist.hangUp ?? 'close')
  }

  async #write(piece: Buffer, bytesPerSecond: number | undefined): Promise<void> {
    const step = bytesPerSecond === undefined ? piece.length : 1
    for (let at = 0; at < piece.length && !this.#socket.destroyed; at += step) {
      const flows = this.#socket.write(piece.subarray(at, at + step))
      if (bytesPerSecond !== undefined) await this.#unlessGone(1_000 / bytesPerSecond)
      else if (!flows) await this.#drained()
    }
  }

  async #unlessGone(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#gone.signal }).catch(() => undefined)
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done)
        this.#gone.signal.removeEventListener('abort', done)
        resolve()
      }
      if (this.#gone.signal.aborted) return resolve()
      this.#socket.on('drain', done)
      this.#gone.signal.addEventListener('abort', done)
    })
  }

  #end(how: 'close' | 'reset'): void {
    this.#over = true
    if (how === 'close') this.#socket.end()
    else this.#plain.resetAndDestroy()
  }

  #message(number: string | undefined): BoxMessage | undefined {
    const message = this.#listed[Number(number) - 1]
    return message && !this.#marked.has(message) ? message : undefined
  }

  #usual(verb: string, line: string): Answer {
    const { talk, loginDelaySeconds = 300 } = this.#state
    if (verb === 'GREETING') return talk.greeting
    if (verb === 'SASL') return this.#token(line)
    if (verb === 'CAPA') {
      const secured = this.#socket !== this.#plain || this.#state.security === 'none'
      return multiline('+OK', talk.capabilities({ secured, loginDelaySeconds }))
    }
    if (verb === 'STLS' && this.#state.security === 'starttls') {
      this.#upgrade = true
      return '+OK begin TLS'
    }
    if (verb === 'QUIT') return this.#quit()
    if (!this.#maildrop) return this.#login(verb, line)
    return this.#transaction(verb, line.split(' ')[1])
  }

  #login(verb: string, line: string): Answer {
    const { talk } = this.#state
    const [, ...words] = line.split(' ')
    if (verb === 'USER') {
      this.#named = words.join(' ')
      return '+OK'
    }
    if (verb === 'PASS') {
      const maildrop = this.#state.maildrops.get(this.#named)
      return this.#admit(this.#named, maildrop?.password === words.join(' '))
    }
    if (verb !== 'AUTH') return talk.wrongState
    if (words.length > 1) {
      if (talk.oneLineAuth) return this.#token(words[1] ?? '')
      this.#over = true
      this.#plain.end(`${talk.protocolError}\r\n`)
      return []
    }
    this.#expectsSasl = true
    return '+ '
  }

  #token(line: string): Answer {
    this.#expectsSasl = false
    const said = parseBearer(line)
    if (!said || !('accessToken' in said)) return this.#admit('', false)
    return this.#admit(said.username, this.#state.tokens?.(said.accessToken) === said.username)
  }

  #admit(user: string, proven: boolean): Answer {
    const { talk, seen, now = Date.now } = this.#state
    const maildrop = this.#state.maildrops.get(user)
    const accepted = proven && maildrop !== undefined && maildrop.holder === undefined
    seen.logins.push({ user, at: now(), accepted, session: this.#number })
    if (!proven || !maildrop) return talk.refusal('wrong-password')
    if (!accepted) return talk.inUse
    this.#user = user
    this.#maildrop = maildrop
    maildrop.holder = this
    this.#listed = maildrop.messages
      .filter((message) => !talk.showsOnce || !maildrop.retrieved.has(message))
      .slice(0, talk.listed)
    return talk.loggedIn
  }

  #transaction(verb: string, argument: string | undefined): Answer {
    const { talk } = this.#state
    if (verb === 'STAT' || ((verb === 'UIDL' || verb === 'LIST') && argument === undefined)) return this.#listing(verb)
    const message = this.#message(argument)
    if (verb === 'UIDL' || verb === 'LIST')
      return message ? `+OK ${argument} ${this.#value(verb, message)}` : talk.noSuchMessage(Number(argument))
    if (verb === 'RSET') {
      this.#marked.clear()
      return talk.reset
    }
    if (verb === 'NOOP') return '+OK'
    if (verb !== 'RETR' && verb !== 'TOP' && verb !== 'DELE') return talk.unknownCommand
    if (!message) return talk.noSuchMessage(Number(argument))
    if (verb === 'DELE') {
      this.#marked.add(message)
      return talk.deleted
    }
    if (verb === 'TOP') return [Buffer.from('+OK\r\n'), message.head, Buffer.from('.\r\n')]
    if (message.refusal === EMPTY_BODY) return [Buffer.from(EMPTY_BODY)]
    if (message.refusal !== undefined) return message.refusal
    this.#maildrop?.retrieved.add(message)
    return retrieved(talk.retrieving(message.announced), message)
  }

  #listing(verb: 'STAT' | 'UIDL' | 'LIST'): Answer {
    const { talk, edits } = this.#state
    const present = this.#listed.flatMap((message, i) =>
      this.#marked.has(message) ? [] : [{ message, number: i + 1 }],
    )
    const total = present.reduce((sum, { message }) => sum + talk.reportedSize(message.announced), 0)
    if (verb === 'STAT') {
      const line = `+OK ${present.length} ${total}`
      return edits.stat?.(line) ?? line
    }
    const lines = present.map(({ message, number }) => `${number} ${this.#value(verb, message)}`)
    const edit = verb === 'UIDL' ? edits.uidl : edits.list
    return multiline(verb === 'UIDL' ? talk.uidls : talk.listing(present.length, total), edit?.(lines) ?? lines)
  }

  #value(verb: 'UIDL' | 'LIST', message: BoxMessage): string | number {
    return verb === 'UIDL' ? message.uidl : this.#state.talk.reportedSize(message.announced)
  }

  /** The point of no return: only here marked messages go. */
  #quit(): Answer {
    const { size } = this.#marked
    this.#maildrop?.deleteAll(this.#marked)
    if (this.#maildrop) this.#maildrop.holder = undefined
    this.#maildrop = undefined
    return this.#state.talk.goodbye(size)
  }
}

const multiline = (status: string, lines: readonly string[]): Buffer[] => [
  Buffer.from([status, ...lines, '.', ''].join('\r\n')),
]

function* retrieved(status: string, message: BoxMessage): Iterable<Buffer> {
  yield Buffer.from(`${status}\r\n`)
  yield* message.wire()
}
