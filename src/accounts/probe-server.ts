// The first steps at a mail server: its name, the connection, the encryption, the greeting. Each is watched while the session that
// will log in is opened, so that a test makes one connection and not four.

import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { DAY_MS, SECOND_MS } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import { refuse } from '../failures/classify.ts'
import { NetError, type Endpoint, type Net } from '../net/net.ts'
import { loginDelayOf } from '../oauth/provider-presets.ts'
import { PopSession } from '../pop3/session.ts'
import { Submission } from '../smtp/submission.ts'
import { failedBy, report, type Side, type StepName, type StepReport } from './probe-steps.ts'

export type Opened =
  | { readonly side: 'pop3'; readonly session: PopSession }
  | { readonly side: 'smtp'; readonly session: Submission }

export interface ServerProbe {
  readonly steps: readonly StepReport[]
  readonly opened?: Opened
  readonly failure?: Failure
}

const CERTIFICATE_ENDS_SOON_DAYS = 14
const OTHER_PORTS: Record<Side, readonly number[]> = { pop3: [995, 110], smtp: [587, 465, 25] }
const OTHER_PORT_MS = 3 * SECOND_MS
const NOT_TLS = 'ERR_SSL_WRONG_VERSION_NUMBER'

interface Seen {
  dialledAt?: number
  socket?: Socket
  connectedMs?: number
  secured?: TLSSocket
  securedMs?: number
  failedAt?: StepName
}

/** Resolves, connects, encrypts, reads greeting and capabilities. Never throws for what a server does. */
export async function probeServer(
  net: Net,
  account: Account,
  side: Side,
  host: MailHost,
  about: { clientName: string; wantsXoauth2: boolean; now: Date; signal: AbortSignal },
): Promise<ServerProbe> {
  const { signal } = about
  const stage = side
  const done: StepReport[] = []
  const resolved = await timed(() => net.resolve(host.host, { signal }))
  if (resolved.error !== undefined) {
    const failure = asFailure(account, stage, resolved.error)
    return { steps: [failedBy('resolve', side, resolved.ms, failure)], failure }
  }
  const addresses = resolved.value?.map(({ address }) => address) ?? []
  done.push(report('resolve', side, 'ok', { ms: resolved.ms, evidence: `${host.host} is ${addresses.join(', ')}` }))
  const seen: Seen = {}
  const target = { ...host, provider: account.provider }
  const opening = await timed(async (): Promise<Opened> =>
    side === 'pop3'
      ? { side, session: await PopSession.open(watched(net, seen), target, { signal }) }
      : {
          side,
          session: await Submission.open(watched(net, seen), target, { signal, clientName: about.clientName }),
        },
  )
  if (seen.socket)
    done.push(report('connect', side, 'ok', { ms: seen.connectedMs ?? 0, evidence: connectionOf(seen.socket) }))
  if (seen.secured) done.push(encryption(side, seen, about.now))
  if (opening.error !== undefined) {
    const failure = asFailure(account, stage, opening.error)
    const at = seen.failedAt ?? (seen.secured || host.security === 'none' ? 'greeting' : stepOf(failure, seen))
    done.push(
      failedBy(
        at,
        side,
        opening.ms,
        at === 'connect' ? await withOtherPorts(net, side, host, failure, signal) : failure,
      ),
    )
    return { steps: done, failure }
  }
  const opened = opening.value
  if (!opened) throw new Error('a session is neither there nor missing')
  const greeted = await timed(() => capabilitiesOf(opened))
  if (greeted.error !== undefined) {
    const failure = asFailure(account, stage, greeted.error)
    return { steps: [...done, failedBy('greeting', side, greeted.ms, failure)], failure }
  }
  const { says, mechanisms, announced } = greeted.value ?? { says: '', mechanisms: [], announced: false }
  if (about.wantsXoauth2 && announced && !mechanisms.includes('XOAUTH2'))
    return {
      steps: [
        ...done,
        report('greeting', side, 'note', {
          ms: greeted.ms,
          evidence: `${says}; XOAUTH2 is not announced`,
          flag: 'xoauth2_not_offered',
        }),
      ],
      opened,
    }
  return { steps: [...done, report('greeting', side, 'ok', { ms: greeted.ms, evidence: says })], opened }
}

/** Tells what became of the socket, to whoever asks later. */
function watched(net: Net, seen: Seen): Net {
  const secured = (socket: Socket): void => {
    if (!(socket instanceof TLSSocket)) return
    seen.secured = socket
    seen.securedMs = performance.now() - (seen.dialledAt ?? 0) - (seen.connectedMs ?? 0)
  }
  const encrypted = async (socket: Socket, { host, port }: Endpoint, options: { signal: AbortSignal }) => {
    try {
      const upgraded = await net.startTls(socket, host, options)
      secured(upgraded)
      return upgraded
    } catch (error) {
      if (!(error instanceof NetError) || error.code !== 'STARTTLS_INJECTION') throw error
      // it greets before the handshake: that is no server for TLS from the first byte
      throw new NetError('tls', NOT_TLS, `${host}:${port} does not speak TLS from the first byte`, { cause: error })
    }
  }
  return {
    ...net,
    async dial(to, options) {
      seen.dialledAt = performance.now()
      try {
        // connection and handshake apart, so that each has its own step
        const socket = await net.dial({ ...to, security: to.security === 'tls' ? 'starttls' : to.security }, options)
        seen.socket = socket
        seen.connectedMs = performance.now() - seen.dialledAt
        return to.security === 'tls' ? await encrypted(socket, to, options) : socket
      } catch (error) {
        if (error instanceof NetError) seen.failedAt = error.step === 'tls' ? 'encrypt' : 'connect'
        throw error
      }
    },
    async startTls(socket, host, options) {
      try {
        const upgraded = await net.startTls(socket, host, options)
        secured(upgraded)
        return upgraded
      } catch (error) {
        seen.failedAt = 'encrypt'
        throw error
      }
    },
  }
}

/** Before there is TLS: what is refused is either the greeting or the upgrade. */
const stepOf = ({ step, flag }: Failure, { socket }: Seen): StepName => {
  if (!socket) return 'connect'
  return step === 'tls' || step === 'starttls' || flag === 'starttls_missing' ? 'encrypt' : 'greeting'
}

function connectionOf(socket: Socket): string {
  const family = socket.remoteFamily ?? ''
  return `${socket.remoteAddress ?? ''} port ${socket.remotePort ?? ''}${family === '' ? '' : ` (${family})`}`
}

function encryption(side: Side, { secured, securedMs = 0 }: Seen, now: Date): StepReport {
  if (!secured) throw new Error('there is no encrypted connection')
  const { valid_to: validTo, subject, issuer } = secured.getPeerCertificate()
  const days = validTo === undefined ? undefined : Math.floor((Date.parse(validTo) - now.getTime()) / DAY_MS)
  const certificate =
    days === undefined
      ? 'certificate seen earlier'
      : `certificate of ${nameIn(subject)} by ${nameIn(issuer)}, ${days} days left`
  const soon = days !== undefined && days < CERTIFICATE_ENDS_SOON_DAYS
  return report('encrypt', side, soon ? 'note' : 'ok', {
    ms: securedMs,
    evidence: `${secured.getProtocol() ?? 'TLS'}, ${certificate}`,
  })
}

const nameIn = (who: { CN?: string | string[]; O?: string | string[] } | undefined): string =>
  [who?.CN ?? who?.O ?? 'unknown'].flat().join(', ')

async function capabilitiesOf(
  opened: Opened,
): Promise<{ says: string; mechanisms: readonly string[]; announced: boolean }> {
  if (opened.side === 'smtp') {
    const { mechanisms, maxMessageBytes } = opened.session.offers
    const size = maxMessageBytes === undefined ? '' : `, messages up to ${Math.floor(maxMessageBytes / 1_048_576)} MiB`
    return { says: `AUTH ${mechanisms.join(' ') || 'not announced'}${size}`, mechanisms, announced: true }
  }
  const capabilities = await opened.session.capabilities()
  const mechanisms = capabilities.get('SASL') ?? []
  const delay = loginDelayOf(capabilities)
  const says = [
    capabilities.size === 0 ? 'no CAPA' : `SASL ${mechanisms.join(' ') || 'none'}`,
    ...(capabilities.size > 0 && !capabilities.has('UIDL') ? ['UIDL not announced'] : []),
    ...(delay > 0 ? [`LOGIN-DELAY ${delay} s`] : []),
  ]
  return { says: says.join(', '), mechanisms, announced: mechanisms.length > 0 }
}

/** A port that answers beside one that does not is worth a word. */
async function withOtherPorts(
  net: Net,
  side: Side,
  { host, port }: MailHost,
  failure: Failure,
  signal: AbortSignal,
): Promise<Failure> {
  if (failure.flag === 'egress_refused') return failure
  const open = await Promise.all(
    OTHER_PORTS[side]
      .filter((other) => other !== port)
      .map(async (other) => ((await answers(net, { host, port: other }, signal)) ? [other] : [])),
  )
  const found = open.flat()
  const evidence = `${failure.evidence}; ${found.length > 0 ? `port ${found.join(', ')} answers` : 'none of the usual ports answers'}`
  return new Failure(failure.verdict, { stage: failure.stage, step: failure.step, evidence })
}

async function answers(net: Net, to: Pick<Endpoint, 'host' | 'port'>, signal: AbortSignal): Promise<boolean> {
  try {
    const socket = await net.dial({ ...to, security: 'starttls' }, { signal, timeoutMs: OTHER_PORT_MS })
    socket.destroy()
    return true
  } catch {
    return false
  }
}

export function asFailure(account: Account, stage: Side, error: unknown): Failure {
  if (error instanceof Failure) return error
  if (error instanceof NetError)
    return refuse(
      { provider: account.provider, stage, step: error.step, reply: error.message, errorCode: error.code },
      error,
    )
  throw error
}

export async function timed<T>(
  work: () => Promise<T>,
): Promise<{ readonly ms: number; readonly value?: T; readonly error?: unknown }> {
  const begun = performance.now()
  try {
    const value = await work()
    return { ms: performance.now() - begun, value }
  } catch (error) {
    return { ms: performance.now() - begun, error }
  }
}
