// The steps of a connection test: what each of them reports, what can be said of the inputs, and how two tests differ. Pure.

import type { Direction, Failure } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'

/** In the order in which they are taken; their numbers are part of the interface. */
export const STEPS = [
  'inputs',
  'resolve',
  'connect',
  'encrypt',
  'greeting',
  'token_endpoint',
  'token',
  'login_pop3',
  'maildrop',
  'read_one',
  'login_smtp',
  'envelope',
  'round_trip',
] as const
export type StepName = (typeof STEPS)[number]
export type Side = 'pop3' | 'smtp'

export interface StepReport {
  /** From 1. */
  readonly step: number
  readonly name: StepName
  /** Which server; null where it is neither. */
  readonly side: Side | null
  /** note: it works, and something should be known. */
  readonly state: 'ok' | 'note' | 'failed' | 'skipped'
  readonly ms: number
  /** What was found, or said; technical, without secrets. */
  readonly evidence: string
  readonly flag: string | null
  /** A login that was not tried, and when it may be. */
  readonly nextTryAt: string | null
}

/** Nothing was tried, because another step has failed. */
export const SKIPPED_AFTER = 'skipped after'

export function report(
  name: StepName,
  side: Side | null,
  state: StepReport['state'],
  about: { ms?: number; evidence?: string; flag?: string | undefined; nextTryAt?: Date | undefined } = {},
): StepReport {
  return {
    step: STEPS.indexOf(name) + 1,
    name,
    side,
    state,
    ms: Math.round(about.ms ?? 0),
    evidence: about.evidence ?? '',
    flag: about.flag ?? null,
    nextTryAt: about.nextTryAt?.toISOString() ?? null,
  }
}

export type TestOutcome = 'passed' | 'failed' | 'incomplete'

/** incomplete: nothing failed, but a login was not tried. */
export function outcomeOf(steps: readonly StepReport[]): TestOutcome {
  if (steps.some(({ state }) => state === 'failed')) return 'failed'
  return steps.some(({ state }) => state === 'skipped') ? 'incomplete' : 'passed'
}

export const failedBy = (name: StepName, side: Side | null, ms: number, failure: Failure): StepReport =>
  report(name, side, 'failed', { ms, evidence: failure.evidence, flag: failure.flag })

export const directionOf = (side: Side): Direction => (side === 'pop3' ? 'receive' : 'send')

export interface Correction {
  readonly field: string
  readonly from: string
  readonly to: string
}

const IMPLICIT_TLS: Record<Side, number> = { pop3: 995, smtp: 465 }
const UPGRADED: Record<Side, readonly number[]> = { pop3: [110], smtp: [25, 587] }

/** What is certainly meant otherwise than it is written. */
export function correctionsOf(account: Account): Correction[] {
  return (['pop3', 'smtp'] as const).flatMap((side) => {
    const host = account[side]
    return host ? correctionsOfHost(side, host) : []
  })
}

function correctionsOfHost(side: Side, { host, port, security, username }: MailHost): Correction[] {
  const found: Correction[] = []
  const clean = host.trim().toLowerCase().replace(/\.$/, '')
  if (clean !== host) found.push({ field: `${side}.host`, from: host, to: clean })
  if (security === 'starttls' && port === IMPLICIT_TLS[side])
    found.push({ field: `${side}.security`, from: 'starttls', to: 'tls' })
  if (security === 'tls' && UPGRADED[side].includes(port))
    found.push({ field: `${side}.security`, from: 'tls', to: 'starttls' })
  if (username.trim() !== username) found.push({ field: `${side}.username`, from: username, to: username.trim() })
  return found
}

/** The account as it is certainly meant. */
export function corrected(account: Account): Account {
  const changes = correctionsOf(account)
  const fix = (side: Side): MailHost | null => {
    const host = account[side]
    if (!host) return null
    const of = (field: string, value: string): string =>
      changes.find((change) => change.field === `${side}.${field}`)?.to ?? value
    return {
      ...host,
      host: of('host', host.host),
      security: of('security', host.security) as MailHost['security'],
      username: of('username', host.username),
    }
  }
  return { ...account, pop3: fix('pop3'), smtp: fix('smtp') }
}

export const keyOf = ({ name, side }: Pick<StepReport, 'name' | 'side'>): string => `${name} ${side ?? ''}`

/** Steps that went well in `before` and do not now, or the other way round. */
export function differences(
  before: readonly StepReport[],
  now: readonly StepReport[],
): { readonly step: StepReport; readonly was: StepReport }[] {
  const old = new Map(before.map((step) => [keyOf(step), step]))
  const isWell = ({ state }: StepReport): boolean => state === 'ok' || state === 'note'
  return now.flatMap((step) => {
    const was = old.get(keyOf(step))
    const comparable = was && was.state !== 'skipped' && step.state !== 'skipped'
    return comparable && (isWell(was) !== isWell(step) || was.flag !== step.flag) ? [{ step, was }] : []
  })
}
