// How people tell one secret from another without seeing it.

import { createHash } from 'node:crypto'
import type { Grant } from '../db/grants.ts'
import type { OAuthClient } from '../db/oauth-clients.ts'
import type { Vault } from '../secrets/vault.ts'
import { openClientProof, openCredential } from './sealed.ts'

/** Eight hex digits of SHA-256 over client id and secret; null for a public client. Throws UserError where it cannot be opened. */
export function fingerprintOf(vault: Vault, client: OAuthClient): string | null {
  const proof = openClientProof(vault, client)
  if (proof.kind === 'none') return null
  const secret = proof.kind === 'secret' ? proof.secret : proof.privateKeyPem
  return createHash('sha256').update(`${client.clientId}\0${secret}`).digest('hex').slice(0, 8)
}

/** The same of what an account lives on; null where nothing is stored. Throws UserError where it cannot be opened. */
export function grantFingerprint(vault: Vault, grant: Grant | undefined): string | null {
  const current = grant && openCredential(vault, grant).current
  const secret = current?.password ?? current?.refreshToken ?? current?.msalCache
  return secret === undefined
    ? null
    : createHash('sha256').update(`${grant?.accountId}\0${secret}`).digest('hex').slice(0, 8)
}
