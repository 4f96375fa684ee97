// A person signs in for an account: begun here, answered by a browser or a device, and kept only where the mailbox itself, or who is
// named to sign in for it, has done it. Whatever goes wrong leaves the account as it was.

import { DAY_MS, later, MINUTE_MS } from '../base/clock.ts'
import { Failure, UserError } from '../base/failure.ts'
import { loadAccount, type Account } from '../db/accounts.ts'
import { replaceCredential, loadGrant, storeToken } from '../db/grants.ts'
import { lockLanes, wakeNow } from '../db/lanes.ts'
import { beginSignIn, findSignIn, noteSignIn, sealSignIn, takeSignIn, type SignInRow } from '../db/sign-ins.ts'
import { refuse } from '../failures/classify.ts'
import { recordTokenOk } from '../health/record.ts'
import { redeemSignIn, signInByDevice, signInUrl, type SignedIn } from '../oauth/authorize.ts'
import {
  hashOf,
  namesIn,
  newSecrets,
  type DevicePrompt,
  type SignInRequest,
  type SignInSecrets,
} from '../oauth/sign-in.ts'
import { isOAuth, type CredentialContext, type OAuthAccount } from './context.ts'
import { openClientProof, sealAccessToken, sealCredential } from './sealed.ts'

type Context = Omit<CredentialContext, 'workerId'>

const BROWSER_MS = 10 * MINUTE_MS
export const LINK_MS = 7 * DAY_MS

/** Kept sealed until the answer comes. */
interface Kept extends SignInSecrets {
  /** The link by which it was begun. */
  readonly linkId?: number
}

const placeOf = (id: number) => ({ table: 'sign_ins', id, column: 'verifier' })

/** Throws UserError where nobody signs in for this account. */
export function requireSignIn(account: Account): OAuthAccount {
  if (isOAuth(account) && ['authorization_code', 'device_code', 'refresh_token'].includes(account.auth.flow))
    return account
  throw new UserError(
    `${account.email}: nobody signs in for it; import it with auth.flow "authorization_code" or "device_code" first`,
  )
}

export interface BegunSignIn {
  readonly id: number
  readonly url: string
  readonly expiresAt: Date
}

/** The page at the provider that has to be opened. */
export async function beginByBrowser(
  ctx: Context,
  account: OAuthAccount,
  redirectUri: string,
  linkId?: number,
): Promise<BegunSignIn> {
  const secrets = newSecrets()
  const at = ctx.clock.now()
  const expiresAt = later(at, BROWSER_MS)
  const url = await signInUrl(ctx.net, requestOf(ctx, account, redirectUri), secrets)
  const id = await ctx.db.transaction().execute(async (tx) => {
    const begun = {
      accountId: account.id,
      kind: 'browser',
      secretHash: hashOf(secrets.state),
      redirectUri,
      expiresAt,
      at,
    } as const
    const row = await beginSignIn(tx, begun)
    const kept: Kept = { ...secrets, ...(linkId !== undefined && { linkId }) }
    await sealSignIn(tx, row, ctx.vault.seal(JSON.stringify(kept), placeOf(row)))
    return row
  })
  return { id, url, expiresAt }
}

/** A secret for the owner of the mailbox, good once, and not for ever. */
export async function beginByLink(
  ctx: Context,
  account: OAuthAccount,
  lifeMs: number,
): Promise<{ readonly secret: string; readonly expiresAt: Date }> {
  const { state: secret } = newSecrets()
  const at = ctx.clock.now()
  const expiresAt = later(at, lifeMs)
  const link = {
    accountId: account.id,
    kind: 'link',
    secretHash: hashOf(secret),
    redirectUri: null,
    expiresAt,
    at,
  } as const
  await beginSignIn(ctx.db, link)
  return { secret, expiresAt }
}

/** The account that a link invites to; undefined where the link is unknown, used or over. */
export async function invitedTo(
  ctx: Context,
  secret: string,
): Promise<{ readonly link: SignInRow; readonly account: OAuthAccount } | undefined> {
  const link = await findSignIn(ctx.db, 'link', hashOf(secret))
  if (!link || link.usedAt || link.expiresAt <= ctx.clock.now()) return undefined
  const account = await loadAccount(ctx.db, link.accountId)
  return account && isOAuth(account) ? { link, account } : undefined
}

export interface FinishedSignIn {
  readonly account: OAuthAccount
  /** Who has signed in, as far as it is known. */
  readonly identity: string | undefined
}

/**
 * The answer that the browser came back with. Throws Failure with what is wrong with it; a sign-in that was answered is over, whatever
 * came of it.
 */
export async function finishByBrowser(ctx: Context, answer: URLSearchParams): Promise<FinishedSignIn> {
  const found = await findSignIn(ctx.db, 'browser', hashOf(answer.get('state') ?? ''))
  const taken = found && (await takeSignIn(ctx.db, found.id, ctx.clock.now()))
  const account = taken && (await loadAccount(ctx.db, taken.accountId))
  if (!taken || taken.verifierSealed === null || !account || !isOAuth(account))
    throw refuse({
      provider: 'generic',
      stage: 'token',
      step: 'authorize',
      reply: JSON.stringify({
        error: 'state_mismatch',
        error_description: 'the sign-in is unknown, used already, or over',
      }),
    })
  const kept = JSON.parse(ctx.vault.open(taken.verifierSealed, placeOf(taken.id))) as Kept
  try {
    const request = requestOf(ctx, account, taken.redirectUri ?? '')
    const finished = await keep(
      ctx,
      account,
      await redeemSignIn(ctx.net, request, kept, answer, ctx.clock),
      'authorization_code',
    )
    if (kept.linkId !== undefined) await takeSignIn(ctx.db, kept.linkId, ctx.clock.now())
    await noteSignIn(ctx.db, taken.id, 'signed in')
    return finished
  } catch (error) {
    if (error instanceof Failure) await noteSignIn(ctx.db, taken.id, `${error.flag}: ${error.evidence}`)
    throw error
  }
}

/** Shows a code that is entered elsewhere, and waits for it. Throws Failure. */
export async function byDevice(
  ctx: Context,
  account: OAuthAccount,
  show: (device: DevicePrompt) => void,
): Promise<FinishedSignIn> {
  const signedIn = await signInByDevice(ctx.net, requestOf(ctx, account, ''), show, ctx.clock)
  return await keep(ctx, account, signedIn, 'device_code')
}

function requestOf({ vault }: Context, account: OAuthAccount, redirectUri: string): SignInRequest {
  const { client, scope } = account.auth
  const { provider, tokenEndpoint, clientId } = client
  const proof = openClientProof(vault, client)
  return {
    provider,
    tokenEndpoint,
    clientId,
    proof,
    scope,
    redirectUri,
    loginHint: expectedIn(account)[0] ?? account.email,
  }
}

/** Whose sign-in is the right one: who is named for it, else the mailbox by any of its names. */
function expectedIn({ auth, email, pop3, smtp }: OAuthAccount): string[] {
  if (auth.username !== null) return [auth.username]
  return [...new Set([pop3?.username, smtp?.username, email].filter((name) => name !== undefined))]
}

async function keep(
  ctx: Context,
  account: OAuthAccount,
  { accessToken, credential, expiresAt, refreshExpiresAt, idClaims }: SignedIn,
  grantedBy: 'authorization_code' | 'device_code',
): Promise<FinishedSignIn> {
  const names = namesIn(idClaims)
  const expected = expectedIn(account)
  if (names.length > 0 && !expected.some((name) => names.includes(name.toLowerCase())))
    throw refuse({
      provider: account.auth.client.provider,
      stage: 'token',
      step: 'authorize',
      reply: JSON.stringify({
        error: 'wrong_identity',
        error_description: `${names[0]} has signed in, expected was ${expected.join(' or ')}`,
      }),
    })
  if (Object.keys(credential).length === 0)
    throw refuse({
      provider: account.auth.client.provider,
      stage: 'token',
      step: 'authorize',
      reply: 'the answer brought no refresh token',
      errorCode: 'NO_REFRESH_TOKEN',
    })
  // what the account file gives stays empty, so that importing it again does not undo the sign-in
  const sealed = sealCredential(ctx.vault, account.id, { given: {}, current: credential })
  const now = ctx.clock.now()
  await ctx.db.transaction().execute(async (tx) => {
    await lockLanes(tx, account.id)
    await replaceCredential(tx, account.id, { credentialSealed: sealed, grantedBy })
    const grant = await loadGrant(tx, account.id)
    if (grant)
      await storeToken(tx, grant, {
        credentialSealed: sealed,
        accessTokenSealed: sealAccessToken(ctx.vault, account.id, accessToken),
        accessExpiresAt: expiresAt,
        refreshExpiresAt,
        refreshedAt: now,
      })
    await recordTokenOk(tx, account.id, now)
    await wakeNow(tx, account.id, ['token', 'receive', 'send'], { again: true })
  })
  ctx.log.info({ account: account.email, flow: grantedBy }, 'somebody has signed in')
  return { account, identity: names[0] }
}
