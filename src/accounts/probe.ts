// The connection test of one account, step by step: the only place outside of the workers that opens mail connections. It makes one
// login in each direction at most, none where the breakers ask for patience, and what it finds counts like any session's outcome.

import { MINUTE_MS } from '../base/clock.ts'
import { LeaseLost, type Direction, type Failure } from '../base/failure.ts'
import { isOAuth, type CredentialContext } from '../credentials/context.ts'
import { openCredential } from '../credentials/sealed.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import { loginWaitsUntil, saveTest } from '../db/account-tests.ts'
import { loadGrant } from '../db/grants.ts'
import { hostKey, loadHostBreaker, type HostSide } from '../db/host-breakers.ts'
import { claimLane, holdLease, releaseLane, type Lease } from '../db/lanes.ts'
import { isOwnRefusal } from '../failures/own-refusal.ts'
import { isRefusedLogin } from '../failures/refused-login.ts'
import { recordHostFailure, recordHostSuccess } from '../health/host-breaker.ts'
import { recordFailure, recordOk } from '../health/record.ts'
import type { Login } from '../net/net.ts'
import { probeMail } from './probe-mail.ts'
import { probeRoundTrip } from './probe-round-trip.ts'
import { probeServer, type Opened } from './probe-server.ts'
import {
  corrected,
  correctionsOf,
  directionOf,
  outcomeOf,
  report,
  SKIPPED_AFTER,
  type Side,
  type StepName,
  type StepReport,
} from './probe-steps.ts'
import { probeEndpoint, probeToken } from './probe-token.ts'

const DEADLINE_MS = 3 * MINUTE_MS

export interface ProbeOptions {
  /** Also read the head of the newest message. */
  readonly readOne?: boolean
  /** Also send a message from the account to itself, where nothing else failed. */
  readonly roundTrip?: boolean
}

/**
 * Yields each step as it ends, and keeps the whole at the end. Never throws for what a provider does; throws what is wrong with our
 * own installation.
 */
export async function* probeAccount(
  ctx: CredentialContext,
  stored: Account,
  options: ProbeOptions = {},
): AsyncGenerator<StepReport, void, undefined> {
  const steps: StepReport[] = []
  const tried = new Set<Direction>()
  const asCommand = { ...ctx, command: true }
  try {
    for await (const step of steps_(asCommand, stored, options, tried)) {
      steps.push(step)
      yield step
    }
    if (options.roundTrip) {
      const step = await roundTrip(ctx, stored, steps)
      steps.push(step)
      yield step
    }
  } finally {
    if (steps.length > 0)
      await saveTest(ctx.db, stored.id, { outcome: outcomeOf(steps), steps, tried, at: ctx.clock.now() })
  }
}

async function roundTrip(ctx: CredentialContext, account: Account, before: readonly StepReport[]): Promise<StepReport> {
  // a login that was left out because the service is logged in right now stands in nobody's way
  const broken = before.find(({ state, nextTryAt }) => state === 'failed' || nextTryAt !== null)
  if (broken) return report('round_trip', null, 'skipped', { evidence: `${SKIPPED_AFTER} ${broken.name}` })
  if (account.pop3 && account.smtp) return await probeRoundTrip(ctx, account)
  return report('round_trip', null, 'skipped', { evidence: 'it takes both POP3 and SMTP' })
}

async function* steps_(
  ctx: CredentialContext,
  stored: Account,
  options: ProbeOptions,
  tried: Set<Direction>,
): AsyncGenerator<StepReport, void, undefined> {
  const signal = AbortSignal.timeout(DEADLINE_MS)
  yield inputs(stored)
  const account = corrected(stored)
  const opened = new Map<Side, Opened>()
  const failedAt = new Map<Side, StepName>()
  try {
    for (const side of sidesOf(account)) {
      const host = account[side] as MailHost
      const probe = await probeServer(ctx.net, account, side, host, {
        clientName: clientNameOf(account),
        wantsXoauth2: isOAuth(account),
        now: ctx.clock.now(),
        signal,
      })
      yield* probe.steps
      if (probe.opened) opened.set(side, probe.opened)
      else failedAt.set(side, probe.steps.at(-1)?.name ?? 'connect')
      if (probe.failure) await settle(ctx, account, side, probe.failure, undefined)
    }
    const logins = new Map<Side, Login>()
    if (isOAuth(account)) {
      const endpoint = await probeEndpoint(ctx, account)
      yield endpoint
      if (endpoint.state === 'failed' && endpoint.flag !== 'clock_skew') {
        yield report('token', null, 'skipped', { evidence: `${SKIPPED_AFTER} token_endpoint` })
      } else {
        const token = await probeToken(ctx, account)
        yield* token.steps
        for (const [side, login] of token.logins) logins.set(side, login)
      }
      for (const side of opened.keys()) if (!logins.has(side)) failedAt.set(side, 'token')
    } else {
      const grant = await loadGrant(ctx.db, account.id)
      const password = grant ? (openCredential(ctx.vault, grant).current.password ?? '') : ''
      for (const side of sidesOf(account))
        logins.set(side, { mechanism: 'password', username: account[side]?.username ?? '', password })
    }
    for (const side of sidesOf(account)) {
      const session = opened.get(side)
      const login = logins.get(side)
      const broken = failedAt.get(side)
      if (!session || !login || broken) {
        yield report(side === 'pop3' ? 'login_pop3' : 'login_smtp', side, 'skipped', {
          evidence: `${SKIPPED_AFTER} ${broken ?? 'token'}`,
        })
        continue
      }
      yield* loggedIn(ctx, account, session, login, options, tried)
    }
  } finally {
    for (const { session } of opened.values()) session.close()
  }
}

const sidesOf = (account: Account): readonly Side[] => (['pop3', 'smtp'] as const).filter((side) => account[side])

function clientNameOf({ email }: Account): string {
  const domain = email.split('@')[1] ?? ''
  return /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/i.test(domain) ? domain : '[127.0.0.1]'
}

function inputs(account: Account): StepReport {
  const changes = correctionsOf(account)
  if (changes.length === 0) return report('inputs', null, 'ok', { evidence: 'nothing to correct' })
  const evidence = changes.map(({ field, from, to }) => `${field}: "${from}" is taken for "${to}"`).join('; ')
  return report('inputs', null, 'note', { evidence, flag: 'settings_corrected' })
}

/** Under the lease of the lane: nobody else logs in meanwhile. */
async function* loggedIn(
  ctx: CredentialContext,
  account: Account,
  opened: Opened,
  login: Login,
  options: ProbeOptions,
  tried: Set<Direction>,
): AsyncGenerator<StepReport, void, undefined> {
  const { side } = opened
  const direction = directionOf(side)
  const name = side === 'pop3' ? 'login_pop3' : 'login_smtp'
  const now = ctx.clock.now()
  const breaker = await loadHostBreaker(ctx.db, hostOf(account, side))
  const waits =
    breaker?.kind === 'login' && breaker.openUntil > now
      ? breaker.openUntil
      : await loginWaitsUntil(ctx.db, account.id, direction, now)
  if (waits)
    return yield report(name, side, 'skipped', {
      evidence: breaker ? `the logins of many accounts are refused: ${breaker.evidence}` : 'logins were refused before',
      flag: breaker?.flag,
      nextTryAt: waits,
    })
  const lease = await claimLane(ctx.db, { accountId: account.id, lane: direction }, ctx.workerId, { force: true })
  if (!lease) return yield report(name, side, 'skipped', { evidence: 'the service is logged in right now' })
  tried.add(direction)
  let outcome: Failure | undefined
  try {
    for await (const { step, failure } of probeMail(account, opened, login, options)) {
      outcome ??= failure
      yield step
    }
  } finally {
    await settle(ctx, account, side, outcome, lease)
  }
}

const hostOf = (account: Account, side: Side): HostSide => ({
  host: hostKey(account[side] as MailHost),
  direction: directionOf(side),
})

/** A failure before the login is told to the health of the lane only where the lane can be had; it heals or fails by itself. */
async function settle(
  ctx: CredentialContext,
  account: Account,
  side: Side,
  failure: Failure | undefined,
  held: Lease | undefined,
): Promise<void> {
  const direction = directionOf(side)
  const now = ctx.clock.now()
  const lease =
    held ?? (await claimLane(ctx.db, { accountId: account.id, lane: direction }, ctx.workerId, { force: true }))
  if (!lease) return
  try {
    await ctx.db.transaction().execute(async (tx) => {
      await holdLease(tx, lease)
      if (!failure) {
        await recordOk(tx, account.id, direction, now)
        await recordHostSuccess(tx, hostOf(account, side), account.id)
        return await releaseLane(tx, lease, now)
      }
      // a message that is refused, or what the settings of this command refuse, says nothing of the account
      if (isOwnRefusal(failure) || failure.verdict.blocks.length === 0) return await releaseLane(tx, lease, now)
      const parkedUntil = await recordFailure(tx, account.id, direction, failure, {
        atLogin: isRefusedLogin(failure),
        now,
      })
      await recordHostFailure(tx, hostOf(account, side), account.id, failure, now)
      await releaseLane(tx, lease, parkedUntil ?? now)
    })
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error
  }
}
