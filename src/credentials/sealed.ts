// How the secrets of a grant lie in the database: one sealed JSON for the credential, one sealed text for the access token.

import type { Grant } from '../db/grants.ts'
import type { OAuthClient } from '../db/accounts.ts'
import type { Credential } from '../oauth/token.ts'
import type { Vault } from '../secrets/vault.ts'

/** `given`: as the operator entered it, to tell a new secret from the old one. `current`: as it works now, after rotations. */
export interface StoredCredential {
  readonly given: Credential
  readonly current: Credential
}

const at = (accountId: number, column: string) => ({ table: 'grants', id: accountId, column })

export const sealCredential = (vault: Vault, accountId: number, credential: StoredCredential): string =>
  vault.seal(JSON.stringify(credential), at(accountId, 'credential'))

export const openCredential = (vault: Vault, grant: Pick<Grant, 'accountId' | 'credentialSealed'>): StoredCredential =>
  JSON.parse(vault.open(grant.credentialSealed, at(grant.accountId, 'credential'))) as StoredCredential

export const sealAccessToken = (vault: Vault, accountId: number, token: string): string =>
  vault.seal(token, at(accountId, 'access_token'))

export const openAccessToken = (vault: Vault, grant: Grant): string | undefined =>
  grant.accessTokenSealed === null
    ? undefined
    : vault.open(grant.accessTokenSealed, at(grant.accountId, 'access_token'))

const clientPlace = (clientId: number) => ({ table: 'oauth_clients', id: clientId, column: 'client_secret' })

export const sealClientSecret = (vault: Vault, clientId: number, secret: string | null): string | null =>
  secret === null ? null : vault.seal(secret, clientPlace(clientId))

export const openClientSecret = (vault: Vault, client: OAuthClient): string | null =>
  client.clientSecretSealed === null ? null : vault.open(client.clientSecretSealed, clientPlace(client.id))
