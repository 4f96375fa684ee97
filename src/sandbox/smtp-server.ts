// Simulated submission server (RFC 5321 and 6409, AUTH RFC 4954, STARTTLS RFC 3207, CHUNKING RFC 3030) that talks like
// Exchange Online, Gmail or Postfix, keeps what it accepted, and misbehaves on command.

import { createSecureContext, type SecureContext } from 'node:tls'
import type { Provider } from '../base/failure.ts'
import { type AcceptedLedger, type AcceptedMessage, headerOf } from './accepted.ts'
import { type LineServer, type ServerTls, startLineServer } from './line-server.ts'
import type { LineSocket } from './line-socket.ts'
import type { Mailbox, RecipientRule, SmtpStep } from './mailbox.ts'
import {
  type CheckToken,
  judgeLogin,
  type LoginVerdict,
  parseBearer,
  parseLogin,
  parsePlain,
  type Presented,
} from './sasl.ts'
import { perform, type Script } from './scenario.ts'
import { SMTP_PERSONALITIES, type SmtpPersonality } from './smtp-personality.ts'

export type SmtpEvent =
  | { readonly type: 'login'; readonly protocol: 'smtp'; readonly email: string; readonly verdict: LoginVerdict }
  | { readonly type: 'accepted'; readonly message: AcceptedMessage }

export interface SmtpServerOptions {
  readonly tls: ServerTls
  readonly provider: Provider
  mailbox(email: string): Mailbox | undefined
  readonly checkToken: CheckToken
  readonly accepted: AcceptedLedger
  /** For what happens before an account is known; a mailbox's own script comes first. */
  readonly script?: Script<SmtpStep>
  readonly idleTimeoutMs?: number
  report?(event: SmtpEvent): void
}

export function startSmtpServer(options: SmtpServerOptions): Promise<LineServer> {
  const counters = new Counters()
  const secureContext = createSecureContext({ ...options.tls })
  return startLineServer({
    tls: options.tls,
    ...(options.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: options.idleTimeoutMs }),
    session: (socket) => new SmtpSession(socket, options, secureContext, counters).run(),
  })
}

const ATTEMPTS_REMEMBERED = 10_000

/** What one server counts over all its sessions. */
class Counters {
  readonly #sessions = new Map<string, number>()
  readonly #attempts = new Map<string, number>()
  readonly #recipients = new Map<string, number>()
  #day = ''

  /** Change and new number of authenticated sessions of a mailbox. */
  sessions(email: string, change: 1 | -1): number {
    const count = (this.#sessions.get(email) ?? 0) + change
    this.#sessions.set(email, count)
    return count
  }

  /** The how-manieth attempt of this sender at this recipient it is. */
  attempt(sender: string, recipient: string): number {
    const key = `${sender} ${recipient}`
    const count = (this.#attempts.get(key) ?? 0) + 1
    this.#attempts.delete(key)
    this.#attempts.set(key, count)
    const [oldest] = this.#attempts.keys()
    if (oldest !== undefined && this.#attempts.size > ATTEMPTS_REMEMBERED) this.#attempts.delete(oldest)
    return count
  }

  /** false: the day's limit would be passed; nothing is counted then. */
  spend(email: string, recipients: number, limit: number): boolean {
    const today = new Date().toISOString().slice(0, 10)
    if (today !== this.#day) this.#recipients.clear()
    this.#day = today
    const count = (this.#recipients.get(email) ?? 0) + recipients
    if (count > limit) return false
    this.#recipients.set(email, count)
    return true
  }
}

class SmtpSession {
  readonly #socket: LineSocket
  readonly #options: SmtpServerOptions
  readonly #secureContext: SecureContext
  readonly #counters: Counters
  readonly #talk: SmtpPersonality
  #over = false
  #greeted = false
  #mailbox: Mailbox | undefined
  #sender: string | undefined
  #recipients: string[] = []
  #chunks: Buffer[] = []

  constructor(socket: LineSocket, options: SmtpServerOptions, secureContext: SecureContext, counters: Counters) {
    this.#socket = socket
    this.#options = options
    this.#secureContext = secureContext
    this.#counters = counters
    this.#talk = SMTP_PERSONALITIES[options.provider]
  }

  async run(): Promise<void> {
    try {
      await this.#answer('greeting', '', () => this.#talk.greeting())
      while (!this.#over) {
        const line = await this.#socket.line()
        if (line === undefined) return
        await this.#dispatch(line)
      }
    } finally {
      if (this.#mailbox !== undefined) this.#counters.sessions(this.#mailbox.email, -1)
    }
  }

  async #answer(
    step: SmtpStep,
    line: string,
    work: () => string | Promise<string>,
    about: Mailbox | undefined = this.#mailbox,
  ): Promise<void> {
    const act = about?.smtpScript.next(step, line) ?? this.#options.script?.next(step, line)
    await perform(this.#socket, act, async () => {
      const reply = await work()
      // RFC 5321 section 3.8: who says 421 closes.
      if (reply.startsWith('421')) this.#over = true
      return reply
    })
    if (act?.reply?.startsWith('421')) this.#over = true
  }

  #say(reply: string): Promise<void> {
    return this.#socket.send(`${reply}\r\n`)
  }

  #forget(): void {
    this.#sender = undefined
    this.#recipients = []
    this.#chunks = []
  }

  async #dispatch(line: string): Promise<void> {
    const [verb = '', ...words] = line.trim().split(/\s+/)
    switch (verb.toUpperCase()) {
      case 'EHLO':
      case 'HELO':
        return this.#answer('ehlo', line, () => this.#hello(verb.toUpperCase() === 'EHLO'))
      case 'STARTTLS':
        return this.#startTls(line)
      case 'AUTH':
        return this.#auth(words, line)
      case 'MAIL':
        return this.#answer('mail', line, () => this.#mail(line))
      case 'RCPT':
        return this.#answer('rcpt', line, () => this.#rcpt(line))
      case 'DATA':
        return this.#data(line)
      case 'BDAT':
        return this.#bdat(words, line)
      case 'RSET':
        return this.#answer('rset', line, () => {
          this.#forget()
          return '250 2.0.0 Ok'
        })
      case 'NOOP':
        return this.#answer('noop', line, () => '250 2.0.0 Ok')
      case 'QUIT':
        await this.#answer('quit', line, () => this.#talk.goodbye)
        this.#over = true
        return
      default:
        return this.#say(this.#talk.unknownCommand)
    }
  }

  #hello(extended: boolean): string {
    this.#greeted = true
    this.#forget()
    const lines = [this.#talk.hello, ...(extended ? this.#talk.extensions({ secured: this.#socket.secured }) : [])]
    return lines.map((text, at) => `250${at < lines.length - 1 ? '-' : ' '}${text}`).join('\r\n')
  }

  async #startTls(line: string): Promise<void> {
    if (this.#socket.secured) return this.#say(this.#talk.badSequence)
    let agreed = false
    await this.#answer('starttls', line, () => {
      agreed = true
      return '220 2.0.0 Ready to start TLS'
    })
    if (!agreed) return
    this.#greeted = false
    await this.#socket.upgrade(this.#secureContext)
  }

  async #auth(words: string[], line: string): Promise<void> {
    const talk = this.#talk
    const mechanism = words[0]?.toUpperCase() ?? ''
    if (!this.#greeted) return this.#say(talk.badSequence)
    if (!this.#socket.secured) return this.#say(talk.needsTls)
    if (this.#mailbox !== undefined) return this.#say(talk.secondAuth)
    if (line.length > talk.maxAuthLineLength) return this.#say(talk.authLineTooLong)
    const announced = talk.extensions({ secured: true }).find((extension) => extension.startsWith('AUTH ')) ?? ''
    if (
      !announced.split(' ').slice(1).includes(mechanism) ||
      !['XOAUTH2', 'OAUTHBEARER', 'PLAIN', 'LOGIN'].includes(mechanism)
    ) {
      return this.#say(talk.unknownMechanism)
    }
    const ask = async (prompt: string): Promise<string | undefined> => {
      await this.#say(`334 ${prompt}`)
      return this.#socket.line()
    }
    const first = words[1] ?? (await ask(mechanism === 'LOGIN' ? 'VXNlcm5hbWU6' : ''))
    if (first === undefined) return
    if (first === '*') return this.#say('501 5.7.0 Authentication aborted')
    if (mechanism === 'LOGIN') {
      const password = await ask('UGFzc3dvcmQ6')
      return password === undefined ? undefined : this.#login(parseLogin(first, password), false)
    }
    return mechanism === 'PLAIN' ? this.#login(parsePlain(first), false) : this.#login(parseBearer(first), true)
  }

  async #login(presented: Presented | undefined, challenged: boolean): Promise<void> {
    const email = (presented?.username ?? '').toLowerCase()
    const mailbox = this.#options.mailbox(email)
    const work = (): Promise<string> => this.#verdict(email, presented, mailbox, challenged)
    await this.#answer('auth', email, work, mailbox)
  }

  async #verdict(
    email: string,
    presented: Presented | undefined,
    mailbox: Mailbox | undefined,
    challenged: boolean,
  ): Promise<string> {
    const talk = this.#talk
    if (mailbox?.smtp.authRefusal !== undefined) {
      this.#options.report?.({ type: 'login', protocol: 'smtp', email, verdict: 'protocol-disabled' })
      return mailbox.smtp.authRefusal
    }
    const verdict = judgeLogin('smtp', presented, mailbox, this.#options.checkToken)
    this.#options.report?.({ type: 'login', protocol: 'smtp', email, verdict })
    if (verdict !== 'accepted' || mailbox === undefined) {
      // Gmail says nothing more until the client has answered the challenge.
      if (challenged && talk.challenge !== undefined) {
        await this.#say(`334 ${talk.challenge}`)
        await this.#socket.line()
      }
      return talk.refusal(verdict)
    }
    if (this.#counters.sessions(email, 1) > mailbox.smtp.connections) {
      this.#counters.sessions(email, -1)
      return talk.tooManyConnections
    }
    this.#mailbox = mailbox
    return talk.accepted
  }

  #mail(line: string): string {
    const talk = this.#talk
    const [, sender, parameters] = /^MAIL FROM:\s*<([^>]*)>(.*)$/i.exec(line) ?? []
    if (this.#mailbox === undefined) return this.#socket.secured ? talk.needsAuth : talk.needsTls
    if (!this.#greeted || this.#sender !== undefined) return talk.badSequence
    if (sender === undefined) return '501 5.1.7 Bad sender address syntax'
    if (Number(/\bSIZE=(\d+)/i.exec(parameters ?? '')?.[1] ?? 0) > this.#maxSizeBytes) return talk.tooLarge
    this.#sender = sender
    return talk.senderOk(sender)
  }

  get #maxSizeBytes(): number {
    return Math.min(this.#talk.maxSizeBytes, this.#mailbox?.smtp.maxSizeBytes ?? Infinity)
  }

  #rcpt(line: string): string {
    const talk = this.#talk
    const mailbox = this.#mailbox
    const recipient = /^RCPT TO:\s*<([^>]+)>/i.exec(line)?.[1]
    if (mailbox === undefined || this.#sender === undefined) return talk.badSequence
    if (recipient === undefined) return '501 5.1.3 Bad recipient address syntax'
    if (talk.senderCheck === 'rcpt' && !maySendAs(mailbox, this.#sender)) {
      return talk.sendAsDenied(mailbox.email, this.#sender)
    }
    const usual: RecipientRule[] = [
      { match: /^unknown@/i, reply: (address) => talk.unknownRecipient(address) },
      { match: /^busy@/i, reply: (address) => talk.greylisted(address), attempts: 1 },
    ]
    const rule = [...mailbox.smtp.recipients, ...usual].find(({ match }) => match.test(recipient))
    if (rule !== undefined && this.#counters.attempt(this.#sender, recipient) <= (rule.attempts ?? Infinity)) {
      return typeof rule.reply === 'string' ? rule.reply : rule.reply(recipient)
    }
    this.#recipients.push(recipient)
    return talk.recipientOk(recipient)
  }

  async #data(line: string): Promise<void> {
    let begun = false
    await this.#answer('data', line, () => {
      if (this.#sender === undefined || this.#recipients.length === 0) return this.#talk.badSequence
      begun = true
      return this.#talk.goAhead
    })
    if (!begun) return
    const raw = await this.#socket.dotBody()
    if (raw !== undefined) await this.#finish(raw)
  }

  async #bdat(words: string[], line: string): Promise<void> {
    const chunk = await this.#socket.bytes(Number(words[0]) || 0)
    if (chunk === undefined) return
    if (this.#sender === undefined || this.#recipients.length === 0) return this.#say(this.#talk.badSequence)
    this.#chunks.push(chunk)
    if (words[1]?.toUpperCase() === 'LAST') return this.#finish(Buffer.concat(this.#chunks))
    await this.#answer('data', line, () => `250 2.0.0 ${chunk.length} octets received`)
  }

  async #finish(raw: Buffer): Promise<void> {
    await this.#answer('dot', '', () => this.#accept(raw))
    this.#forget()
  }

  #accept(raw: Buffer): string {
    const talk = this.#talk
    const mailbox = this.#mailbox
    if (mailbox === undefined || this.#sender === undefined) return talk.badSequence
    if (raw.length > this.#maxSizeBytes) return talk.tooLarge
    if (talk.senderCheck === 'dot') {
      const from = /([^\s<>"]+@[^\s<>"]+)>?\s*$/.exec(headerOf(raw, 'from') ?? '')?.[1]
      const foreign = [this.#sender, from].find((address) => address !== undefined && !maySendAs(mailbox, address))
      if (foreign !== undefined) return talk.sendAsDenied(mailbox.email, foreign)
    }
    if (!this.#counters.spend(mailbox.email, this.#recipients.length, mailbox.smtp.recipientsPerDay)) {
      return talk.quotaExceeded
    }
    const message = this.#options.accepted.add(mailbox.email, this.#sender, this.#recipients, raw)
    this.#options.report?.({ type: 'accepted', message })
    return talk.queued(message.messageId ?? '<>', message.sha256)
  }
}

/** The empty reverse path of a notification is everybody's. */
function maySendAs(mailbox: Mailbox, sender: string): boolean {
  const address = sender.toLowerCase()
  return address === '' || address === mailbox.email || mailbox.smtp.sendAs.has(address)
}
