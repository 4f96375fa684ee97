// Gets a new access token for one grant. Single flight: inside the process by a shared promise, across processes by the lease
// of the token lane; the loser waits and uses the winner's token. Point of no return: the token request once sent.

import { setTimeout as pause } from 'node:timers/promises'
import { exponential, jitter } from '../base/backoff.ts'
import { later, MINUTE_MS, SECOND_MS, type Clock } from '../base/clock.ts'
import { errorText, Failure, LeaseLost, PERSISTENCES, SCOPES, type Direction, type Verdict } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import type { Account, OAuthClient } from '../db/accounts.ts'
import { loadAccount } from '../db/accounts.ts'
import type { Db } from '../db/database.ts'
import { loadGrant, storeRefusal, storeToken, type Grant } from '../db/grants.ts'
import { claimLane, holdLease, lockLanes, parkLane, releaseLane, type Lease } from '../db/lanes.ts'
import { isOwnRefusal } from '../failures/own-refusal.ts'
import { recordFailure, recordTokenOk } from '../health/record.ts'
import type { Net } from '../net/net.ts'
import { acquireToken } from '../oauth/acquire.ts'
import type { Flow, TokenGrant, TokenRequest } from '../oauth/token.ts'
import type { Vault } from '../secrets/vault.ts'
import { openClientProof, openCredential, sealAccessToken, sealCredential } from './sealed.ts'

export interface CredentialContext {
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  readonly log: Logger
  readonly workerId: number
  /** A command: what its own settings refuse is told to whoever runs it, and not held against the account. */
  readonly command?: boolean
}

/** An account whose auth is OAuth 2.0. */
export type OAuthAccount = Account & {
  readonly auth: { readonly type: 'oauth2'; readonly flow: Flow; readonly client: OAuthClient }
}

export const isOAuth = (account: Account): account is OAuthAccount => account.auth.type === 'oauth2'

const WAIT_FOR_OTHER_MS = 40 * SECOND_MS
const LOOK_AGAIN_MS = 150
const STORE_ATTEMPTS = 30
const STORE_AGAIN_MS = 200
const STILL_GOOD_MS = 2 * MINUTE_MS

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
  const verdict: Verdict = {
    flag: refusal?.flag ?? 'unclassified',
    scope: SCOPES.find((scope) => scope === refusal?.scope) ?? 'account',
    persistence: PERSISTENCES.find((persistence) => persistence === refusal?.persistence) ?? 'transient',
    blocks: ['receive', 'send'],
  }
  return new Failure(verdict, { stage: 'token', step: 'waiting', evidence: refusal?.evidence ?? '' })
}

/** For the scheduled job, which has claimed the lane already. Returns normally whatever the endpoint says. */
export async function refreshUnderLease(ctx: CredentialContext, lease: Lease, seenVersion?: number): Promise<void> {
  const { accountId } = lease
  const account = await loadAccount(ctx.db, accountId)
  const grant = await loadGrant(ctx.db, accountId)
  if (!account || !grant || !isOAuth(account)) return await releaseLane(ctx.db, lease, null)
  if (seenVersion !== undefined && grant.version !== seenVersion)
    return await releaseLane(ctx.db, lease, nextRefresh(ctx, grant.accessExpiresAt))
  const stored = openCredential(ctx.vault, grant)
  const request: TokenRequest = {
    provider: account.auth.client.provider,
    tokenEndpoint: account.auth.client.tokenEndpoint,
    clientId: account.auth.client.clientId,
    proof: openClientProof(ctx.vault, account.auth.client),
    scope: account.auth.scope,
    flow: account.auth.flow,
    username: (account.pop3 ?? account.smtp)?.username ?? account.email,
    credential: stored.current,
  }
  let token: TokenGrant
  try {
    token = await acquireToken(ctx.net, request, { clock: ctx.clock })
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    await settleRefused(ctx, lease, grant, error)
    if (seenVersion !== undefined) throw error
    return
  }
  await settleIssued(ctx, lease, account, grant, token, stored.given)
}

async function settleIssued(
  ctx: CredentialContext,
  lease: Lease,
  account: Account,
  grant: Grant,
  token: TokenGrant,
  given: TokenGrant['credential'],
): Promise<void> {
  const sealed = {
    credentialSealed: sealCredential(ctx.vault, account.id, { given, current: token.credential }),
    accessTokenSealed: sealAccessToken(ctx.vault, account.id, token.accessToken),
    accessExpiresAt: token.expiresAt,
  }
  // kept even where the lease was lost meanwhile: the server may have forgotten the old credential
  const stored = await persistently(ctx, () => ctx.db.transaction().execute((tx) => storeToken(tx, grant, sealed)))
  await ctx.db.transaction().execute(async (tx) => {
    await lockLanes(tx, account.id)
    if (stored) await recordTokenOk(tx, account.id, ctx.clock.now())
    await parkLane(tx, lease, null)
  })
  await releaseLane(ctx.db, lease, nextRefresh(ctx, token.expiresAt)).catch(ignoreLostLease)
  ctx.log.info({ account: account.email, expires_at: token.expiresAt, stored }, 'token refreshed')
}

/** Behind the point of no return: a database that is away for a moment must not cost the credential. */
async function persistently<T>(ctx: CredentialContext, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (attempt >= STORE_ATTEMPTS) throw error
      ctx.log.warn(`a new token could not be stored, trying again: ${errorText(error)}`)
      await pause(exponential(attempt, STORE_AGAIN_MS, 10 * SECOND_MS))
    }
  }
}

async function settleRefused(ctx: CredentialContext, lease: Lease, grant: Grant, failure: Failure): Promise<void> {
  const now = ctx.clock.now()
  const { flag, scope, persistence } = failure.verdict
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    const current = await loadGrant(tx, lease.accountId)
    // the operator has given another credential meanwhile: this refusal is about the old one
    if (current?.version !== grant.version) return await releaseLane(tx, lease, now)
    if (ctx.command && isOwnRefusal(failure)) return await releaseLane(tx, lease, now)
    // a passing trouble at an early refresh: the token that is there still opens the mailbox
    if (persistence === 'transient' && grant.accessExpiresAt && grant.accessExpiresAt > later(now, STILL_GOOD_MS)) {
      return await releaseLane(tx, lease, later(now, STILL_GOOD_MS / 2))
    }
    await storeRefusal(tx, lease.accountId, { flag, scope, persistence, evidence: failure.evidence })
    let parkedUntil: Date | null = null
    for (const direction of ['receive', 'send'] satisfies Direction[]) {
      const until = await recordFailure(tx, lease.accountId, direction, failure, {
        atLogin: persistence === 'human',
        now,
      })
      parkedUntil = until ?? parkedUntil
    }
    await parkLane(tx, lease, parkedUntil)
    await releaseLane(tx, lease, parkedUntil)
  })
  ctx.log.warn({ account_id: lease.accountId, flag, evidence: failure.evidence }, 'token refused')
}

/** At 50 to 80 % of the remaining life, so that many accounts do not refresh in the same minute. */
function nextRefresh(ctx: CredentialContext, expiresAt: Date | null): Date {
  const now = ctx.clock.now()
  const lifeMs = Math.max(0, (expiresAt?.getTime() ?? 0) - now.getTime())
  return later(now, Math.max(5 * SECOND_MS, jitter(lifeMs * 0.65, 0.23, Math.random())))
}

function ignoreLostLease(error: unknown): void {
  if (!(error instanceof LeaseLost)) throw error
}
