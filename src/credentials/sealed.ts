// How the secrets of a grant lie in the database: one sealed JSON for the credential, one sealed text for the access token.

import type { Grant } from '../db/grants.ts'
import type { OAuthClient } from '../db/oauth-clients.ts'
import type { ProofKind } from '../db/schema-credentials.ts'
import type { ClientProof, Credential } from '../oauth/token.ts'
import type { Vault } from '../secrets/vault.ts'

/**
 * `given`: as the operator entered it, to tell a new secret from the old one. `current`: as it works now, after rotations. `previous`:
 * what the last token was got with, kept until the next one is.
 */
export interface StoredCredential {
  readonly given: Credential
  readonly current: Credential
  readonly previous?: Credential
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

type Slot = 'client_secret' | 'next_secret'
const clientPlace = (clientId: number, slot: Slot) => ({ table: 'oauth_clients', id: clientId, column: slot })

/** null: a public client. */
export function sealClientProof(
  vault: Vault,
  clientId: number,
  proof: ClientProof,
  slot: Slot = 'client_secret',
): string | null {
  if (proof.kind === 'none') return null
  const { kind: _, ...parts } = proof
  return vault.seal(proof.kind === 'secret' ? proof.secret : JSON.stringify(parts), clientPlace(clientId, slot))
}

/** Throws UserError where the secret cannot be opened. */
export function openClientProof(vault: Vault, client: OAuthClient): ClientProof {
  const { id, clientSecretSealed: sealed, proofKind } = client
  return sealed === null || proofKind === 'none' ? { kind: 'none' } : openProof(vault, id, proofKind, sealed)
}

export const openNextProof = (
  vault: Vault,
  clientId: number,
  next: { kind: Exclude<ProofKind, 'none'>; sealed: string },
): ClientProof => openProof(vault, clientId, next.kind, next.sealed, 'next_secret')

function openProof(
  vault: Vault,
  clientId: number,
  kind: Exclude<ProofKind, 'none'>,
  sealed: string,
  slot: Slot = 'client_secret',
): ClientProof {
  const plain = vault.open(sealed, clientPlace(clientId, slot))
  if (kind === 'secret') return { kind, secret: plain }
  return { kind, ...JSON.parse(plain) } as ClientProof
}
