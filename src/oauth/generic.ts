// Tokens from Google and from any other RFC 6749 token endpoint, by oauth4webapi; and how a token answer is read (section 5.1),
// with the tolerance that endpoints in the field need.

import * as oauth from 'oauth4webapi'
import type { FetchedReply, Net } from '../net/net.ts'
import { clientKey, JWT_BEARER, signedAssertion } from './assertion.ts'
import { livesOnRefreshToken, type ClientProof, type Credential, type TokenGrant, type TokenRequest } from './token.ts'

const DEFAULT_LIFETIME_SECONDS = 3600
const MIN_LIFETIME_SECONDS = 60
const MAX_LIFETIME_SECONDS = 30 * 24 * 3600
const MAX_REFRESH_SECONDS = 10 * 365 * 24 * 3600

/** A library's yield; the instant of expiry is added by whoever holds the clock. */
export type Issued = Omit<TokenGrant, 'expiresAt' | 'refreshExpiresAt'>

/** Something the request needs is not stored, so it was not sent. */
export class CredentialMissing extends Error {
  readonly code = 'CREDENTIAL_MISSING'
}

/**
 * The token answer as an object both libraries accept; throws when there is no token in it. `expires_in` becomes a number:
 * a string is read, an absent or unreadable one counts as an hour (a token that dies earlier costs one refused login and one
 * refresh), and zero, negative or tiny ones as a minute, so that nobody refreshes in a loop.
 */
export function readTokenReply(reply: FetchedReply): Record<string, unknown> & { expires_in: number } {
  if (reply.status !== 200) throw new Error(`the token endpoint answered ${reply.status}`)
  const value: unknown = JSON.parse(reply.body)
  if (typeof value !== 'object' || value === null)
    throw new Error('the token endpoint did not answer with a JSON object')
  const answer: Record<string, unknown> = { ...value }
  if (typeof answer['access_token'] !== 'string' || answer['access_token'] === '') {
    throw new Error('there is no access token in the answer')
  }
  for (const name of ['refresh_token', 'scope', 'id_token']) {
    if (typeof answer[name] !== 'string' || answer[name] === '') delete answer[name]
  }
  return { token_type: 'Bearer', ...answer, expires_in: lifetimeSeconds(answer['expires_in']) }
}

function lifetimeSeconds(expiresIn: unknown): number {
  const isText = typeof expiresIn === 'string' && expiresIn.trim() !== ''
  const seconds = isText ? Number(expiresIn) : expiresIn
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) return DEFAULT_LIFETIME_SECONDS
  return Math.min(MAX_LIFETIME_SECONDS, Math.max(MIN_LIFETIME_SECONDS, seconds))
}

/** Google says how long a refresh token of limited life has (refresh_token_expires_in), Keycloak and others too; 0 is none. */
export function refreshLifetimeSeconds(answer: Record<string, unknown>): number | undefined {
  const seconds = Number(answer['refresh_token_expires_in'] ?? answer['refresh_expires_in'])
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, MAX_REFRESH_SECONDS) : undefined
}

export async function acquireGeneric(net: Pick<Net, 'fetch'>, request: TokenRequest, now: Date): Promise<Issued> {
  const { credential, flow } = request
  const server = { issuer: new URL(request.tokenEndpoint).origin, token_endpoint: request.tokenEndpoint }
  const client = { client_id: request.clientId }
  const proof = await clientAuth(request.proof)
  const options = { [oauth.customFetch]: fetchOver(net) }

  if (livesOnRefreshToken(flow)) {
    // Without a scope the server repeats the granted one (RFC 6749 section 6); naming more than that would be refused.
    const old = stored(credential, 'refreshToken')
    const response = await oauth.refreshTokenGrantRequest(server, client, proof, old, options)
    const answer = await oauth.processRefreshTokenResponse(server, client, response)
    return {
      accessToken: answer.access_token,
      credential: { ...credential, refreshToken: answer.refresh_token ?? old },
    }
  }
  if (flow === 'password') {
    const form = { username: request.username, password: stored(credential, 'password'), ...scopeOf(request) }
    const response = await oauth.genericTokenEndpointRequest(server, client, proof, flow, form, options)
    const answer = await oauth.processGenericTokenEndpointResponse(server, client, response)
    return { accessToken: answer.access_token, credential }
  }
  if (flow === 'service_account') {
    const form = { assertion: assertionOf(request, now) }
    const response = await oauth.genericTokenEndpointRequest(server, client, oauth.None(), JWT_BEARER, form, options)
    const answer = await oauth.processGenericTokenEndpointResponse(server, client, response)
    return { accessToken: answer.access_token, credential }
  }
  const form = new URLSearchParams(scopeOf(request))
  const response = await oauth.clientCredentialsGrantRequest(server, client, proof, form, options)
  const answer = await oauth.processClientCredentialsResponse(server, client, response)
  return { accessToken: answer.access_token, credential }
}

/** Throws where a key cannot be read. */
export async function clientAuth(proof: ClientProof): Promise<oauth.ClientAuth> {
  if (proof.kind === 'secret') return oauth.ClientSecretPost(proof.secret)
  return proof.kind === 'certificate' ? oauth.PrivateKeyJwt(await clientKey(proof.privateKeyPem)) : oauth.None()
}

function assertionOf({ proof, username, tokenEndpoint, scope }: TokenRequest, now: Date): string {
  if (proof.kind !== 'service_account') throw new CredentialMissing('no key of a service account is stored')
  const { clientEmail, keyId, privateKeyPem } = proof
  return signedAssertion({
    issuer: clientEmail,
    subject: username,
    audience: tokenEndpoint,
    scope,
    keyId,
    privateKeyPem,
    now,
  })
}

/** The library sees a clean success only. An identity token is left out: its issuer is unknown here, and nobody reads it. */
function fetchOver(net: Pick<Net, 'fetch'>) {
  return async (url: string, sent: { headers: Record<string, string>; body: URLSearchParams }): Promise<Response> => {
    const reply = await net.fetch(url, { method: 'POST', headers: sent.headers, body: sent.body.toString() })
    const { id_token: _, ...answer } = readTokenReply(reply)
    return Response.json(answer)
  }
}

function scopeOf(request: TokenRequest): { scope?: string } {
  return request.scope.trim() === '' ? {} : { scope: request.scope }
}

function stored(credential: Credential, name: 'password' | 'refreshToken'): string {
  const value = credential[name]
  if (!value) throw new CredentialMissing(name === 'password' ? 'no password is stored' : 'no refresh token is stored')
  return value
}
