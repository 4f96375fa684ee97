// One simulated mailbox: the maildrop POP3 reads, the rules SMTP applies, and the scripts that make both misbehave.

import { randomBytes } from 'node:crypto'
import type { Provider } from '../base/failure.ts'
import { Script } from './scenario.ts'

export const POP3_STEPS = [
  'greeting',
  'capa',
  'stls',
  'auth',
  'stat',
  'list',
  'uidl',
  'retr',
  'top',
  'dele',
  'rset',
  'noop',
  'quit',
] as const
export type Pop3Step = (typeof POP3_STEPS)[number]

/** 'dot' is the answer to the end of the message, after DATA or the last BDAT. */
export const SMTP_STEPS = [
  'greeting',
  'ehlo',
  'starttls',
  'auth',
  'mail',
  'rcpt',
  'data',
  'dot',
  'rset',
  'noop',
  'quit',
] as const
export type SmtpStep = (typeof SMTP_STEPS)[number]

export interface StoredMail {
  readonly uidl: string
  readonly raw: Buffer
  retrieved: boolean
}

export class Maildrop {
  #mails: StoredMail[] = []
  #delivered = 0
  #sessions = 0
  readonly #provider: Provider
  /** Differs between two runs of a simulator, so that no UIDL ever comes twice. */
  readonly #validity = randomBytes(4).toString('hex')

  constructor(provider: Provider) {
    this.#provider = provider
  }

  get sessions(): number {
    return this.#sessions
  }

  get size(): number {
    return this.#mails.length
  }

  get waiting(): number {
    return this.#mails.filter((mail) => !mail.retrieved).length
  }

  list(): readonly StoredMail[] {
    return [...this.#mails]
  }

  deliver(raw: Buffer, uidl: string = this.#nextUidl()): StoredMail {
    const mail = { uidl, raw, retrieved: false }
    this.#mails.push(mail)
    return mail
  }

  remove(gone: ReadonlySet<StoredMail>): void {
    this.#mails = this.#mails.filter((mail) => !gone.has(mail))
  }

  /** As after a move to another server: the same mail under new UIDLs. */
  renumber(): void {
    this.#mails = this.#mails.map((mail) => ({ ...mail, uidl: this.#nextUidl() }))
  }

  /** Takes the oldest mail away that was retrieved before, as somebody tidying up by webmail would. */
  tidy(keep: number): void {
    const surplus = this.#mails.filter((mail) => mail.retrieved).slice(0, Math.max(0, this.#mails.length - keep))
    this.remove(new Set(surplus))
  }

  /** false: as many sessions as allowed are open (RFC 1939 section 8 wants an exclusive lock). */
  open(sessionsAllowed: number): boolean {
    if (this.#sessions >= sessionsAllowed) return false
    this.#sessions += 1
    return true
  }

  release(): void {
    this.#sessions -= 1
  }

  #nextUidl(): string {
    this.#delivered += 1
    const number = this.#delivered.toString(16).padStart(8, '0')
    if (this.#provider === 'google') return `GmailId${this.#validity}${number}`
    if (this.#provider === 'microsoft')
      return `AAQkA${Buffer.from(this.#validity + number, 'hex').toString('base64url')}`
    return number + this.#validity
  }
}

export interface RecipientRule {
  readonly match: RegExp
  /** Whole SMTP reply, several lines allowed. */
  readonly reply: string | ((recipient: string) => string)
  /** How many attempts per sender and recipient are refused; all where not given. */
  readonly attempts?: number
}

export interface SmtpRules {
  /** Answered to every AUTH, whatever the credentials. */
  authRefusal?: string
  /** Addresses the mailbox may send as, besides its own. */
  sendAs: Set<string>
  /** Authenticated sessions at the same time. */
  connections: number
  recipientsPerDay: number
  maxSizeBytes: number
  recipients: RecipientRule[]
}

export interface Mailbox {
  readonly email: string
  readonly provider: Provider
  /** Basic authentication; undefined: the provider does not offer it to this mailbox. */
  password?: string
  /** Owners of other tokens that open this mailbox (shared mailbox, FullAccess). */
  delegates: Set<string>
  pop3Enabled: boolean
  readonly maildrop: Maildrop
  readonly smtp: SmtpRules
  readonly pop3Script: Script<Pop3Step>
  readonly smtpScript: Script<SmtpStep>
}

export function makeMailbox(email: string, provider: Provider, password?: string): Mailbox {
  return {
    email,
    provider,
    ...(password === undefined ? {} : { password }),
    delegates: new Set(),
    pop3Enabled: true,
    maildrop: new Maildrop(provider),
    smtp: {
      sendAs: new Set(),
      connections: provider === 'microsoft' ? 3 : 10,
      recipientsPerDay: 10_000,
      maxSizeBytes: Infinity,
      recipients: [],
    },
    pop3Script: new Script(),
    smtpScript: new Script(),
  }
}
