// Gives a session what it logs in with: a password, or an access token that is good for a while yet.

import { MINUTE_MS } from '../base/clock.ts'
import { LeaseLost } from '../base/failure.ts'
import type { Account, MailHost } from '../db/accounts.ts'
import { loadGrant, type Grant } from '../db/grants.ts'
import type { Login } from '../net/net.ts'
import { isOAuth, type CredentialContext } from './context.ts'
import { refreshGrant, storedRefusal } from './refresh.ts'
import { openAccessToken, openCredential } from './sealed.ts'

export interface Resolved {
  readonly login: Login
  /** Version of the grant the login was made from; handed back when it was refused. */
  readonly version: number
  /** A refused token may be worth one forced refresh; a refused password never is. */
  readonly refreshable: boolean
}

/**
 * Throws Failure where the token endpoint refuses, or has refused and is not to be asked again yet. `known`: the grant as it was
 * read a moment ago.
 */
export async function resolveLogin(
  ctx: CredentialContext,
  account: Account,
  host: MailHost,
  { refused, known }: { refused?: { version: number }; known?: Grant | undefined } = {},
): Promise<Resolved> {
  const grant = known ?? (await requireGrant(ctx, account.id))
  if (!isOAuth(account)) {
    const { password = '' } = openCredential(ctx.vault, grant).current
    return {
      login: { mechanism: 'password', username: host.username, password },
      version: grant.version,
      refreshable: false,
    }
  }
  if (refused?.version === grant.version || !isFresh(grant, ctx.clock.now())) {
    if (grant.parkedUntil && grant.parkedUntil > ctx.clock.now()) throw storedRefusal(grant)
    await refreshGrant(ctx, account.id, grant.version)
    return await fromToken(ctx, await requireGrant(ctx, account.id), host)
  }
  return await fromToken(ctx, grant, host)
}

async function requireGrant(ctx: CredentialContext, accountId: number): Promise<Grant> {
  const grant = await loadGrant(ctx.db, accountId)
  if (!grant) throw new LeaseLost(`account ${accountId} was deleted`)
  return grant
}

async function fromToken(ctx: CredentialContext, grant: Grant, host: MailHost): Promise<Resolved> {
  const accessToken = openAccessToken(ctx.vault, grant)
  if (accessToken === undefined) throw storedRefusal(grant)
  return {
    login: { mechanism: 'xoauth2', username: host.username, accessToken },
    version: grant.version,
    refreshable: true,
  }
}

/** Good for two more minutes, or for a quarter of its life where it lives only minutes. */
function isFresh(grant: Grant, now: Date): boolean {
  if (!grant.accessExpiresAt || grant.accessTokenSealed === null) return false
  const lifeMs = grant.accessExpiresAt.getTime() - (grant.refreshedAt?.getTime() ?? 0)
  return grant.accessExpiresAt.getTime() - now.getTime() > Math.min(2 * MINUTE_MS, lifeMs / 4)
}
