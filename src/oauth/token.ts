// What a token request needs and yields, whichever library makes it.

import type { Provider } from '../base/failure.ts'

export const FLOWS = ['password', 'refresh_token', 'client_credentials'] as const
export type Flow = (typeof FLOWS)[number]

/** What one grant lives on, sealed at rest as one JSON text. */
export interface Credential {
  readonly password?: string
  readonly refreshToken?: string
  /** MSAL's serialised token cache; it contains the refresh token of a Microsoft grant. */
  readonly msalCache?: string
}

export interface TokenRequest {
  readonly provider: Provider
  readonly tokenEndpoint: string
  readonly clientId: string
  /** null: a public client, which must not send one. */
  readonly clientSecret: string | null
  readonly scope: string
  readonly flow: Flow
  readonly username: string
  readonly credential: Credential
}

export interface TokenGrant {
  readonly accessToken: string
  readonly expiresAt: Date
  /** The credential to store from now on: with the rotated refresh token, if the server sent one. */
  readonly credential: Credential
}
