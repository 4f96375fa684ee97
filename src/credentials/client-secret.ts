// The next secret of an app registration: proven by a live token request before it takes the place of the current one. Where it is
// refused, nothing has changed.

import { setTimeout as pause } from 'node:timers/promises'
import { SECOND_MS } from '../base/clock.ts'
import { Failure, UserError } from '../base/failure.ts'
import { loadAccount } from '../db/accounts.ts'
import {
  accountsToProveWith,
  loadNextSecret,
  refuseNextSecret,
  setSecretExpiry,
  storeNextSecret,
} from '../db/client-secrets.ts'
import { loadGrant } from '../db/grants.ts'
import { claimLane, releaseLane, type Lease } from '../db/lanes.ts'
import { setClientSecret, wakeClientAccounts } from '../db/oauth-clients.ts'
import { clientTroubleOf } from '../health/client-breaker.ts'
import { acquireToken } from '../oauth/acquire.ts'
import type { ClientProof } from '../oauth/token.ts'
import { isOAuth, type CredentialContext } from './context.ts'
import { requestOf } from './request.ts'
import { openCredential, openNextProof, sealClientProof } from './sealed.ts'
import { ignoreLostLease, settleIssued, type Refreshing } from './settle.ts'

export type Proof =
  /** It is in use now, by so many accounts. */
  | { readonly kind: 'promoted'; readonly accounts: number }
  | { readonly kind: 'refused'; readonly failure: Failure }
  /** The endpoint said nothing about the secret: it waits in its slot. */
  | { readonly kind: 'unproven'; readonly failure: Failure | undefined }

/** Entra knows a new secret everywhere only after a minute (learn.microsoft.com, AADSTS7000215). */
const PATIENCE = { attempts: 4, waitMs: 20 * SECOND_MS }
/** One of them may have a trouble of its own. */
const ACCOUNTS_ASKED = 3
const CLAIM_AGAIN_MS = 200
const CLAIM_ATTEMPTS = 150

/** One request with the secret that waits; more only where an account has a trouble of its own, or Entra has not heard of it yet. */
export async function proveNextSecret(
  ctx: CredentialContext,
  clientId: number,
  patience: { attempts: number; waitMs: number } = PATIENCE,
): Promise<Proof> {
  const next = await loadNextSecret(ctx.db, clientId)
  if (!next) throw new UserError('no secret waits to be proven')
  const proof = openNextProof(ctx.vault, clientId, next)
  let last: Failure | undefined
  for (const accountId of await accountsToProveWith(ctx.db, clientId, ACCOUNTS_ASKED)) {
    for (let attempt = 1; ; attempt++) {
      const failure = await tryWith(ctx, accountId, proof)
      if (!failure) return { kind: 'promoted', accounts: await promote(ctx, clientId, next, proof) }
      last = failure
      const maybeTooEarly = failure.flag === 'client_secret_invalid' && proof.kind === 'secret'
      if (!maybeTooEarly || attempt >= patience.attempts) break
      await pause(patience.waitMs)
    }
    const trouble = last && clientTroubleOf(last)
    if (last && trouble === 'refused') {
      await refuseNextSecret(ctx.db, clientId, next.sealed, last.evidence)
      return { kind: 'refused', failure: last }
    }
    if (trouble === 'away') break
  }
  return { kind: 'unproven', failure: last }
}

/** The token that it brings is stored like any other: the server may have rotated. */
async function tryWith(ctx: CredentialContext, accountId: number, proof: ClientProof): Promise<Failure | undefined> {
  const lease = await claim(ctx, accountId)
  const [account, grant] = [await loadAccount(ctx.db, accountId), await loadGrant(ctx.db, accountId)]
  if (!account || !grant || !isOAuth(account)) throw new UserError(`account ${accountId} was deleted`)
  const stored = openCredential(ctx.vault, grant)
  const work: Refreshing = { lease, account, grant }
  try {
    const request = { ...requestOf(ctx, account, stored.current), proof }
    const token = await acquireToken(ctx.net, request, { clock: ctx.clock })
    await settleIssued(ctx, work, stored, { token, used: stored.current })
    return undefined
  } catch (error) {
    await releaseLane(ctx.db, lease, ctx.clock.now()).catch(ignoreLostLease)
    if (error instanceof Failure) return error
    throw error
  }
}

async function claim(ctx: CredentialContext, accountId: number): Promise<Lease> {
  for (let attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
    const lease = await claimLane(ctx.db, { accountId, lane: 'token' }, ctx.workerId, { force: true })
    if (lease) return lease
    await pause(CLAIM_AGAIN_MS)
  }
  throw new UserError(`the token of account ${accountId} is being refreshed for too long; try again`)
}

/** The next secret becomes the current one; the one before is kept nowhere. Returns how many accounts use it. */
export async function promote(
  ctx: Pick<CredentialContext, 'db' | 'vault'>,
  clientId: number,
  next: { expiresAt: Date | null },
  proof: ClientProof,
): Promise<number> {
  return await ctx.db.transaction().execute(async (tx) => {
    await setClientSecret(tx, clientId, { kind: proof.kind, sealed: sealClientProof(ctx.vault, clientId, proof) })
    await setSecretExpiry(tx, clientId, next.expiresAt)
    await storeNextSecret(tx, clientId, null)
    return await wakeClientAccounts(tx, clientId)
  })
}
