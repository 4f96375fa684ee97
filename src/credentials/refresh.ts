// Gets a new access token for one grant. Single flight: inside the process by a shared promise, across processes by the lease
// of the token lane; the loser waits and uses the winner's token. Point of no return: the token request once sent.

import { setTimeout as pause } from 'node:timers/promises'
import { DAY_MS, later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { DIRECTIONS, Failure, LeaseLost, PERSISTENCES, SCOPES, type Verdict } from '../base/failure.ts'
import { loadAccount } from '../db/accounts.ts'
import { enterClient } from '../db/client-breakers.ts'
import { loadNextSecret, refuseNextSecret } from '../db/client-secrets.ts'
import type { Db } from '../db/database.ts'
import { loadGrant, type Grant } from '../db/grants.ts'
import { claimLane, releaseLane, type Lease } from '../db/lanes.ts'
import { CLIENT_PROBE_MS, clientTroubleOf } from '../health/client-breaker.ts'
import { acquireToken } from '../oauth/acquire.ts'
import { livesOnRefreshToken } from '../oauth/token.ts'
import { isOAuth, type CredentialContext } from './context.ts'
import { promote } from './client-secret.ts'
import { requestOf } from './request.ts'
import { openCredential, openNextProof, type StoredCredential } from './sealed.ts'
import { ignoreLostLease, nextRefresh, settleIssued, settleNotAsked, settleRefused, type Refreshing } from './settle.ts'

const WAIT_FOR_OTHER_MS = 40 * SECOND_MS
const LOOK_AGAIN_MS = 150
/** Others have waited for the endpoint all that time. */
const AFTER_WAITING_MS = MINUTE_MS
/** The refresh token itself was refused, and nothing else. */
const REFUSED_SECRET = new Set(['client_secret_expired', 'client_secret_invalid', 'client_certificate_invalid'])
const DEAD_GRANT = new Set(['refresh_token_revoked', 'refresh_token_expired', 'stored_token_corrupt'])

const inFlight = new WeakMap<Db, Map<number, Promise<void>>>()

/**
 * Makes the grant's access token a new one. `seenVersion`: the version whose token was found too old or was refused; a grant
 * that is newer already counts as done. Throws Failure when the token endpoint refuses.
 */
export function refreshGrant(ctx: CredentialContext, accountId: number, seenVersion: number): Promise<void> {
  const running = inFlight.get(ctx.db) ?? new Map<number, Promise<void>>()
  inFlight.set(ctx.db, running)
  const known = running.get(accountId)
  if (known) return known
  const promise = refreshOnce(ctx, accountId, seenVersion).finally(() => running.delete(accountId))
  running.set(accountId, promise)
  return promise
}

async function refreshOnce(ctx: CredentialContext, accountId: number, seenVersion: number): Promise<void> {
  const deadline = ctx.clock.now().getTime() + WAIT_FOR_OTHER_MS
  for (;;) {
    const grant = await loadGrant(ctx.db, accountId)
    if (!grant) throw new LeaseLost(`account ${accountId} was deleted`)
    if (grant.version !== seenVersion) return
    if (grant.parkedUntil && grant.parkedUntil > ctx.clock.now()) throw storedRefusal(grant)
    const lease = await claimLane(ctx.db, { accountId, lane: 'token' }, ctx.workerId, { force: true })
    if (lease) return await refreshOrRelease(ctx, lease, seenVersion)
    if (ctx.clock.now().getTime() > deadline)
      throw new LeaseLost(`the token of account ${accountId} is being refreshed elsewhere for too long`)
    await pause(LOOK_AGAIN_MS)
  }
}

/** A fault of our own must not leave the lane under lease: others wait for it. */
async function refreshOrRelease(ctx: CredentialContext, lease: Lease, seenVersion: number): Promise<void> {
  try {
    await refreshUnderLease(ctx, lease, seenVersion)
  } catch (error) {
    if (!(error instanceof Failure)) await releaseLane(ctx.db, lease, ctx.clock.now()).catch(ignoreLostLease)
    throw error
  }
}

/** The refusal of the last request, told again without making another. */
export function storedRefusal(grant: Grant): Failure {
  const refusal = grant.refusal
  return notAsked(
    {
      flag: refusal?.flag ?? 'unclassified',
      scope: SCOPES.find((scope) => scope === refusal?.scope) ?? 'account',
      persistence: PERSISTENCES.find((persistence) => persistence === refusal?.persistence) ?? 'transient',
    },
    refusal?.evidence ?? '',
  )
}

const notAsked = (verdict: Omit<Verdict, 'blocks'>, evidence: string): Failure =>
  new Failure({ ...verdict, blocks: DIRECTIONS }, { stage: 'token', step: 'waiting', evidence })

/** For the scheduled job, which has claimed the lane already. Returns normally whatever the endpoint says. */
export async function refreshUnderLease(ctx: CredentialContext, lease: Lease, seenVersion?: number): Promise<void> {
  const { accountId } = lease
  const account = await loadAccount(ctx.db, accountId)
  const grant = await loadGrant(ctx.db, accountId)
  if (!account || !grant || !isOAuth(account)) return await releaseLane(ctx.db, lease, null)
  if (seenVersion !== undefined && grant.version !== seenVersion)
    return await releaseLane(ctx.db, lease, nextRefresh(ctx, account, grant.accessExpiresAt))
  const work = { lease, account, grant }
  const gate = nobodySignedIn(ctx, work) ?? (await enter(ctx, work))
  const failure = gate.kind === 'ask' ? await ask(ctx, work) : gate.failure
  if (gate.kind === 'wait') await settleNotAsked(ctx, work, gate)
  if (failure && seenVersion !== undefined) throw failure
}

type Gate =
  | { readonly kind: 'ask' }
  | { readonly kind: 'wait'; readonly failure: Failure; readonly until: Date; readonly ofClient: boolean }

/** No request is made for an account for which nobody has signed in yet: there is nothing to ask with. */
function nobodySignedIn(ctx: CredentialContext, { account, grant }: Refreshing): Gate | undefined {
  const { refreshToken, msalCache } = openCredential(ctx.vault, grant).current
  if (!livesOnRefreshToken(account.auth.flow) || refreshToken !== undefined || msalCache !== undefined) return undefined
  const verdict = { flag: 'sign_in_needed', scope: 'account', persistence: 'human' } as const
  const failure = notAsked(verdict, 'nobody has signed in for this account')
  return { kind: 'wait', failure, until: later(ctx.clock.now(), DAY_MS), ofClient: false }
}

/** Past the breaker of the app registration. */
async function enter(ctx: CredentialContext, { account }: Refreshing): Promise<Gate> {
  const clientId = account.auth.client.id
  const deadline = performance.now() + WAIT_FOR_OTHER_MS
  for (;;) {
    const now = ctx.clock.now()
    const gate = await enterClient(ctx.db, clientId, account.id, now, later(now, CLIENT_PROBE_MS))
    if (gate.kind === 'ask') return gate
    if (gate.kind === 'open') {
      const { breaker } = gate
      const until = breaker.openUntil > now ? breaker.openUntil : later(now, CLIENT_PROBE_MS)
      return { kind: 'wait', failure: notAsked(breaker, breaker.evidence), until, ofClient: true }
    }
    if (performance.now() > deadline) {
      const verdict = { flag: 'token_endpoint_unavailable', scope: 'server', persistence: 'transient' } as const
      const failure = notAsked(verdict, 'the requests of other accounts of the app registration are not answered')
      return { kind: 'wait', failure, until: later(now, AFTER_WAITING_MS), ofClient: false }
    }
    await pause(LOOK_AGAIN_MS)
  }
}

/** One request; a second one where the endpoint has forgotten the newest refresh token, and the one before may still be good. */
async function ask(ctx: CredentialContext, work: Refreshing): Promise<Failure | undefined> {
  const { account, grant } = work
  const stored = openCredential(ctx.vault, grant)
  try {
    const token = await acquireToken(ctx.net, requestOf(ctx, account, stored.current), { clock: ctx.clock })
    await settleIssued(ctx, work, stored, { token, used: stored.current })
    return undefined
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const recovered = (await tryBefore(ctx, work, stored, error)) || (await tryNextSecret(ctx, work, stored, error))
    if (!recovered) await settleRefused(ctx, work, error)
    return recovered ? undefined : error
  }
}

/** The credential before the last rotation: a server that was set back, or has never learnt of the new one, still knows it. */
async function tryBefore(
  ctx: CredentialContext,
  work: Refreshing,
  stored: StoredCredential,
  { flag }: Failure,
): Promise<boolean> {
  const { previous } = stored
  if (!previous || !DEAD_GRANT.has(flag)) return false
  try {
    const token = await acquireToken(ctx.net, requestOf(ctx, work.account, previous), { clock: ctx.clock })
    await settleIssued(ctx, work, stored, { token, used: previous })
    return true
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    ctx.log.info(
      { account: work.account.email, flag: error.flag },
      'the credential before the last rotation is dead, too',
    )
    return false
  }
}

/** The secret of the registration is refused, and the next one waits: it is tried, and takes its place where it is let in. */
async function tryNextSecret(
  ctx: CredentialContext,
  { lease, account, grant }: Refreshing,
  stored: StoredCredential,
  { flag }: Failure,
): Promise<boolean> {
  const clientId = account.auth.client.id
  const next = REFUSED_SECRET.has(flag) ? await loadNextSecret(ctx.db, clientId) : undefined
  if (!next) return false
  const proof = openNextProof(ctx.vault, clientId, next)
  try {
    const request = { ...requestOf(ctx, account, stored.current), proof }
    const token = await acquireToken(ctx.net, request, { clock: ctx.clock })
    await settleIssued(ctx, { lease, account, grant }, stored, { token, used: stored.current })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    if (clientTroubleOf(error) === 'refused') await refuseNextSecret(ctx.db, clientId, next.sealed, error.evidence)
    ctx.log.warn({ client_id: account.auth.client.clientId, flag: error.flag }, 'the next secret was refused, too')
    return false
  }
  const accounts = await promote(ctx, clientId, next, proof)
  ctx.log.info({ client_id: account.auth.client.clientId, accounts }, 'the next secret is in use')
  return true
}
