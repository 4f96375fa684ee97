// One POP3 session: node-pop3's command surface on our own wire. The base class only ever writes a line to `_socket` and waits
// for one 'response' or 'error'; it is given a stand-in for the socket and never sees a byte of the dialogue.
// RFC 1939; capabilities RFC 2449, STLS RFC 2595, SASL RFC 5034. One thing at a time: while a message is read, nothing else.

import { Readable } from 'node:stream'
import { Socket } from 'node:net'
import Pop3Command from 'node-pop3'
import { SECOND_MS } from '../base/clock.ts'
import { Failure, type Provider } from '../base/failure.ts'
import type { Endpoint, Login, Net } from '../net/net.ts'
import { breaksOut } from '../net/sasl.ts'
import type { Body } from './body.ts'
import { ListingTooLong, parseSizes, readCapabilities, readHead, readListing, UidlListing } from './listing.ts'
import { logIn } from './login.ts'
import { Pipeline, type Commands, type Window } from './pipeline.ts'
import { Refusals, type Step } from './reply.ts'
import { Wire } from './wire.ts'

export type { UidlEntry, UidlListing } from './listing.ts'

export type PopTarget = Endpoint & { readonly provider: Provider }

export interface PopSessionOptions {
  readonly signal: AbortSignal
  /** How long the server may take for a status line; 60 s. Of a body it has to send `minBodyBytes` within the same time. */
  readonly idleTimeoutMs?: number
  /** 16 KiB: less is no link, but a server that holds the session. */
  readonly minBodyBytes?: number
  /** 30 s. */
  readonly greetingTimeoutMs?: number
}

/** A message on its way: `chunks` must be read, in order, before the next message is asked for, or is given up then. */
export interface PopMessage {
  readonly number: number
  /** Ends only with the complete message; throws Failure where it breaks off. */
  readonly chunks: AsyncIterable<Buffer[]>
}

/** What TOP gave: header and first lines, at most 64 KiB. */
export interface PopHead {
  readonly number: number
  readonly head: Buffer
}

/** The server refused this one message; the others go on. */
export interface RefusedMessage {
  readonly number: number
  readonly failure: Failure
}

const IDLE_MS = 60 * SECOND_MS
const GREETING_MS = 30 * SECOND_MS
const MIN_BODY_BYTES = 16 * 1024
/** A round trip of 20 ms carries 64 messages of 6 KB, and 4 MiB are no burden to a server that is slow to read them. */
const WINDOW: Window = { commands: 64, bytes: 4 * 1024 * 1024 }
const ONE_AT_A_TIME: Window = { commands: 1, bytes: Infinity }
const HEAD_BYTES = 64 * 1024
/** Up to so many sizes are asked for one by one, rather than for all: where that costs no round trip each, and where it does. */
const FEW_PIPELINED = 256
const FEW = 8
/** Of this part of the maildrop on, the whole list is no longer than the answers. */
const MUCH = 0.25
const ALWAYS_MULTI_LINE = new Set(['RETR', 'TOP', 'CAPA'])
const MULTI_LINE_IF_BARE = new Set(['LIST', 'UIDL', 'AUTH'])

/** Names in upper case, with their arguments; empty where the server knows no CAPA. */
export type Capabilities = ReadonlyMap<string, readonly string[]>

export class PopSession extends Pop3Command {
  readonly #wire: Wire
  readonly #target: PopTarget
  #capabilities: Promise<Capabilities> | undefined
  /** Messages in the maildrop, by the last STAT. */
  #count = Infinity
  readonly #stopListening: () => void
  /** Over when the inherited command before is answered. */
  #turn: Promise<void> = Promise.resolve()
  #endTurn: () => void = () => {}

  private constructor(wire: Wire, target: PopTarget, signal: AbortSignal) {
    // the base class gets no credentials: it would keep them
    super({ user: '', password: '', host: target.host, port: target.port, tls: target.security === 'tls' })
    this.#wire = wire
    this.#target = target
    const abort = () => wire.fail('ABORT_ERR', 'the session was broken off by us', signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    this.#stopListening = () => signal.removeEventListener('abort', abort)
    wire.socket.once('close', this.#stopListening)
    if (signal.aborted) abort()
    this._socket = Object.assign(new Socket(), { write: (line: string) => this.#askForBase(line) })
  }

  /** Dials, reads the greeting, and upgrades to TLS where the target says so. Throws Failure. */
  static async open(net: Net, target: PopTarget, options: PopSessionOptions): Promise<PopSession> {
    const { signal, idleTimeoutMs = IDLE_MS, greetingTimeoutMs = GREETING_MS, minBodyBytes = MIN_BODY_BYTES } = options
    const refusals = new Refusals(target.provider)
    const { host } = target
    let session: PopSession | undefined
    try {
      const socket = await net.dial(target, { signal })
      const wire = new Wire(socket, { host, refusals, limits: { idleMs: greetingTimeoutMs, minBodyBytes } })
      session = new PopSession(wire, target, signal)
      await wire.accepted(wire.expect('greeting', 'line'))
      wire.idleMs = idleTimeoutMs
      if (target.security === 'starttls') await session.#secure(net, signal)
      return session
    } catch (error) {
      session?.close()
      throw refusals.net(error)
    }
  }

  /**
   * What the server says it can: a hint, for nothing is built on it but how fast we ask. Asked for once, when it is first
   * needed, and once more after the login, when servers say more; one that answers CAPA only before the login has none.
   */
  capabilities(): Promise<Capabilities> {
    return (this.#capabilities ??= this.#askCapabilities())
  }

  /** Nothing can be asked any more. */
  get ended(): boolean {
    return this.#wire.ended
  }

  /** Bytes received that wait for their reader. */
  get heldBytes(): number {
    return this.#wire.heldBytes
  }

  /** Throws Failure with step 'auth'; the session should be closed then. */
  async login(login: Login): Promise<void> {
    await logIn(this.#wire, login)
    this.#capabilities = undefined
  }

  async stat(): Promise<{ count: number; sizeBytes: number }> {
    const info = await this.STAT()
    const [, count, size] = /^(\d{1,10})(?: (\d{1,15})(?!\d))?/.exec(info) ?? []
    if (count === undefined) throw this.#nonsense('stat', `+OK ${info}`)
    // servers that count in 32 bits report negative sizes; nothing depends on the size
    this.#count = Number(count)
    return { count: this.#count, sizeBytes: Number(size ?? 0) }
  }

  async uidls(): Promise<UidlListing> {
    return new UidlListing(await this.#whole('uidl', 'UIDL'))
  }

  /** Of one message; undefined where it is refused, or the answer makes no sense. */
  async uidlOf(number: number): Promise<string | undefined> {
    const { line } = await this.#wire.ask('uidl', `UIDL ${number}`, 'line', { tolerant: true })
    return /^\+OK\s+\d+\s+(\S.*?)\s*$/i.exec(line)?.[1]
  }

  /**
   * Sizes as the server claims them, by message number; those it does not tell are missing. May hold more than was asked for:
   * the whole scan listing is fetched where that is less work than asking one by one.
   */
  async sizesOf(numbers: readonly number[]): Promise<Map<number, number>> {
    const share = numbers.length / this.#count
    const few = numbers.length <= FEW || (numbers.length <= FEW_PIPELINED && (await this.#pipelines()))
    if (!few || share > MUCH) return await this.sizes()
    const sizes = new Map<number, number>()
    const pipeline = await this.#pipeline({ verb: 'LIST', shape: 'line', numbers })
    for (let sent = await pipeline.next(); sent; sent = await pipeline.next()) {
      await sent.answer.arrived()
      const [, number, size] = /^\+OK\s+(\d{1,10})\s+(\d{1,15})(?!\S)/i.exec(sent.answer.line) ?? []
      if (Number(number) === sent.number) sizes.set(sent.number, Number(size))
    }
    return sizes
  }

  /** The whole scan listing: sizes by message number. */
  async sizes(): Promise<Map<number, number>> {
    return parseSizes(await this.#whole('list', 'LIST'))
  }

  /**
   * Messages in the order of `numbers`. Where the server announces PIPELINING up to 64 are asked for ahead, and not much more
   * than 4 MiB by what `sizeOf` says was announced. Stopping early is allowed: what was asked for is received and thrown away.
   * Throws Failure where the session ends.
   */
  retrieve(
    numbers: readonly number[],
    sizeOf?: (number: number) => number | undefined,
  ): AsyncGenerator<PopMessage | RefusedMessage, void, undefined> {
    return this.#bodies({ verb: 'RETR', shape: 'body', numbers, sizeOf })
  }

  /** Headers and the first `lines` lines of the texts, in the order of `numbers`, asked for ahead as by `retrieve`. */
  async *tops(numbers: readonly number[], lines: number): AsyncGenerator<PopHead | RefusedMessage, void, undefined> {
    for await (const message of this.#bodies({ verb: 'TOP', argument: lines, shape: 'body', numbers })) {
      if ('failure' in message) yield message
      else yield { number: message.number, head: await readHead(message.chunks, HEAD_BYTES) }
    }
  }

  /** Marks messages; they are deleted when QUIT is answered with +OK, not before (RFC 1939 section 6). */
  async dele(numbers: readonly number[]): Promise<{ deleted: number[]; refused: RefusedMessage[] }> {
    const deleted: number[] = []
    const refused: RefusedMessage[] = []
    const pipeline = await this.#pipeline({ verb: 'DELE', shape: 'line', numbers })
    for (let sent = await pipeline.next(); sent; sent = await pipeline.next()) {
      const { number, answer } = sent
      await answer.arrived()
      if (answer.status === 'ok') deleted.push(number)
      else refused.push({ number, failure: this.#wire.refusals.said('dele', answer.line) })
    }
    return { deleted, refused }
  }

  /** Takes the marks of DELE away again. */
  async reset(): Promise<void> {
    await this.RSET()
  }

  /** Point of no return of every deletion. true only for +OK; otherwise nobody knows what was deleted. Closes the session. */
  async quit(): Promise<boolean> {
    try {
      await this.QUIT()
      return true
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      return false
    } finally {
      this.close()
    }
  }

  /** At once, without QUIT: nothing is deleted on the server. */
  close(): void {
    this.#wire.fail('ABORT_ERR', 'the session was closed by us')
    this.#stopListening()
  }

  /** Only `open` connects: the base class would dial by itself, past the egress rules. */
  override connect(): Promise<void> {
    return Promise.reject(new Error('a session is opened with PopSession.open'))
  }

  /**
   * Called by every inherited command; the base class would connect and log in here. It keeps the command it is about to
   * send in a field, so that two at once would send the same one: each waits here for its turn.
   */
  override async _connect(): Promise<string> {
    const before = this.#turn
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#turn = promise
    await before
    this.#endTurn = resolve
    return ''
  }

  override async command(...words: (string | number)[]): Promise<[string, Readable]> {
    await this._connect()
    return await super.command(...words)
  }

  override async QUIT(): Promise<string> {
    await this._connect()
    return await super.QUIT()
  }

  async #secure(net: Net, signal: AbortSignal): Promise<void> {
    const wire = this.#wire
    const { host } = this.#target
    // CAPA is not asked whether STLS is offered: without TLS its answer proves nothing, and a refusal says the same.
    const answer = await wire.ask('tls', 'STLS', 'upgrade', { tolerant: true })
    if (answer.status === 'err') throw wire.refusals.said('tls', answer.line, 'STARTTLS_NOT_OFFERED')
    const plain = wire.detach()
    const secured = await net.startTls(plain, host, { signal })
    plain.off('close', this.#stopListening)
    secured.once('close', this.#stopListening)
    wire.attach(secured)
  }

  async #askCapabilities(): Promise<Capabilities> {
    const { body } = await this.#wire.ask('capa', 'CAPA', 'hint', { tolerant: true })
    return body ? await this.#bounded('capa', readCapabilities(body)) : new Map()
  }

  async #whole(step: Step, command: string): Promise<Buffer> {
    const { body } = await this.#wire.ask(step, command, 'body')
    return body ? await this.#bounded(step, readListing(body)) : Buffer.alloc(0)
  }

  async *#bodies(commands: Commands): AsyncGenerator<PopMessage | RefusedMessage, void, undefined> {
    const pipeline = await this.#pipeline(commands)
    let body: Body | undefined
    try {
      for (let sent = await pipeline.next(); sent; sent = await pipeline.next()) {
        const { number, answer } = sent
        await answer.arrived()
        body = answer.body
        if (body) yield { number, chunks: body }
        else yield { number, failure: this.#wire.refusals.said(answer.step, answer.line) }
        body?.drop()
      }
    } finally {
      body?.drop()
      pipeline.abandon()
    }
  }

  async #bounded<T>(step: Step, reading: Promise<T>): Promise<T> {
    try {
      return await reading
    } catch (error) {
      if (!(error instanceof ListingTooLong)) throw error
      throw this.#nonsense(step, `${this.#target.host} sent ${error.message}`)
    }
  }

  /** The server left the protocol: nothing it says from now on can be trusted. */
  #nonsense(step: Step, sentence: string): Failure {
    const failure = this.#wire.refusals.local(step, 'EPROTOCOL', sentence)
    this.close()
    return failure
  }

  async #pipeline(commands: Commands): Promise<Pipeline> {
    const ahead = commands.numbers.length > 1 && (await this.#pipelines())
    return new Pipeline(this.#wire, commands, ahead ? WINDOW : ONE_AT_A_TIME)
  }

  async #pipelines(): Promise<boolean> {
    return (await this.capabilities()).has('PIPELINING')
  }

  /** What the base class writes. It waits for one 'response' or 'error', and for nothing else. */
  #askForBase(text: string): boolean {
    const line = text.replace(/\r\n$/, '')
    const [verb = '', argument] = line.toUpperCase().split(' ')
    const multiLine = ALWAYS_MULTI_LINE.has(verb) || (argument === undefined && MULTI_LINE_IF_BARE.has(verb))
    const asked = breaksOut(line)
      ? Promise.reject(new Error('a command must be one line'))
      : this.#wire.ask(verb.toLowerCase(), line, multiLine ? 'body' : 'line')
    void asked
      .then(
        ({ line: status, body }) => {
          this.emit('response', status.slice('+OK'.length).trim(), body ? Readable.from(flat(body)) : null)
        },
        (error: unknown) => {
          this.removeAllListeners('response')
          this.emit('error', error)
        },
      )
      .finally(() => this.#endTurn())
    return true
  }
}

async function* flat(body: Body): AsyncGenerator<Buffer, void, undefined> {
  for await (const batch of body) yield* batch
}
