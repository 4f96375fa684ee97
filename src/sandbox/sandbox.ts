// The provider simulator as a whole: a token endpoint, POP3 and SMTP servers on loopback, and the mailboxes of a company,
// some of them in trouble. For the demonstration, and for tests of what only Microsoft and Google do.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROVIDERS } from '../base/failure.ts'
import { AcceptedLedger, type AcceptedMessage } from './accepted.ts'
import { applyCondition, type Condition, type Patient } from './conditions.ts'
import type { LineServer } from './line-server.ts'
import { type Mailbox, makeMailbox, type StoredMail } from './mailbox.ts'
import { makePki } from './pki.ts'
import { type Pop3Event, startPop3Server } from './pop3-server.ts'
import {
  type AccountImport,
  COMPANY_DOMAIN,
  emailOf,
  grantOf,
  importOf,
  passwordOf,
  type Resident,
  RESIDENTS,
} from './residents.ts'
import { Dice, isByHand, sampleMail, type SampleMailAbout } from './sample-mail.ts'
import { Script } from './scenario.ts'
import { type SmtpEvent, startSmtpServer } from './smtp-server.ts'
import { type SandboxGrant, startTokenEndpoint, type TokenEndpoint } from './token-endpoint.ts'

export type SandboxEvent =
  | Pop3Event
  | SmtpEvent
  | { readonly type: 'delivered'; readonly email: string; readonly mail: StoredMail }

export interface SandboxOptions {
  /** Chooses the sample mail; UIDLs and Message-IDs are new in every run all the same. */
  readonly seed?: string
  readonly accessTokenSeconds?: number
  readonly pollIntervalSeconds?: number
  /** Mail that lies in every maildrop at the start. */
  readonly mailsPerAccount?: number
  /** How long a simulated Exchange takes to refuse a POP3 login. */
  readonly refusalDelayMs?: number
  /** What the simulated Gmail announces. */
  readonly loginDelaySeconds?: number
  /** A maildrop keeps no more messages that were retrieved before, and traffic passes over a full one. */
  readonly mailsKept?: number
}

export interface Sandbox {
  /** What a client has to trust. */
  readonly caPem: string
  readonly accounts: readonly AccountImport[]
  readonly grants: readonly SandboxGrant[]
  readonly tokens: TokenEndpoint
  readonly accepted: AcceptedLedger
  mailbox(email: string): Mailbox
  /** A sample mail where no raw message is given. */
  deliver(email: string, raw?: Buffer): StoredMail
  /** Delivers now and then, at random intervals, until aborted or closed. */
  startTraffic(ratePerMinute: number, signal: AbortSignal): void
  heal(email: string): void
  break(email: string, condition: Condition): void
  /** The newest that are still kept, oldest first. */
  messagesAccepted(): readonly AcceptedMessage[]
  /** Returns how to stop listening. */
  on<T extends SandboxEvent['type']>(type: T, listener: (event: Extract<SandboxEvent, { type: T }>) => void): () => void
  /** Leaves no socket and no timer behind. */
  close(): Promise<void>
}

export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const seed = options.seed ?? 'muster'
  const run = randomBytes(6).toString('hex')
  const closing = new AbortController()
  const background = new Set<Promise<void>>()
  const listeners = new Set<(event: SandboxEvent) => void>()
  const report = (event: SandboxEvent): void => {
    for (const listener of listeners) listener(event)
  }

  const pki = await makePki()
  const tls = { key: pki.keyPem, cert: pki.certPem }
  const grants = RESIDENTS.map(grantOf).filter((grant) => grant !== undefined)
  const tokens = await startTokenEndpoint({ tls, accounts: grants, expiresInSeconds: options.accessTokenSeconds ?? 60 })
  const accepted = new AcceptedLedger()

  const mailboxes = new Map<string, Mailbox>()
  const servers = new Map<Resident['server'], MailServers>()
  for (const name of [...PROVIDERS, 'workshop'] as const) {
    const provider = name === 'workshop' ? 'generic' : name
    const pop3Script: Patient['server']['pop3'] = new Script()
    const smtpScript: Patient['server']['smtp'] = new Script()
    const living = new Set(RESIDENTS.filter((resident) => resident.server === name).map(emailOf))
    const common = {
      tls,
      provider,
      mailbox: (email: string) => (living.has(email) ? mailboxes.get(email) : undefined),
      checkToken: (accessToken: string) => tokens.check(accessToken),
      report,
    }
    servers.set(name, {
      pop3: await startPop3Server({
        ...common,
        script: pop3Script,
        ...(provider === 'microsoft' ? { refusalDelayMs: options.refusalDelayMs ?? 0 } : {}),
        ...(options.loginDelaySeconds === undefined ? {} : { loginDelaySeconds: options.loginDelaySeconds }),
      }),
      smtp: await startSmtpServer({ ...common, accepted, script: smtpScript }),
      scripts: { pop3: pop3Script, smtp: smtpScript },
    })
  }
  const serversOf = (resident: Resident): MailServers => {
    const found = servers.get(resident.server)
    if (found === undefined) throw new Error(`no server for ${resident.name}`)
    return found
  }

  const patients = new Map<string, Patient>()
  for (const resident of RESIDENTS) {
    const email = emailOf(resident)
    const password = resident.flow === 'basic' ? passwordOf(resident) : undefined
    const mailbox = makeMailbox(email, resident.provider, password)
    // A token without a user stands for the app; Exchange calls this "service principal with FullAccess".
    if (resident.flow === 'client_credentials') mailbox.delegates.add(resident.clientId)
    mailboxes.set(email, mailbox)
    patients.set(email, { mailbox, password, grant: grantOf(resident), tokens, server: serversOf(resident).scripts })
  }
  for (const resident of RESIDENTS) applyCondition(patientOf(emailOf(resident)), resident.condition)

  function patientOf(email: string): Patient {
    const patient = patients.get(email.toLowerCase())
    if (patient === undefined) throw new Error(`no mailbox ${email} in the sandbox`)
    return patient
  }

  let delivered = 0
  /** By mailbox: what may be answered next. */
  const samples = new Map<string, SampleMailAbout>()
  const deliver = (email: string, raw?: Buffer): StoredMail => {
    const { maildrop } = patientOf(email).mailbox
    delivered += 1
    const messageId = `<${delivered}.${run}@sandbox.${COMPANY_DOMAIN}>`
    const sample = { seed: `${seed}/${delivered}`, to: email, messageId, date: new Date() }
    const mail = maildrop.deliver(raw ?? sampleMail({ ...sample, ...answering(email, sample) }))
    maildrop.tidy(options.mailsKept ?? MAILS_KEPT)
    report({ type: 'delivered', email, mail })
    return mail
  }
  /** One mail in four comes back to the last one that was written by hand. */
  function answering(email: string, sample: SampleMailAbout): Pick<SampleMailAbout, 'answers'> {
    const answers = samples.get(email)
    if (answers && new Dice(`${sample.seed}/answers`).below(4) === 0) return { answers }
    if (isByHand(sample)) samples.set(email, sample)
    return {}
  }
  for (const email of mailboxes.keys()) {
    for (let n = 0; n < (options.mailsPerAccount ?? 3); n++) deliver(email)
  }
  listeners.add((event) => {
    // Mail from one mailbox to another arrives, as it would at a provider.
    if (event.type !== 'accepted' || event.message.raw === undefined) return
    for (const recipient of event.message.recipients) {
      if (mailboxes.has(recipient.toLowerCase())) deliver(recipient.toLowerCase(), received(event.message, recipient))
    }
  })

  async function traffic(ratePerMinute: number, signal: AbortSignal): Promise<void> {
    const dice = new Dice(`${seed}/traffic`)
    while (!signal.aborted) {
      // Intervals of a Poisson process: now nothing for a while, now two at once.
      const intervalMs = (-Math.log(1 - dice.below(1_000_000) / 1_000_000) * 60_000) / ratePerMinute
      await sleep(intervalMs, undefined, { signal }).catch(() => undefined)
      const open = [...mailboxes.values()].filter(
        ({ maildrop }) => maildrop.waiting < (options.mailsKept ?? MAILS_KEPT),
      )
      if (!signal.aborted && open.length > 0) deliver(dice.pick(open).email)
    }
  }

  return {
    caPem: pki.caPem,
    accounts: RESIDENTS.map((resident) =>
      importOf(resident, {
        pop3Port: (of) => portOf(serversOf(of).pop3, of.pop3Security),
        smtpPort: (of) => portOf(serversOf(of).smtp, of.smtpSecurity),
        tokenUrl: (tenant) => tokens.tokenUrl(tenant),
        pollIntervalSeconds: options.pollIntervalSeconds ?? 10,
      }),
    ),
    grants,
    tokens,
    accepted,
    mailbox: (email) => patientOf(email).mailbox,
    deliver,
    startTraffic(ratePerMinute, signal) {
      const running = traffic(ratePerMinute, AbortSignal.any([signal, closing.signal]))
      background.add(running)
      void running.finally(() => background.delete(running))
    },
    heal: (email) => applyCondition(patientOf(email), 'ok'),
    break: (email, condition) => applyCondition(patientOf(email), condition),
    messagesAccepted: () => accepted.list(),
    on(type, listener) {
      const filtered = (event: SandboxEvent): void => {
        if (isOfType(event, type)) listener(event)
      }
      listeners.add(filtered)
      return () => void listeners.delete(filtered)
    },
    async close() {
      closing.abort()
      await Promise.all(background)
      await Promise.all([
        tokens.close(),
        ...[...servers.values()].flatMap(({ pop3, smtp }) => [pop3.close(), smtp.close()]),
      ])
    },
  }
}

const MAILS_KEPT = 200

interface MailServers {
  readonly pop3: LineServer
  readonly smtp: LineServer
  readonly scripts: Patient['server']
}

const portOf = (server: LineServer, security: Resident['pop3Security']): number =>
  security === 'tls' ? server.tlsPort : server.upgradePort

const isOfType = <T extends SandboxEvent['type']>(
  event: SandboxEvent,
  type: T,
): event is Extract<SandboxEvent, { type: T }> => event.type === type

/** The message as the recipient's server stores it, with its trace fields (RFC 5321 section 4.4). */
function received(message: AcceptedMessage, recipient: string): Buffer {
  const trace = `Return-Path: <${message.envelopeFrom}>\r\nReceived: by mx.${COMPANY_DOMAIN} with ESMTPS id ${message.sha256.slice(0, 12)}\r\n\tfor <${recipient}>; ${message.at.toUTCString().replace('GMT', '+0000')}\r\n`
  return Buffer.concat([Buffer.from(trace), message.raw ?? Buffer.alloc(0)])
}
