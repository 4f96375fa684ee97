// One SMTP submission session with every phase named, and its point of no return: the final dot. Before the dot
// everything may be aborted and is a Failure; after it there is a reply, or the outcome is uncertain and says so.
// RFC 5321 (transaction, timeouts of 4.5.3.2), RFC 6409 (submission), RFC 3207 (STARTTLS), RFC 4954 (AUTH).

import { UserError, type Failure, type Provider } from '../base/failure.ts'
import type { Endpoint, Login, Net } from '../net/net.ts'
import { authExchange } from './auth.ts'
import { writeBody } from './body.ts'
import { Channel } from './channel.ts'
import { checkAddress, mailCommand, needsSmtpUtf8, rcptCommand, toALabels } from './envelope.ts'
import {
  UncertainOutcome,
  type Envelope,
  type HandOver,
  type Phase,
  type RecipientOutcome,
  type SendOptions,
} from './hand-over.ts'
import { asFailure, needsUnofferedSmtpUtf8, NO_SMTPUTF8, refusedBy, tooLarge } from './refusal.ts'
import { GO_AHEAD, parseReply, replyClass, SERVICE_CLOSING, type Reply } from './reply.ts'
import { upgrade } from './starttls.ts'
import { DEFAULT_TIMEOUTS, type Timeouts } from './timeouts.ts'
import { Transcript } from './transcript.ts'

export { PHASES, UncertainOutcome } from './hand-over.ts'
export type { Envelope, HandOver, Phase, RecipientOutcome, SendOptions } from './hand-over.ts'

export interface SubmissionOptions {
  /** Closes the connection at once, but never between the final dot and its reply. */
  readonly signal: AbortSignal
  /** Said in EHLO: a host name or an address literal. Throws UserError where it is neither. */
  readonly clientName: string
  readonly timeouts?: Partial<Timeouts>
}

/** Of the message that is only announced. */
const TRIED_BYTES = 1_000

const CLIENT_NAME = /^(?:[a-z0-9.-]{1,255}|\[[a-z0-9:.]{1,64}\])$/i

/**
 * Everything it throws is a Failure, an UncertainOutcome or an AddressError; errors of the caller's own body and hook
 * pass through unchanged. Always end it with quit() or close().
 */
export class Submission {
  readonly #provider: Provider
  readonly #clientName: string
  #signal: AbortSignal
  readonly #timeouts: Timeouts
  readonly #transcript = new Transcript()
  readonly #abort = () => {
    if (!this.#dotReleased) this.#channel?.close('aborted')
  }
  #channel: Channel | undefined
  #phase: Phase = 'connect'
  #busy = false
  /** MAIL was accepted and neither a final reply nor RSET has ended the transaction. */
  #inTransaction = false
  /** That were offered over this connection, the one under way included. */
  #messages = 0
  /** The point of no return: from here the reply is awaited whatever the caller's signal says. */
  #dotReleased = false

  private constructor(provider: Provider, options: SubmissionOptions) {
    const clientName = CLIENT_NAME.test(options.clientName) ? options.clientName : toALabels(options.clientName)
    if (!CLIENT_NAME.test(clientName)) {
      throw new UserError(`${JSON.stringify(options.clientName)} cannot be said in EHLO: it is not a host name.`)
    }
    this.#provider = provider
    this.#clientName = clientName
    this.#signal = options.signal
    this.#timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts }
  }

  /** Connects, greets, says EHLO; upgrades where the endpoint says 'starttls', and never goes on without. */
  static async open(
    net: Net,
    target: Endpoint & { readonly provider: Provider },
    options: SubmissionOptions,
  ): Promise<Submission> {
    const submission = new Submission(target.provider, options)
    await submission.#connect(net, target)
    return submission
  }

  /** The phase in progress, or the last one that was reached. */
  get phase(): Phase {
    return this.#phase
  }

  /** Session start and current transaction; secrets masked, message bytes left out. */
  get transcript(): readonly string[] {
    return this.#transcript.lines
  }

  /** A message went over it before, and it ended, with or without a word, when nothing of the next one had been taken. */
  get endedBetween(): boolean {
    return this.#messages > 1 && this.#phase === 'mail' && this.#channel?.lost !== undefined
  }

  /** From here on this signal ends the connection, and the one before does not. */
  obey(signal: AbortSignal): void {
    this.#signal.removeEventListener('abort', this.#abort)
    this.#signal = signal
    signal.addEventListener('abort', this.#abort)
    if (signal.aborted) this.#abort()
  }

  /** Whether another message can be sent over this connection. */
  get usable(): boolean {
    return !this.#busy && this.#channel !== undefined && this.#channel.lost === undefined
  }

  /** One login attempt, whatever the answer; a refusal is a Failure with step 'auth'. */
  async login(login: Login): Promise<void> {
    await this.#exclusively('auth', async (channel) => {
      const exchange = authExchange(login, channel.mechanisms)
      this.#transcript.hide(exchange.secrets)
      try {
        const [first = '', ...rest] = exchange.responses
        const command = `AUTH ${exchange.mechanism}`
        const later = exchange.initialResponse ? rest : exchange.responses
        let reply = exchange.initialResponse
          ? await this.#ask(channel, `${command} ${first}`, `${command} ***`)
          : await this.#ask(channel, command)
        for (const response of [...later, exchange.farewell]) {
          if (reply.code !== 334) break
          reply = await this.#ask(channel, response, '***')
        }
        if (replyClass(reply) !== 2) throw this.#refused(channel, reply, 'auth')
      } finally {
        this.#transcript.hide([])
      }
    })
  }

  /**
   * Hands one message over. `body` is canonical CRLF text; it is read only after DATA was granted. Resolves also when
   * every recipient was refused. Throws UncertainOutcome only after beforeFinalDot resolved.
   */
  async send(envelope: Envelope, body: AsyncIterable<Buffer>, options: SendOptions): Promise<HandOver> {
    const from = envelope.from === '' ? '' : checkAddress(envelope.from)
    const to = envelope.recipients.map((address) => ({ address, wire: checkAddress(address) }))
    if (to.length === 0) throw new UserError('A message needs at least one recipient.')
    return this.#exclusively('mail', async (channel) => {
      this.#messages += 1
      this.#transcript.beginTransaction()
      const { maxMessageBytes } = channel
      if (maxMessageBytes !== undefined && options.sizeBytes > maxMessageBytes) throw tooLarge(options, maxMessageBytes)
      const { recipients, dataReply } = await this.#offer(channel, from, to, options)
      if (!recipients.some((recipient) => recipient.accepted)) return { reply: '', recipients }
      await this.#writeMessage(channel, body, options, dataReply)
      const reply = await this.#releaseDot(channel)
      return { reply, recipients }
    })
  }

  /** What EHLO said after the upgrade. */
  get offers(): { mechanisms: readonly string[]; maxMessageBytes: number | undefined } {
    return { mechanisms: this.#channel?.mechanisms ?? [], maxMessageBytes: this.#channel?.maxMessageBytes }
  }

  /** MAIL and RCPT, and RSET: nothing is sent. Throws Failure where the sender is refused. */
  async tryEnvelope(envelope: Envelope): Promise<readonly RecipientOutcome[]> {
    const from = checkAddress(envelope.from)
    const to = envelope.recipients.map((address) => ({ address, wire: checkAddress(address) }))
    return this.#exclusively('mail', async (channel) => {
      const { recipients } = await this.#offer(channel, from, to, { sizeBytes: TRIED_BYTES }, false)
      await this.#reset(channel)
      return recipients
    })
  }

  /** Says goodbye where that is possible, and closes. Never throws. */
  async quit(): Promise<void> {
    if (this.usable) await this.#channel?.command('QUIT', { timeoutMs: this.#timeouts.quitMs }).catch(() => {})
    this.close()
  }

  /** Closes at once, also between the final dot and its reply. */
  close(): void {
    this.#signal.removeEventListener('abort', this.#abort)
    this.#channel?.close()
  }

  async #connect(net: Net, target: Endpoint): Promise<void> {
    const { host, security } = target
    const common = { host, clientName: this.#clientName, signal: this.#signal, transcript: this.#transcript }
    try {
      let socket = await net.dial(target, { signal: this.#signal, timeoutMs: this.#timeouts.connectMs })
      const onPhase = (phase: Phase) => void (this.#phase = phase)
      if (security === 'starttls') socket = await upgrade(net, socket, { ...common, ...this.#timeouts, onPhase })
      else onPhase('greeting')
      this.#channel = new Channel(socket, {
        ...common,
        ...this.#timeouts,
        secured: security !== 'none',
        greeted: security === 'starttls',
        onHello: () => onPhase('ehlo'),
      })
      this.#signal.addEventListener('abort', this.#abort)
      if (this.#signal.aborted) this.#abort()
      await this.#channel.handshake()
    } catch (error) {
      this.close()
      throw asFailure(this.#provider, this.#phase, error)
    }
  }

  async #exclusively<T>(phase: Phase, work: (channel: Channel) => Promise<T>): Promise<T> {
    const channel = this.#channel
    if (channel === undefined || this.#busy) throw new Error('one thing at a time on an SMTP connection')
    this.#busy = true
    this.#phase = phase
    try {
      return await work(channel)
    } catch (error) {
      throw asFailure(this.#provider, this.#phase, error)
    } finally {
      this.#busy = false
      this.#dotReleased = false
      if (this.#signal.aborted) channel.close('aborted')
    }
  }

  /** MAIL and RCPT. Throws where the sender or the session is refused, not where recipients are. */
  async #offer(
    channel: Channel,
    from: string,
    to: readonly { address: string; wire: string }[],
    options: Pick<SendOptions, 'sizeBytes' | 'eightBit'>,
    dataFollows = true,
  ): Promise<{ recipients: RecipientOutcome[]; dataReply: Reply | undefined }> {
    const utf8Offered = channel.offers('SMTPUTF8')
    if (needsSmtpUtf8(from) && !utf8Offered) throw needsUnofferedSmtpUtf8('sender')
    const offered = to.filter(({ wire }) => utf8Offered || !needsSmtpUtf8(wire))
    const mail = mailCommand(from, {
      ...(channel.offers('SIZE') ? { sizeBytes: options.sizeBytes } : {}),
      eightBitMime: (options.eightBit ?? true) && channel.offers('8BITMIME'),
      smtpUtf8: [from, ...offered.map(({ wire }) => wire)].some(needsSmtpUtf8),
    })
    const replies = offered.length > 0 ? await this.#envelope(channel, mail, offered, dataFollows) : []
    const dataReply = replies.length > offered.length ? replies.pop() : undefined
    // By position, not by address: the same recipient may have been given twice and answered differently.
    const recipients = to.map((recipient) =>
      this.#outcome(recipient.address, offered.includes(recipient) ? replies.shift() : undefined),
    )
    if (dataReply?.code === GO_AHEAD && !recipients.some(({ accepted }) => accepted)) {
      channel.close('the server waits for a message without a recipient')
    }
    return { recipients, dataReply }
  }

  /**
   * Replies to RCPT, and to DATA where that could go in the same flight (RFC 2920). The reply to DATA is read whatever came before it:
   * a server that waits for a message must not be sent a command.
   */
  async #envelope(
    channel: Channel,
    mail: string,
    offered: readonly { wire: string }[],
    dataFollows: boolean,
  ): Promise<Reply[]> {
    await this.#reset(channel)
    const lines = [mail, ...offered.map(({ wire }) => rcptCommand(wire))]
    const withData = dataFollows && lines.length < channel.flightWidth
    if (withData) lines.push('DATA')
    const replies: Reply[] = []
    let refusal: Failure | undefined
    try {
      let first = true
      for await (const text of channel.dialogue(lines)) {
        const reply = this.#read(channel, text)
        if (!first) {
          if (reply.code === SERVICE_CLOSING) refusal ??= this.#refused(channel, reply, 'rcpt')
          replies.push(reply)
        } else if (replyClass(reply) === 2) {
          this.#inTransaction = true
          this.#phase = 'rcpt'
        } else {
          refusal = this.#refused(channel, reply, 'mail')
        }
        first = false
        if (refusal !== undefined && !withData) break
      }
    } catch (error) {
      throw refusal ?? error
    }
    if (refusal === undefined) return replies
    if (replies.at(-1)?.code === GO_AHEAD) channel.close('the server waits for a message that it has refused')
    throw refusal
  }

  #outcome(address: string, asked: Reply | undefined): RecipientOutcome {
    const { code, raw, enhancedCode } = asked ?? NO_SMTPUTF8
    const answer = { address, reply: raw, code, ...(enhancedCode === undefined ? {} : { enhancedCode }) }
    if (asked === undefined) return { ...answer, accepted: false, failure: needsUnofferedSmtpUtf8('recipient') }
    if (replyClass(asked) === 2) return { ...answer, accepted: true }
    return { ...answer, accepted: false, failure: refusedBy(this.#provider, 'rcpt', asked) }
  }

  /** Ends what an earlier message left behind; done late, so that the last message of a connection costs no round trip. */
  async #reset(channel: Channel): Promise<void> {
    if (!this.#inTransaction) return
    const reply = await this.#ask(channel, 'RSET')
    if (replyClass(reply) !== 2) {
      channel.close('RSET was refused')
      throw this.#refused(channel, reply, 'rset')
    }
    this.#inTransaction = false
  }

  /** DATA, the body, and the caller's last word. After it the server has everything but the dot. */
  async #writeMessage(
    channel: Channel,
    body: AsyncIterable<Buffer>,
    options: SendOptions,
    answered: Reply | undefined,
  ): Promise<void> {
    this.#phase = 'data'
    const reply = answered ?? (await this.#ask(channel, 'DATA'))
    if (reply.code !== GO_AHEAD) throw this.#refused(channel, reply, 'data')
    try {
      const bytes = await writeBody(channel, body, this.#timeouts.dataBlockMs)
      this.#transcript.client(`(${bytes} bytes of message)`)
      await options.beforeFinalDot()
    } catch (error) {
      channel.close('given up before the final dot')
      throw error
    }
    if (channel.lost !== undefined) throw channel.lost
  }

  /** The point of no return. Returns the final reply, all lines. */
  async #releaseDot(channel: Channel): Promise<string> {
    this.#dotReleased = true
    this.#phase = 'handing_over'
    let reply: Reply
    try {
      reply = await this.#ask(channel, '.', '.', this.#timeouts.finalReplyMs)
    } catch (error) {
      throw new UncertainOutcome(channel.received, { cause: error })
    }
    this.#inTransaction = false
    if (replyClass(reply) >= 4) throw this.#refused(channel, reply, 'dot')
    if (replyClass(reply) !== 2)
      throw new UncertainOutcome(channel.received, { cause: this.#refused(channel, reply, 'dot') })
    this.#phase = 'done'
    return reply.raw
  }

  async #ask(channel: Channel, line: string, shown = line, timeoutMs = this.#timeouts.commandMs): Promise<Reply> {
    return this.#read(channel, await channel.command(line, { timeoutMs, shown }))
  }

  #read(channel: Channel, text: string): Reply {
    const reply = parseReply(this.#transcript.mask(text))
    if (reply === undefined) throw channel.reject('not an SMTP reply', this.#transcript.mask(text))
    return reply
  }

  /** A no. A reply that is neither yes nor no leaves the two sides in different states: the connection goes. */
  #refused(channel: Channel, reply: Reply, step: string): Failure {
    if (replyClass(reply) < 4) channel.reject('the reply does not fit the command', reply.raw)
    return refusedBy(this.#provider, step, reply)
  }
}
