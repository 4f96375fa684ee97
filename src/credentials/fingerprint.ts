// How people tell one secret from another without seeing it.

import { createHash } from 'node:crypto'
import type { OAuthClient } from '../db/oauth-clients.ts'
import type { Vault } from '../secrets/vault.ts'
import { openClientProof } from './sealed.ts'

/** Eight hex digits of SHA-256 over client id and secret; null for a public client. Throws UserError where it cannot be opened. */
export function fingerprintOf(vault: Vault, client: OAuthClient): string | null {
  const proof = openClientProof(vault, client)
  if (proof.kind === 'none') return null
  const secret = proof.kind === 'secret' ? proof.secret : proof.privateKeyPem
  return createHash('sha256').update(`${client.clientId}\0${secret}`).digest('hex').slice(0, 8)
}
