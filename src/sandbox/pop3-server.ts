// Simulated POP3 server (RFC 1939, CAPA RFC 2449, AUTH RFC 5034, STLS RFC 2595) that talks like Exchange Online, Gmail or
// Dovecot, strict where they are strict, and misbehaves on command.

import { createSecureContext } from 'node:tls'
import type { Provider } from '../base/failure.ts'
import { type LineServer, type ServerTls, startLineServer } from './line-server.ts'
import { dotStuff, type LineSocket } from './line-socket.ts'
import type { Mailbox, Pop3Step, StoredMail } from './mailbox.ts'
import { POP3_PERSONALITIES, type Pop3Personality } from './pop3-personality.ts'
import {
  type CheckToken,
  judgeLogin,
  type LoginVerdict,
  parseBearer,
  parseLogin,
  parsePlain,
  type Presented,
} from './sasl.ts'
import { type Act, perform, type Script } from './scenario.ts'

export type Pop3Event =
  | { readonly type: 'login'; readonly protocol: 'pop3'; readonly email: string; readonly verdict: LoginVerdict }
  | { readonly type: 'retrieved' | 'deleted'; readonly email: string; readonly uidl: string }

export interface Pop3ServerOptions {
  readonly tls: ServerTls
  readonly provider: Provider
  mailbox(email: string): Mailbox | undefined
  readonly checkToken: CheckToken
  /** For what happens before an account is known; a mailbox's own script comes first. */
  readonly script?: Script<Pop3Step>
  /** Exchange Online takes seconds to refuse. */
  readonly refusalDelayMs?: number
  /** Announced by Gmail; not enforced. */
  readonly loginDelaySeconds?: number
  readonly idleTimeoutMs?: number
  report?(event: Pop3Event): void
}

const REFUSALS_PER_CONNECTION = 3

export function startPop3Server(options: Pop3ServerOptions): Promise<LineServer> {
  const secureContext = createSecureContext({ ...options.tls })
  return startLineServer({
    tls: options.tls,
    ...(options.idleTimeoutMs === undefined ? {} : { idleTimeoutMs: options.idleTimeoutMs }),
    session: (socket) => new Pop3Session(socket, options, secureContext).run(),
  })
}

interface Listed {
  readonly mail: StoredMail
  deleted: boolean
}

type Reply = string | Buffer

class Pop3Session {
  readonly #socket: LineSocket
  readonly #options: Pop3ServerOptions
  readonly #secureContext: ReturnType<typeof createSecureContext>
  readonly #talk: Pop3Personality
  #user: string | undefined
  #refusals = 0
  #over = false
  /** Set from login on; the maildrop is locked as long. */
  #open: { readonly mailbox: Mailbox; readonly listed: readonly Listed[] } | undefined

  constructor(socket: LineSocket, options: Pop3ServerOptions, secureContext: ReturnType<typeof createSecureContext>) {
    this.#socket = socket
    this.#options = options
    this.#secureContext = secureContext
    this.#talk = POP3_PERSONALITIES[options.provider]
  }

  async run(): Promise<void> {
    try {
      await this.#answer('greeting', '', () => this.#talk.greeting)
      while (!this.#over) {
        const line = await this.#socket.line()
        if (line === undefined) return
        // How Exchange takes pipelined commands is not known; refused, so that a client that sends them is noticed.
        if (!this.#talk.pipelining && this.#socket.bufferedBytes > 0)
          return await this.#closeAfter(this.#talk.protocolError)
        await this.#dispatch(line)
      }
    } finally {
      this.#open?.mailbox.maildrop.release()
    }
  }

  async #dispatch(line: string): Promise<void> {
    const [verb = '', ...words] = line.trim().split(/\s+/)
    const command = verb.toUpperCase()
    const open = this.#open
    if (command === 'CAPA') return this.#answer('capa', line, () => this.#capabilities())
    if (command === 'QUIT') return this.#quit(line)
    if (open === undefined) return this.#authorization(command, words, line)
    const transaction = this.#transaction(command, words, open)
    if (transaction === undefined) return this.#socket.send(`${this.#talk.unknownCommand}\r\n`)
    return this.#answer(transaction.step, line, transaction.work)
  }

  async #answer(
    step: Pop3Step,
    line: string,
    work: () => Reply | Promise<Reply>,
    about = this.#open?.mailbox,
  ): Promise<void> {
    const act: Act | undefined = about?.pop3Script.next(step, line) ?? this.#options.script?.next(step, line)
    await perform(this.#socket, act, work)
  }

  async #closeAfter(reply: string): Promise<void> {
    this.#over = true
    await this.#socket.send(`${reply}\r\n`)
  }

  #capabilities(): string {
    const { secured } = this.#socket
    const loginDelaySeconds = this.#options.loginDelaySeconds ?? 300
    return ['+OK', ...this.#talk.capabilities({ secured, loginDelaySeconds }), '.'].join('\r\n')
  }

  async #authorization(command: string, words: string[], line: string): Promise<void> {
    const talk = this.#talk
    if (command === 'STLS') {
      if (this.#socket.secured) return this.#socket.send(`${talk.wrongState}\r\n`)
      let agreed = false
      await this.#answer('stls', line, () => {
        agreed = true
        return '+OK Begin TLS negotiation now.'
      })
      return agreed ? this.#socket.upgrade(this.#secureContext) : undefined
    }
    if (!['AUTH', 'USER', 'PASS'].includes(command)) {
      const known = ['STAT', 'LIST', 'UIDL', 'RETR', 'TOP', 'DELE', 'RSET', 'NOOP'].includes(command)
      return this.#socket.send(`${known ? talk.wrongState : talk.unknownCommand}\r\n`)
    }
    if (!this.#socket.secured) return this.#socket.send(`${talk.plaintextRefused}\r\n`)
    if (command === 'USER') {
      this.#user = words[0]
      return this.#socket.send('+OK\r\n')
    }
    if (command === 'PASS') {
      if (this.#user === undefined) return this.#socket.send(`${talk.wrongState}\r\n`)
      return this.#login({ username: this.#user, password: line.trimStart().slice('PASS '.length) }, false)
    }
    return this.#auth(words)
  }

  async #auth(words: string[]): Promise<void> {
    const mechanism = words[0]?.toUpperCase()
    if (words.length > 1 && !this.#talk.oneLineAuth) return this.#closeAfter(this.#talk.protocolError)
    const ask = async (prompt: string): Promise<string | undefined> => {
      await this.#socket.send(`+ ${prompt}\r\n`)
      return this.#socket.line()
    }
    if (mechanism === 'LOGIN' && this.#options.provider === 'generic') {
      const user = await ask('VXNlcm5hbWU6')
      const password = await ask('UGFzc3dvcmQ6')
      return user === undefined || password === undefined ? undefined : this.#login(parseLogin(user, password), false)
    }
    if (mechanism !== 'XOAUTH2' && mechanism !== 'OAUTHBEARER' && mechanism !== 'PLAIN') {
      return this.#socket.send(`${this.#talk.unknownCommand}\r\n`)
    }
    const response = words[1] ?? (await ask(''))
    if (response === undefined) return
    if (response === '*') return this.#socket.send('-ERR Authentication aborted\r\n')
    if (response.length > this.#talk.maxSaslLineLength) return this.#closeAfter(this.#talk.tooLong)
    return mechanism === 'PLAIN' ? this.#login(parsePlain(response), false) : this.#login(parseBearer(response), true)
  }

  async #login(presented: Presented | undefined, challenged: boolean): Promise<void> {
    // Gmail: "recent:" before the address asks for the last 30 days again.
    const recent = presented?.username.startsWith('recent:') ?? false
    const email = (presented?.username ?? '').replace(/^recent:/, '').toLowerCase()
    const mailbox = this.#options.mailbox(email)
    await this.#answer('auth', email, () => this.#verdict(email, presented, mailbox, { challenged, recent }), mailbox)
  }

  async #verdict(
    email: string,
    presented: Presented | undefined,
    mailbox: Mailbox | undefined,
    how: { challenged: boolean; recent: boolean },
  ): Promise<Reply> {
    const talk = this.#talk
    const verdict = judgeLogin('pop3', presented, mailbox, this.#options.checkToken)
    this.#options.report?.({ type: 'login', protocol: 'pop3', email, verdict })
    if (verdict !== 'accepted' || mailbox === undefined) {
      await this.#socket.delay(this.#options.refusalDelayMs ?? 0)
      this.#refusals += 1
      this.#over = this.#refusals >= REFUSALS_PER_CONNECTION
      if (how.challenged && talk.challenge !== undefined) {
        await this.#socket.send(`+ ${talk.challenge}\r\n`)
        if ((await this.#socket.line()) !== '') return talk.unknownCommand
      }
      return talk.refusal(verdict)
    }
    if (!mailbox.maildrop.open(talk.sessionsPerMaildrop)) return talk.inUse
    const offered = mailbox.maildrop.list().filter((mail) => how.recent || !talk.showsOnce || !mail.retrieved)
    this.#open = { mailbox, listed: offered.slice(0, talk.listed).map((mail) => ({ mail, deleted: false })) }
    return talk.loggedIn
  }

  #transaction(
    command: string,
    words: string[],
    { mailbox, listed }: { mailbox: Mailbox; listed: readonly Listed[] },
  ): { step: Pop3Step; work: () => Reply } | undefined {
    const talk = this.#talk
    const number = Number(words[0])
    const size = ({ mail }: Listed): number => talk.reportedSize(mail.raw.length)
    const present = (): [number, Listed][] => [...listed.entries()].filter(([, item]) => !item.deleted)
    const count = (): number => present().length
    const total = (): number => present().reduce((sum, [, item]) => sum + size(item), 0)
    /** The message of the command line, or the refusal. */
    const withItem = (work: (item: Listed) => Reply): Reply => {
      const item = listed[number - 1]
      return item === undefined || item.deleted ? talk.noSuchMessage(number) : work(item)
    }
    const listing = (head: string, line: (item: Listed) => string | number): Reply =>
      words.length > 0
        ? withItem((item) => `+OK ${number} ${line(item)}`)
        : [head, ...present().map(([at, item]) => `${at + 1} ${line(item)}`), '.'].join('\r\n')

    switch (command) {
      case 'STAT':
        return { step: 'stat', work: () => this.#notEnabled(mailbox) ?? `+OK ${count()} ${total()}` }
      case 'LIST':
        return {
          step: 'list',
          work: () => this.#notEnabled(mailbox) ?? listing(talk.listing(count(), total()), size),
        }
      case 'UIDL':
        return { step: 'uidl', work: () => this.#notEnabled(mailbox) ?? listing(talk.uidls, ({ mail }) => mail.uidl) }
      case 'RETR':
        return { step: 'retr', work: () => withItem(({ mail }) => this.#retrieve(mailbox, mail)) }
      case 'TOP':
        return { step: 'top', work: () => withItem(({ mail }) => multiline('+OK', top(mail.raw, Number(words[1])))) }
      case 'DELE':
        return {
          step: 'dele',
          work: () =>
            withItem((item) => {
              item.deleted = true
              return talk.deleted
            }),
        }
      case 'RSET':
        return {
          step: 'rset',
          work: () => {
            for (const item of listed) item.deleted = false
            return talk.reset
          },
        }
      case 'NOOP':
        return { step: 'noop', work: () => '+OK' }
      default:
        return undefined
    }
  }

  #notEnabled(mailbox: Mailbox): string | undefined {
    return mailbox.pop3Enabled
      ? undefined
      : '-ERR [SYS/PERM] Your account is not enabled for POP access. Please visit your Gmail settings page and enable your account for POP access.'
  }

  #retrieve(mailbox: Mailbox, mail: StoredMail): Buffer {
    mail.retrieved = true
    this.#options.report?.({ type: 'retrieved', email: mailbox.email, uidl: mail.uidl })
    return multiline(this.#talk.retrieving(mail.raw.length), mail.raw)
  }

  /** The point of no return of POP3: only here, and only in an orderly session, marked messages go (RFC 1939 section 6). */
  async #quit(line: string): Promise<void> {
    await this.#answer('quit', line, () => {
      const open = this.#open
      const gone = new Set(open?.listed.filter((item) => item.deleted).map((item) => item.mail))
      open?.mailbox.maildrop.remove(gone)
      for (const { uidl } of gone) this.#options.report?.({ type: 'deleted', email: open?.mailbox.email ?? '', uidl })
      return this.#talk.goodbye(gone.size)
    })
    this.#over = true
  }
}

const multiline = (status: string, raw: Buffer): Buffer =>
  Buffer.concat([Buffer.from(`${status}\r\n`), dotStuff(raw), Buffer.from('.\r\n')])

/** Headers, the empty line and so many lines of the body. */
function top(raw: Buffer, lines: number): Buffer {
  let end = raw.indexOf('\r\n\r\n')
  if (end < 0) return raw
  end += 4
  for (let n = 0; n < lines && end < raw.length; n++) {
    const next = raw.indexOf('\r\n', end)
    end = next < 0 ? raw.length : next + 2
  }
  return raw.subarray(0, end)
}
