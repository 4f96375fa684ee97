// Signing in by a browser (RFC 6749 section 4.1, PKCE RFC 7636) or by a code entered elsewhere (RFC 8628): Microsoft by MSAL, every other
// provider by oauth4webapi. What comes back is believed only as the answer to what was asked: state, nonce, issuer and tenant.

import * as oauth from 'oauth4webapi'
import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { refuse } from '../failures/classify.ts'
import type { FetchedReply, Net } from '../net/net.ts'
import { recordExchanges } from './acquire.ts'
import { claimsOf } from './claims.ts'
import { clientAuth, readTokenReply } from './generic.ts'
import { deviceSignInAtMicrosoft, microsoftSignInUrl, redeemAtMicrosoft } from './microsoft.ts'
import { entraTenantOf, providerOf } from './provider-presets.ts'
import type { DevicePrompt, Redeemed, SignInRequest, SignInSecrets } from './sign-in.ts'
import type { TokenGrant } from './token.ts'

const GOOGLE_ISSUER = 'https://accounts.google.com'
const GUID = /^[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}$/i
const CLOCK_SKEW_SECONDS = 300

export interface SignedIn extends TokenGrant {
  readonly idClaims: Redeemed['idClaims']
}

const isMicrosoft = ({ tokenEndpoint }: SignInRequest): boolean => providerOf(tokenEndpoint) === 'microsoft'

/** The page to open. */
export async function signInUrl(net: Net, request: SignInRequest, secrets: SignInSecrets): Promise<string> {
  if (isMicrosoft(request)) return await microsoftSignInUrl(net, request, secrets)
  const google = providerOf(request.tokenEndpoint) === 'google'
  const url = new URL(authorizationEndpointOf(request.tokenEndpoint))
  const parameters = {
    client_id: request.clientId,
    response_type: 'code',
    redirect_uri: request.redirectUri,
    // Google names who signed in only where it is asked to
    scope: google ? `openid email ${request.scope}` : request.scope,
    state: secrets.state,
    nonce: secrets.nonce,
    code_challenge: secrets.challenge,
    code_challenge_method: 'S256',
    login_hint: request.loginHint,
    // a refresh token comes only with both
    ...(google && { access_type: 'offline', prompt: 'consent' }),
  }
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
  return url.href
}

/** Google's own; elsewhere `authorize` beside `token`, as most servers have it. */
export function authorizationEndpointOf(tokenEndpoint: string): string {
  if (providerOf(tokenEndpoint) === 'google') return `${GOOGLE_ISSUER}/o/oauth2/v2/auth`
  const url = new URL(tokenEndpoint)
  url.pathname = url.pathname.replace(/\/token\/?$/, '/authorize')
  return url.href
}

/**
 * The answer that the browser brought, as a token. Throws Failure (stage `token`, step `authorize` for what the answer itself says,
 * the grant type for what the endpoint says).
 */
export async function redeemSignIn(
  net: Net,
  request: SignInRequest,
  secrets: SignInSecrets,
  answer: URLSearchParams,
  clock: Clock,
): Promise<SignedIn> {
  const code = codeIn(request, secrets, answer)
  return await exchanged(net, request, clock, async (recorded) => {
    if (isMicrosoft(request)) return await redeemAtMicrosoft(recorded, request, secrets, code)
    return await redeemElsewhere(recorded, request, secrets, answer)
  })
}

function codeIn({ provider, tokenEndpoint }: SignInRequest, { state }: SignInSecrets, answer: URLSearchParams): string {
  const refused = (reply: string): Failure => refuse({ provider, stage: 'token', step: 'authorize', reply })
  if (answer.get('state') !== state) throw refused(JSON.stringify({ error: 'state_mismatch' }))
  const issuer = answer.get('iss')
  // a mix-up: the answer of another server (RFC 9207)
  if (issuer !== null && URL.parse(issuer)?.host !== new URL(tokenEndpoint).host && issuer !== GOOGLE_ISSUER)
    throw refused(JSON.stringify({ error: 'issuer_mismatch', error_description: `the answer is that of ${issuer}` }))
  const error = answer.get('error')
  if (error !== null) throw refused(JSON.stringify({ error, error_description: answer.get('error_description') ?? '' }))
  const code = answer.get('code')
  if (code === null || code === '')
    throw refused(JSON.stringify({ error: 'invalid_request', error_description: 'no code' }))
  return code
}

async function redeemElsewhere(
  net: Pick<Net, 'fetch'>,
  request: SignInRequest,
  secrets: SignInSecrets,
  answer: URLSearchParams,
): Promise<Redeemed> {
  const server = { issuer: new URL(request.tokenEndpoint).origin, token_endpoint: request.tokenEndpoint }
  const client = { client_id: request.clientId }
  const parameters = new URLSearchParams(answer)
  parameters.delete('iss') // compared already
  const validated = oauth.validateAuthResponse(server, client, parameters, secrets.state)
  let reply: FetchedReply | undefined
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    await clientAuth(request.proof),
    validated,
    request.redirectUri,
    secrets.verifier,
    { [oauth.customFetch]: fetchOver(net, (got) => void (reply = got)) },
  )
  const issued = await oauth.processAuthorizationCodeResponse(server, client, response)
  return withIdentity(request, secrets, issued, reply)
}

function withIdentity(
  request: SignInRequest,
  secrets: Pick<SignInSecrets, 'nonce'> | undefined,
  issued: oauth.TokenEndpointResponse,
  reply: FetchedReply | undefined,
): Redeemed {
  const idToken = reply && readTokenReply(reply)['id_token']
  const idClaims = typeof idToken === 'string' ? (claimsOf(idToken) ?? {}) : {}
  if (typeof idToken === 'string') checkIdentityToken(request, secrets?.nonce, idClaims)
  const { access_token: accessToken, refresh_token: refreshToken } = issued
  return { accessToken, credential: refreshToken === undefined ? {} : { refreshToken }, idClaims }
}

/** It came from the token endpoint itself, over TLS, so its signature proves nothing more (OpenID Connect Core section 3.1.3.7). */
function checkIdentityToken(request: SignInRequest, nonce: string | undefined, claims: Redeemed['idClaims']): void {
  const wrong = (what: string): Failure =>
    refuse({
      provider: request.provider,
      stage: 'token',
      step: 'authorize',
      reply: JSON.stringify({ error: 'id_token_invalid', error_description: what }),
    })
  if (![claims['aud']].flat().includes(request.clientId)) throw wrong('the identity token is for another app')
  if (nonce !== undefined && claims['nonce'] !== nonce) throw wrong('the identity token answers another sign-in')
  if (typeof claims['exp'] === 'number' && claims['exp'] < Date.now() / 1000 - CLOCK_SKEW_SECONDS)
    throw wrong('the identity token has expired')
  if (
    providerOf(request.tokenEndpoint) === 'google' &&
    ![GOOGLE_ISSUER, 'accounts.google.com'].includes(String(claims['iss']))
  )
    throw wrong('the identity token is not issued by Google')
}

function fetchOver(net: Pick<Net, 'fetch'>, got: (reply: FetchedReply) => void) {
  return async (url: string, sent: { headers: Record<string, string>; body: URLSearchParams }): Promise<Response> => {
    const reply = await net.fetch(url, { method: 'POST', headers: sent.headers, body: sent.body.toString() })
    got(reply)
    const { id_token: _, ...answer } = readTokenReply(reply)
    return Response.json(answer)
  }
}

/** Shows a code, and waits until somebody has entered it elsewhere. Throws Failure where it is declined or expires. */
export async function signInByDevice(
  net: Net,
  request: SignInRequest,
  show: (device: DevicePrompt) => void,
  clock: Clock,
): Promise<SignedIn> {
  if (isMicrosoft(request))
    return await exchanged(net, request, clock, (recorded) => deviceSignInAtMicrosoft(recorded, request, show))
  throw refuse({
    provider: request.provider,
    stage: 'token',
    step: 'device_code',
    reply: JSON.stringify({
      error: 'unsupported_grant_type',
      error_description: 'a code is entered at Microsoft only',
    }),
  })
}

async function exchanged(
  net: Net,
  request: SignInRequest,
  clock: Clock,
  work: (recorded: Pick<Net, 'fetch'>) => Promise<Redeemed>,
): Promise<SignedIn> {
  const about = { ...request, flow: 'authorization_code', username: request.loginHint, credential: {} } as const
  const exchange = recordExchanges(net, about, clock)
  let redeemed: Redeemed
  try {
    redeemed = await work(exchange.net)
  } catch (error) {
    throw error instanceof Failure ? error : exchange.failure(error)
  }
  checkTenant(request, redeemed.idClaims)
  return { ...redeemed, ...exchange.ends() }
}

/** Where the endpoint is that of one tenant, nobody of another has signed in there. */
function checkTenant({ provider, tokenEndpoint }: SignInRequest, claims: Redeemed['idClaims']): void {
  const tenant = entraTenantOf(tokenEndpoint)
  const tid = claims['tid']
  if (
    tenant === undefined ||
    !GUID.test(tenant) ||
    typeof tid !== 'string' ||
    tid.toLowerCase() === tenant.toLowerCase()
  )
    return
  throw refuse({
    provider,
    stage: 'token',
    step: 'authorize',
    reply: JSON.stringify({
      error: 'tenant_mismatch',
      error_description: `somebody of the tenant ${tid} has signed in`,
    }),
  })
}
