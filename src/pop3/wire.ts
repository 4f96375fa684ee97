// The bytes of a POP3 dialogue: commands out, status lines and bodies in, answers matched to commands in the order they were
// sent (RFC 1939 section 3; pipelining by RFC 2449 section 6.6). Whatever the server does, it ends in an answer or one Failure.

import type { Socket } from 'node:net'
import { errorCode, errorText, type Failure } from '../base/failure.ts'
import { Answer, type Shape } from './answer.ts'
import { Body, type Flow } from './body.ts'
import { Pace, type PaceLimits } from './pace.ts'
import { statusOf, type Refusals, type Step } from './reply.ts'
import { DotUnstuffer } from './unstuff.ts'

const MAX_STATUS_LINE_BYTES = 8 * 1024
/** The socket is stopped when more than this waits for its reader, and runs again below a quarter of it. */
const MAX_HELD_BYTES = 1024 * 1024
const LF = 0x0a
const CR = 0x0d

export class Wire implements Flow {
  readonly refusals: Refusals
  readonly #host: string
  readonly #pace: Pace
  #socket: Socket
  #failure: Failure | undefined
  /** Answers whose status line has not come. */
  readonly #expected: Answer[] = []
  /** Woken when nothing is outstanding any more. */
  readonly #waiting: (() => void)[] = []
  /** The body that is being received. */
  #body: Body | undefined
  readonly #unstuffer = new DotUnstuffer()
  /** Pieces of a status line that is not complete. */
  #partial: Buffer[] = []
  #partialBytes = 0
  #heldBytes = 0
  #stopped = false
  #lastStep: Step = 'greeting'

  constructor(socket: Socket, options: { host: string; refusals: Refusals; limits: PaceLimits }) {
    this.refusals = options.refusals
    this.#host = options.host
    this.#pace = new Pace(options.limits, (what) => this.fail('ETIMEDOUT', `${this.#host} ${what}`))
    this.#socket = socket
    this.attach(socket)
  }

  /** Why nothing can be asked any more. */
  get failure(): Failure | undefined {
    return this.#failure
  }

  get socket(): Socket {
    return this.#socket
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  attach(socket: Socket): void {
    this.#socket = socket
    socket.on('data', this.#onData).on('error', this.#onError).on('close', this.#onClose)
    if (socket.destroyed) this.#onClose()
  }

  /** Lets go of the socket after an 'upgrade'. Throws Failure where it cannot be used any more. */
  detach(): Socket {
    const socket = this.#socket
    socket.off('data', this.#onData).off('error', this.#onError).off('close', this.#onClose)
    if (this.#failure) throw this.#failure
    return socket
  }

  /** From the next command on. */
  set idleMs(ms: number) {
    this.#pace.idleMs = ms
  }

  /** One command, once everything before it was answered. Throws Failure; unless `tolerant`, also for -ERR. */
  async ask(step: Step, command: string, shape: Shape = 'line', options: { tolerant?: boolean } = {}): Promise<Answer> {
    while (this.busy) await this.turn()
    const answer = this.expect(step, shape)
    this.write(`${command}\r\n`)
    if (!options.tolerant) return await this.accepted(answer)
    await answer.arrived()
    return answer
  }

  /** Whether an answer is outstanding, or the rest of one. */
  get busy(): boolean {
    return !this.#failure && (this.#expected.length > 0 || this.#body !== undefined)
  }

  /** Until nothing is outstanding any more; whoever is woken looks again, for another may have been faster. */
  turn(): Promise<void> {
    return new Promise((wake) => this.#waiting.push(wake))
  }

  /** The answer, if it is not -ERR. */
  async accepted(answer: Answer): Promise<Answer> {
    await answer.arrived()
    if (answer.status === 'err') throw this.refusals.said(answer.step, answer.line)
    return answer
  }

  /** An answer that the server owes: to what is written next, or its greeting. */
  expect(step: Step, shape: Shape): Answer {
    const answer = new Answer(step, shape)
    if (this.#failure) {
      answer.fail(this.#failure)
      return answer
    }
    this.#expected.push(answer)
    if (this.#expected.length === 1 && !this.#body) this.#beginSpan()
    return answer
  }

  write(text: string): void {
    if (!this.#failure) this.#socket.write(text)
  }

  /** Ends the session; what was received whole stays readable. Does nothing when it has ended before. */
  fail(code: string, sentence: string, cause?: unknown): void {
    this.#end(this.refusals.local(this.#step, code, sentence, cause))
  }

  held(bytes: number): void {
    this.#heldBytes += bytes
  }

  released(bytes: number): void {
    this.#heldBytes -= bytes
    if (!this.#stopped || this.#heldBytes > MAX_HELD_BYTES / 4) return
    this.#stopped = false
    this.#beginSpan()
    this.#socket.resume()
  }

  get #step(): Step {
    return (this.#body ? undefined : this.#expected[0]?.step) ?? this.#lastStep
  }

  /** What the server owes next. Where the socket is stopped, the reader is slow, not the server. */
  #beginSpan(): void {
    if (this.#stopped) this.#pace.begin(undefined)
    else this.#pace.begin(this.#body ? 'body' : this.#expected.length > 0 ? 'line' : undefined)
  }

  #end(failure: Failure): void {
    if (this.#failure) return
    this.#failure = failure
    this.#pace.rest()
    this.#socket.destroy()
    this.#partial = []
    this.#body?.fail(failure)
    this.#body = undefined
    for (const answer of this.#expected.splice(0)) answer.fail(failure)
    this.#wakeWaiting()
  }

  #wakeWaiting(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }

  readonly #onData = (chunk: Buffer): void => {
    let at = 0
    while (at < chunk.length && !this.#failure) {
      // stopped within a chunk: for an upgrade
      if (this.#socket.isPaused()) {
        return this.fail('STARTTLS_INJECTION', `${this.#host} sent more than its consent before TLS was up`)
      }
      at = this.#body ? this.#takeBody(chunk, at, this.#body) : this.#takeLine(chunk, at)
    }
    if (!this.busy) this.#wakeWaiting()
    if (this.#heldBytes <= MAX_HELD_BYTES || this.#stopped || this.#failure) return
    this.#stopped = true
    this.#beginSpan()
    this.#socket.pause()
  }

  #takeBody(chunk: Buffer, from: number, body: Body): number {
    const behind = this.#unstuffer.feed(chunk, from, body)
    if (behind < 0) {
      this.#pace.received(chunk.length - from)
      return chunk.length
    }
    this.#body = undefined
    this.#beginSpan()
    body.end()
    return behind
  }

  #takeLine(chunk: Buffer, from: number): number {
    const end = chunk.indexOf(LF, from)
    const piece = chunk.subarray(from, end < 0 ? chunk.length : end)
    if (this.#partialBytes + piece.length > MAX_STATUS_LINE_BYTES) {
      this.fail('EPROTOCOL', `${this.#host} sent a status line of more than ${MAX_STATUS_LINE_BYTES} bytes`)
      return chunk.length
    }
    if (end < 0) {
      this.#partial.push(piece)
      this.#partialBytes += piece.length
      this.#pace.received(piece.length)
      return chunk.length
    }
    const line = this.#partial.length === 0 ? piece : Buffer.concat([...this.#partial, piece])
    this.#partial = []
    this.#partialBytes = 0
    this.#takeStatus(line.toString('utf8', 0, line.at(-1) === CR ? line.length - 1 : line.length))
    return end + 1
  }

  #takeStatus(line: string): void {
    const status = statusOf(line)
    const answer = this.#expected[0]
    if (!answer) {
      // an autologout or a shutdown announces itself like this
      if (status === 'err') this.#end(this.refusals.said(this.#lastStep, line))
      else this.fail('EPROTOCOL', `${this.#host} sent something it was not asked for: ${line}`)
      return
    }
    if (!answer.allows(status))
      return this.fail('EPROTOCOL', `${this.#host} answered with something else than POP3: ${line}`)
    this.#expected.shift()
    this.#lastStep = answer.step
    const followed = status === 'ok' && (answer.shape === 'body' || answer.shape === 'hint')
    this.#body = followed ? new Body(this) : undefined
    this.#beginSpan()
    if (status === 'ok' && answer.shape === 'upgrade') this.#socket.pause()
    answer.arrive(status, line, this.#body)
  }

  readonly #onError = (error: Error): void => {
    this.fail(errorCode(error) || 'ECONNRESET', `the connection to ${this.#host} broke: ${errorText(error)}`, error)
  }

  readonly #onClose = (): void => this.fail('ECONNRESET', `${this.#host} closed the connection`)
}
