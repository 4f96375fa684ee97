// What a sign-in by a person needs and yields, whichever library makes it; and how it is told who has signed in.

import { createHash, randomBytes } from 'node:crypto'
import type { Provider } from '../base/failure.ts'
import type { ClientProof, Credential } from './token.ts'

export interface SignInRequest {
  readonly provider: Provider
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly proof: ClientProof
  readonly scope: string
  readonly redirectUri: string
  /** Who is expected to sign in. */
  readonly loginHint: string
}

/** Of one sign-in; kept sealed until its answer comes. */
export interface SignInSecrets {
  readonly state: string
  readonly nonce: string
  /** RFC 7636 section 4.1. */
  readonly verifier: string
  readonly challenge: string
}

export interface DevicePrompt {
  readonly userCode: string
  readonly verificationUri: string
  readonly expiresInSeconds: number
}

/** A token for the code, and what the identity token claims; no claims where there was none. */
export interface Redeemed {
  readonly accessToken: string
  readonly credential: Credential
  readonly idClaims: Readonly<Record<string, unknown>>
}

const random = (): string => randomBytes(32).toString('base64url')

export function newSecrets(): SignInSecrets {
  const verifier = random()
  return {
    state: random(),
    nonce: random(),
    verifier,
    challenge: createHash('sha256').update(verifier).digest('base64url'),
  }
}

export const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest()

/** Names under which the identity token knows who signed in; empty where it does not say. */
export function namesIn(claims: Redeemed['idClaims']): string[] {
  const named = ['preferred_username', 'upn', 'email', 'unique_name'].map((claim) => claims[claim])
  return [
    ...new Set(
      named.filter((name): name is string => typeof name === 'string' && name !== '').map((name) => name.toLowerCase()),
    ),
  ]
}
