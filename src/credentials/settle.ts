// What the token endpoint has said, written down: the new credential over the old one, or the refusal with all it means for the
// account and its app registration.

import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { exponential, jitter } from '../base/backoff.ts'
import { DAY_MS, HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { DIRECTIONS, errorText, Failure, LeaseLost } from '../base/failure.ts'
import type { Account } from '../db/accounts.ts'
import { clientAnswered, wakeAnsweredClients } from '../db/client-breakers.ts'
import type { Tx } from '../db/database.ts'
import { loadGrant, storeRefusal, storeToken, type Grant } from '../db/grants.ts'
import { holdLease, lockLanes, parkLane, releaseLane, type Lease } from '../db/lanes.ts'
import type { StoredRefusal } from '../db/schema-credentials.ts'
import { isOwnRefusal } from '../failures/own-refusal.ts'
import { clientTroubleOf, recordClientFailure } from '../health/client-breaker.ts'
import { recordFailure, recordTokenOk, recordWarning } from '../health/record.ts'
import { livesOnRefreshToken, type Credential, type Flow, type TokenGrant } from '../oauth/token.ts'
import type { CredentialContext, OAuthAccount } from './context.ts'
import { sealAccessToken, sealCredential, type StoredCredential } from './sealed.ts'

/** A refresh that is under way. */
export interface Refreshing {
  readonly lease: Lease
  readonly account: OAuthAccount
  readonly grant: Grant
}

const STORE_ATTEMPTS = 30
const STORE_AGAIN_MS = 200
export const STILL_GOOD_MS = 2 * MINUTE_MS
/** Accounts of one registration that ask in a second, when its breaker has closed. */
export const WOKEN_PER_SECOND = 10
/** So that those who wait for a breaker do not all come at the same moment. */
const SPREAD_MS = 30 * SECOND_MS
/** Every wrong password at a token endpoint counts towards the lock-out of the user. */
const WRONG_PASSWORD_WAIT_MS = HOUR_MS
/** A refused refresh token without a reason is asked once more before it is believed: some servers have moments. */
const ASK_TWICE_MS = 5 * MINUTE_MS

export async function settleIssued(
  ctx: CredentialContext,
  { lease, account, grant }: Refreshing,
  before: StoredCredential,
  { token, used }: { token: TokenGrant; used: Credential },
): Promise<void> {
  const rotated = !isDeepStrictEqual(token.credential, used)
  const credential: StoredCredential = { ...before, current: token.credential, ...(rotated && { previous: used }) }
  const sealed = {
    credentialSealed: sealCredential(ctx.vault, account.id, credential),
    accessTokenSealed: sealAccessToken(ctx.vault, account.id, token.accessToken),
    accessExpiresAt: token.expiresAt,
    refreshExpiresAt: token.refreshExpiresAt,
    refreshedAt: ctx.clock.now(),
  }
  // kept even where the lease was lost meanwhile: the server may have forgotten the old credential
  const stored = await persistently(ctx, () => ctx.db.transaction().execute((tx) => storeToken(tx, grant, sealed)))
  const now = ctx.clock.now()
  const closed = await ctx.db.transaction().execute(async (tx) => {
    await lockLanes(tx, account.id)
    if (stored) await recordTokenOk(tx, account.id, now)
    await parkLane(tx, lease, null)
    return await clientAnswered(tx, account.auth.client.id, now)
  })
  await releaseLane(ctx.db, lease, nextRefresh(ctx, account, token.expiresAt)).catch(ignoreLostLease)
  ctx.log.info({ account: account.email, expires_at: token.expiresAt, stored }, 'token refreshed')
  if (closed) await announceClosed(ctx, account)
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

export async function settleRefused(ctx: CredentialContext, work: Refreshing, refused: Failure): Promise<void> {
  const { lease, account, grant } = work
  const now = ctx.clock.now()
  const clientId = account.auth.client.id
  const failure = believed(refused, account.auth.flow, grant)
  const { opened, closed } = await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    const current = await loadGrant(tx, lease.accountId)
    const ofOldCredential = current?.version !== grant.version
    if (ofOldCredential || (ctx.command && isOwnRefusal(failure))) {
      // the operator has given another credential meanwhile: this refusal is about the old one
      await releaseLane(tx, lease, now)
      return { opened: false, closed: await clientAnswered(tx, clientId, now) }
    }
    const change = await recordClientFailure(tx, clientId, account.id, failure, now)
    const ofClient = clientTroubleOf(failure) === 'refused' || change.breaker !== undefined
    await keep(tx, work, failure, { until: spread(change.breaker?.openUntil), ofClient, now })
    return change
  })
  const { flag } = failure
  ctx.log.warn({ account_id: lease.accountId, flag, evidence: failure.evidence }, 'token refused')
  if (opened)
    ctx.log.warn(
      { client_id: account.auth.client.clientId, token_endpoint: account.auth.client.tokenEndpoint, flag },
      'the app registration was refused: one of its accounts asks for all',
    )
  if (closed) await announceClosed(ctx, account)
}

/** Nobody was asked: the breaker of the registration is open, or others wait for an answer. */
export async function settleNotAsked(
  ctx: CredentialContext,
  work: Refreshing,
  wait: { failure: Failure; until: Date; ofClient: boolean },
): Promise<void> {
  await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, work.lease)
    await keep(tx, work, wait.failure, { ...wait, until: spread(wait.until), now: ctx.clock.now() })
  })
}

const spread = (until: Date | undefined): Date | undefined =>
  until && later(until, jitter(SPREAD_MS / 2, 1, Math.random()))

/**
 * Writes the refusal to the account and parks the lane of its token, at least until `until`. As long as the token that is there is
 * good, the mail goes on: passing trouble shows nowhere, trouble of the registration as a flag alone.
 */
async function keep(
  tx: Tx,
  { lease, account, grant }: Refreshing,
  failure: Failure,
  { until, ofClient, now }: { until: Date | undefined; ofClient: boolean; now: Date },
): Promise<void> {
  const { flag, scope, persistence } = failure.verdict
  const good = grant.accessExpiresAt !== null && grant.accessExpiresAt > later(now, STILL_GOOD_MS)
  const refusal: StoredRefusal = {
    flag,
    scope,
    persistence,
    evidence: failure.evidence,
    ...(ofClient && { of: 'client' }),
  }
  if (good && persistence === 'transient') return await releaseLane(tx, lease, until ?? later(now, STILL_GOOD_MS / 2))
  const known = grant.refusal?.flag === flag && grant.refusal.of === refusal.of
  const { evidence } = await storeRefusal(tx, account.id, refusal)
  const told = new Failure(failure.verdict, { stage: 'token', step: failure.step, evidence })
  let parkedUntil: Date | null = until ?? null
  // those who only hear of it, once more, have nothing to write
  if (!(ofClient && known && failure.step === 'waiting' && until)) {
    for (const direction of DIRECTIONS) {
      if (good && ofClient) {
        await recordWarning(tx, account.id, direction, told)
        continue
      }
      const at = await recordFailure(tx, account.id, direction, told, { atLogin: persistence === 'human', now })
      if (at && (!ofClient || !until) && (!parkedUntil || at > parkedUntil)) parkedUntil = at
    }
  }
  await release(tx, lease, parkedUntil ?? later(now, STILL_GOOD_MS))
}

async function release(tx: Tx, lease: Lease, parkedUntil: Date): Promise<void> {
  await parkLane(tx, lease, parkedUntil)
  await releaseLane(tx, lease, parkedUntil)
}

/** What some refusals mean for the next request, beyond what they say. */
function believed(failure: Failure, flow: Flow, { refusal }: Grant): Failure {
  const { verdict, stage, step, evidence } = failure
  const changed = (change: Partial<Failure['verdict']>): Failure =>
    new Failure({ ...verdict, ...change }, { stage, step, evidence })
  if (flow === 'password' && verdict.flag === 'invalid_credentials')
    return changed({ retryAfterMs: Math.max(verdict.retryAfterMs ?? 0, WRONG_PASSWORD_WAIT_MS) })
  const unexplained = verdict.flag === 'refresh_token_revoked' && !/AADSTS/.test(evidence)
  if (livesOnRefreshToken(flow) && unexplained && refusal?.flag !== verdict.flag)
    return changed({ persistence: 'transient', retryAfterMs: ASK_TWICE_MS })
  return failure
}

/** The registration is let in again: its other accounts need not wait for their probes. */
async function announceClosed(ctx: CredentialContext, account: OAuthAccount): Promise<void> {
  const { clientId, tokenEndpoint } = account.auth.client
  ctx.log.info({ client_id: clientId, token_endpoint: tokenEndpoint }, 'the app registration is let in again')
  await wakeAnsweredClients(ctx.db, WOKEN_PER_SECOND)
}

const KEEP_ALIVE_MS = DAY_MS

/**
 * At 50 to 80 % of the remaining life, so that many accounts do not refresh in the same minute. An account the operator has
 * switched off needs no token, but its refresh token would die of disuse.
 */
export function nextRefresh(
  ctx: Pick<CredentialContext, 'clock'>,
  account: Pick<Account, 'enabledReceive' | 'enabledSend'>,
  expiresAt: Date | null,
): Date {
  const now = ctx.clock.now()
  const off = !account.enabledReceive && !account.enabledSend
  const lifeMs = off ? KEEP_ALIVE_MS : Math.max(0, (expiresAt?.getTime() ?? 0) - now.getTime())
  return later(now, Math.max(5 * SECOND_MS, jitter(lifeMs * 0.65, 0.23, Math.random())))
}

export function ignoreLostLease(error: unknown): void {
  if (!(error instanceof LeaseLost)) throw error
}
