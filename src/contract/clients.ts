// App registrations as the interface and the command line tell them; never their secrets. The shape is a contract: docs/cli.md.

import { z } from 'zod'
import type { ClientDetails } from '../db/client-secrets.ts'
import { instant, iso, isoOrNull } from './basics.ts'

const proof = z.enum(['none', 'secret', 'certificate', 'service_account'])

export const client = z.object({
  id: z.int(),
  label: z.string(),
  provider: z.enum(['microsoft', 'google', 'generic']),
  token_endpoint: z.string(),
  client_id: z.string(),
  proof,
  fingerprint: z.string().nullable(),
  secret_changed_at: instant.nullable(),
  secret_expires_at: instant.nullable(),
  next: z
    .object({ proof, state: z.string(), expires_at: instant.nullable(), evidence: z.string().nullable() })
    .nullable(),
  accounts: z.int(),
  refused: z
    .object({ flag: z.string(), since: instant, next_probe_at: instant.nullable(), evidence: z.string() })
    .nullable(),
})
export type ClientJson = z.infer<typeof client>

export const clientJson = (of: ClientDetails, fingerprint: string | null): ClientJson => ({
  id: of.id,
  label: of.label,
  provider: of.provider,
  token_endpoint: of.tokenEndpoint,
  client_id: of.clientId,
  proof: of.proofKind,
  fingerprint,
  secret_changed_at: isoOrNull(of.secretChangedAt),
  secret_expires_at: isoOrNull(of.secretExpiresAt),
  next: of.next && {
    proof: of.next.kind,
    state: of.next.state,
    expires_at: isoOrNull(of.next.expiresAt),
    evidence: of.next.evidence,
  },
  accounts: of.accounts,
  refused: of.breaker && {
    flag: of.breaker.flag,
    since: iso(of.breaker.since),
    next_probe_at: isoOrNull(of.breaker.nextProbeAt),
    evidence: of.breaker.evidence,
  },
})
