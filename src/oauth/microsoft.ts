// Tokens from Microsoft Entra, by MSAL. Each call makes its own client and feeds it the grant's sealed cache, so that MSAL's
// memory (throttling, other accounts) never matters. The authority's metadata is made from the token endpoint URL, which saves
// discovery: one token is one HTTP request.

import { X509Certificate } from 'node:crypto'
import {
  ConfidentialClientApplication,
  PublicClientApplication,
  type AccountInfo,
  type AuthenticationResult,
  type Configuration,
  type ICachePlugin,
  type INetworkModule,
  type NetworkRequestOptions,
  type NetworkResponse,
} from '@azure/msal-node'
import type { FetchedReply, Net } from '../net/net.ts'
import { CredentialMissing, readTokenReply, type Issued } from './generic.ts'
import { entraTenantOf } from './provider-presets.ts'
import type { DevicePrompt, Redeemed, SignInRequest, SignInSecrets } from './sign-in.ts'
import { livesOnRefreshToken, type ClientProof, type Credential, type TokenRequest } from './token.ts'

/**
 * The refresh token is dead, but the same user name and password may still be good. Policy refusals (MFA, conditional access,
 * consent, a disabled account) are not here: the password would meet them too, and every attempt counts towards the lockout.
 */
const DEAD_REFRESH_TOKEN = new Set([50132, 50133, 50173, 70008, 70043, 700082, 700084, 9002313])

/** One client, its cache, and what the last request got. */
interface Spoken {
  readonly config: Configuration
  readonly cache: ReturnType<typeof cacheOf>
  readonly last: { sent: boolean; reply: FetchedReply | undefined }
}

function speak(
  net: Pick<Net, 'fetch'>,
  request: Pick<TokenRequest, 'clientId' | 'tokenEndpoint'>,
  stored?: string,
): Spoken {
  const cache = cacheOf(stored)
  const last: Spoken['last'] = { sent: false, reply: undefined }
  const networkClient: INetworkModule = {
    sendGetRequestAsync: () => Promise.reject(new Error('no metadata has to be asked for')),
    async sendPostRequestAsync<T>(
      url: string,
      { headers = {}, body = '' }: NetworkRequestOptions = {},
    ): Promise<NetworkResponse<T>> {
      last.sent = true
      last.reply = undefined
      const reply = (last.reply = await net.fetch(url, { method: 'POST', headers, body }))
      if (isPending(reply)) return { status: reply.status, headers: { ...reply.headers }, body: errorOf(reply) as T }
      // MSAL sees successes only: what it makes of a refusal hides the words we classify by.
      const answer: T = JSON.parse(JSON.stringify(url.endsWith('/devicecode') ? jsonOf(reply) : readTokenReply(reply)))
      return { status: reply.status, headers: { ...reply.headers }, body: answer }
    },
  }
  const config = {
    auth: { clientId: request.clientId, ...authorityOf(request.tokenEndpoint) },
    cache: { cachePlugin: cache.plugin },
    system: { networkClient },
  }
  return { config, cache, last }
}

const clientOf = ({ config }: Spoken, proof: ClientProof): PublicClientApplication | ConfidentialClientApplication =>
  proof.kind === 'none' ? new PublicClientApplication(config) : confidential(config, proof)

const scopesOf = (scope: string): string[] => scope.split(/\s+/).filter(Boolean)

/** Speaks MSAL's protocol to an endpoint whose path is `/{tenant}/oauth2/v2.0/token`. */
export async function acquireFromMicrosoft(net: Pick<Net, 'fetch'>, request: TokenRequest): Promise<Issued> {
  const { credential, flow } = request
  const { password, refreshToken } = credential
  // A refresh token beside a cache is the newer one: somebody signed in again, perhaps somebody else.
  const seed = livesOnRefreshToken(flow) ? refreshToken : undefined
  const spoken = speak(net, request, seed === undefined ? credential.msalCache : undefined)
  const { cache, last } = spoken
  const scopes = scopesOf(request.scope)

  if (flow === 'client_credentials') {
    // The only scope of this flow is the resource's /.default; Entra refuses any other beside it.
    const resource = scopes.filter((scope) => scope.includes('://'))
    const token = await confidential(spoken.config, request.proof).acquireTokenByClientCredential({
      scopes: resource,
      skipCache: true,
    })
    return { accessToken: accessTokenOf(token), credential }
  }

  const client = clientOf(spoken, request.proof)

  if (seed !== undefined) {
    const token = await client.acquireTokenByRefreshToken({ scopes, refreshToken: seed, forceCache: true })
    return { accessToken: accessTokenOf(token), credential: adopted(credential, seed, token, cache.text(), last.reply) }
  }

  const account = accountFor(request, await client.getTokenCache().getAllAccounts())
  if (account) {
    try {
      const token = await client.acquireTokenSilent({ account, scopes, forceRefresh: true })
      return { accessToken: accessTokenOf(token), credential: withCache(credential, cache.text()) }
    } catch (error) {
      // A request that was sent and not answered may have counted: only a definite no, or none made, leads to the next.
      const mayTryPassword = !last.sent || (last.reply !== undefined && isDead(last.reply))
      if (flow !== 'password' || !password || !mayTryPassword) throw error
    }
  }
  if (livesOnRefreshToken(flow)) throw new CredentialMissing('no refresh token is stored')
  if (!password) throw new CredentialMissing('no password is stored')
  const token = await client.acquireTokenByUsernamePassword({ scopes, username: request.username, password })
  return { accessToken: accessTokenOf(token), credential: withCache(credential, cache.text()) }
}

/** Where the browser is sent (RFC 6749 section 4.1.1 with PKCE). */
export async function microsoftSignInUrl(
  net: Pick<Net, 'fetch'>,
  request: SignInRequest,
  secrets: SignInSecrets,
): Promise<string> {
  const client = clientOf(speak(net, request), request.proof)
  return await client.getAuthCodeUrl({
    scopes: scopesOf(request.scope),
    redirectUri: request.redirectUri,
    state: secrets.state,
    nonce: secrets.nonce,
    codeChallenge: secrets.challenge,
    codeChallengeMethod: 'S256',
    loginHint: request.loginHint,
    prompt: 'select_account',
  })
}

/** The code for a token. MSAL compares the nonce of the identity token. */
export async function redeemAtMicrosoft(
  net: Pick<Net, 'fetch'>,
  request: SignInRequest,
  { verifier, nonce, state }: SignInSecrets,
  code: string,
): Promise<Redeemed> {
  const spoken = speak(net, request)
  const token = await clientOf(spoken, request.proof).acquireTokenByCode(
    { scopes: scopesOf(request.scope), redirectUri: request.redirectUri, code, codeVerifier: verifier, state, nonce },
    { code, nonce, state },
  )
  return redeemed(token, spoken)
}

/** Tells the code by `show`, and waits until somebody has entered it. */
export async function deviceSignInAtMicrosoft(
  net: Pick<Net, 'fetch'>,
  request: SignInRequest,
  show: (device: DevicePrompt) => void,
): Promise<Redeemed> {
  const spoken = speak(net, request)
  const client = new PublicClientApplication(spoken.config)
  const token = await client.acquireTokenByDeviceCode({
    scopes: scopesOf(request.scope),
    deviceCodeCallback: ({ userCode, verificationUri, expiresIn }) =>
      show({ userCode, verificationUri, expiresInSeconds: expiresIn }),
  })
  return redeemed(token, spoken)
}

function redeemed(token: AuthenticationResult | null, { cache }: Spoken): Redeemed {
  const claims: Record<string, unknown> = { ...token?.idTokenClaims }
  return { accessToken: accessTokenOf(token), credential: withCache({}, cache.text()), idClaims: claims }
}

function authorityOf(tokenEndpoint: string) {
  const { origin, host } = new URL(tokenEndpoint)
  const authority = `${origin}/${entraTenantOf(tokenEndpoint) ?? 'organizations'}`
  const authorityMetadata = JSON.stringify({
    issuer: `${authority}/v2.0`,
    authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
    token_endpoint: tokenEndpoint,
    jwks_uri: `${authority}/discovery/v2.0/keys`,
    end_session_endpoint: `${authority}/oauth2/v2.0/logout`,
  })
  return { authority, authorityMetadata, knownAuthorities: [host] }
}

function confidential(config: Configuration, proof: ClientProof): ConfidentialClientApplication {
  if (proof.kind === 'none') throw new CredentialMissing('no client secret is stored')
  if (proof.kind === 'secret')
    return new ConfidentialClientApplication({ ...config, auth: { ...config.auth, clientSecret: proof.secret } })
  if (proof.kind === 'service_account') throw new CredentialMissing('a service account is known to Google only')
  const certificate = new X509Certificate(proof.certificatePem)
  const clientCertificate = {
    thumbprintSha256: certificate.fingerprint256.replaceAll(':', ''),
    privateKey: proof.privateKeyPem,
    x5c: proof.certificatePem,
  }
  return new ConfidentialClientApplication({ ...config, auth: { ...config.auth, clientCertificate } })
}

/** The grant's own cache, in and out as one text. */
function cacheOf(stored: string | undefined): { plugin: ICachePlugin; text(): string | undefined } {
  let text = stored
  const plugin: ICachePlugin = {
    async beforeCacheAccess({ tokenCache }) {
      if (text !== undefined) tokenCache.deserialize(text)
    },
    async afterCacheAccess({ cacheHasChanged, tokenCache }) {
      if (cacheHasChanged) text = tokenCache.serialize()
    },
  }
  return { plugin, text: () => text }
}

/**
 * Whose refresh token to use. A grant by password names its user: a cache of anybody else is a left-over from before the user
 * name was changed, and its token would open the wrong mailbox.
 */
function accountFor({ flow, username }: TokenRequest, accounts: readonly AccountInfo[]): AccountInfo | undefined {
  if (livesOnRefreshToken(flow)) return accounts[0]
  return accounts.find((account) => account.username.toLowerCase() === username.toLowerCase())
}

function isDead(reply: FetchedReply): boolean {
  const { error, error_codes: codes } = errorOf(reply)
  const numbers = Array.isArray(codes) ? codes : []
  return numbers.length === 0 ? error === 'invalid_grant' : numbers.some((code) => DEAD_REFRESH_TOKEN.has(Number(code)))
}

/** Nobody has entered the device code yet: no refusal, and MSAL asks again by itself (RFC 8628 section 3.5). */
const isPending = (reply: FetchedReply): boolean =>
  reply.status === 400 && ['authorization_pending', 'slow_down'].includes(String(errorOf(reply).error))

function jsonOf({ status, body }: FetchedReply): unknown {
  if (status !== 200) throw new Error(`the endpoint answered ${status}`)
  return JSON.parse(body)
}

function errorOf({ body }: FetchedReply): { error?: unknown; error_codes?: unknown } {
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

/** After a first refresh token was exchanged: MSAL's cache takes over if it can find its way back to the account. */
function adopted(
  credential: Credential,
  presented: string,
  token: AuthenticationResult | null,
  msalCache: string | undefined,
  reply: FetchedReply | undefined,
): Credential {
  const { refreshToken: _, msalCache: __, ...others } = credential
  const rotated = reply && readTokenReply(reply)['refresh_token']
  const hasRotated = typeof rotated === 'string'
  if (hasRotated && token?.account && msalCache !== undefined) return { ...others, msalCache }
  return { ...others, refreshToken: hasRotated ? rotated : presented }
}

const withCache = (credential: Credential, msalCache: string | undefined): Credential =>
  msalCache === undefined ? credential : { ...credential, msalCache }

function accessTokenOf(token: AuthenticationResult | null): string {
  if (!token?.accessToken) throw new Error('MSAL yielded no access token')
  return token.accessToken
}
