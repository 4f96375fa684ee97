// What a token request needs and yields, whichever library makes it.

import type { Provider } from '../base/failure.ts'

export const FLOWS = [
  'password',
  'refresh_token',
  'client_credentials',
  'authorization_code',
  'device_code',
  'service_account',
] as const
/** How the grant came about. */
export type Flow = (typeof FLOWS)[number]

/** A person signed in somewhere, and what is left of it is a refresh token. */
export const livesOnRefreshToken = (flow: Flow): boolean =>
  flow === 'refresh_token' || flow === 'authorization_code' || flow === 'device_code'

/** What one grant lives on, sealed at rest as one JSON text. */
export interface Credential {
  readonly password?: string
  readonly refreshToken?: string
  /** MSAL's serialised token cache; it contains the refresh token of a Microsoft grant. */
  readonly msalCache?: string
}

/** How an app registration proves that it is the one. A public client has nothing to prove itself with, and must not send anything. */
export type ClientProof =
  | { readonly kind: 'none' }
  | { readonly kind: 'secret'; readonly secret: string }
  | { readonly kind: 'certificate'; readonly certificatePem: string; readonly privateKeyPem: string }
  /** Google: the key of a service account to which a Workspace has delegated its mailboxes. */
  | {
      readonly kind: 'service_account'
      readonly clientEmail: string
      readonly keyId: string
      readonly privateKeyPem: string
    }

export interface TokenRequest {
  readonly provider: Provider
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly proof: ClientProof
  readonly scope: string
  readonly flow: Flow
  readonly username: string
  readonly credential: Credential
}

export interface TokenGrant {
  readonly accessToken: string
  readonly expiresAt: Date
  /** When the refresh token ends, where the server says so. */
  readonly refreshExpiresAt?: Date | undefined
  /** The credential to store from now on: with the rotated refresh token, if the server sent one. */
  readonly credential: Credential
}
