// Row types of app registrations, grants and sign-ins.

import type { ColumnType, Generated } from 'kysely'
import type { Provider } from '../base/failure.ts'

type Now = ColumnType<Date, Date | undefined, Date>
type MaybeDate = Date | null
type Json<T> = ColumnType<T | null, string | null, string | null>

export type OAuthFlow =
  | 'password'
  | 'refresh_token'
  | 'client_credentials'
  | 'authorization_code'
  | 'device_code'
  | 'service_account'
/** What an app registration proves itself with. */
export type ProofKind = 'none' | 'secret' | 'certificate' | 'service_account'
export type SignInKind = 'link' | 'browser' | 'device'

/** The first refusal of a grant, kept as it was. */
export interface StoredRefusal {
  flag: string
  scope: string
  persistence: string
  evidence: string
  /** What was refused is the app registration: when its breaker closes, the account may ask again. */
  of?: 'client'
}

export interface CredentialTables {
  oauth_clients: {
    id: Generated<number>
    provider: Provider
    token_endpoint: string
    client_id: string
    client_secret_sealed: string | null
    created_at: Now
    updated_at: Now
    licences: number | null
    recipients_per_day: number | null
    messages_per_minute: number | null
    label: Generated<string>
    proof_kind: Generated<ProofKind>
    secret_expires_at: MaybeDate
    secret_changed_at: MaybeDate
    next_secret_sealed: string | null
    next_proof_kind: Exclude<ProofKind, 'none'> | null
    next_secret_expires_at: MaybeDate
    next_secret_state: 'waiting' | 'refused' | null
    next_secret_evidence: string | null
  }
  grants: {
    account_id: number
    credential_sealed: string
    access_token_sealed: string | null
    access_expires_at: MaybeDate
    version: Generated<number>
    refreshed_at: MaybeDate
    refusal: Json<StoredRefusal>
    refused_at: MaybeDate
    granted_at: MaybeDate
    granted_by: OAuthFlow | null
    refresh_expires_at: MaybeDate
  }
  client_breakers: {
    oauth_client_id: number
    asked: Generated<number>
    asked_at: MaybeDate
    last_ok_at: MaybeDate
    opened_at: MaybeDate
    open_until: MaybeDate
    probes: Generated<number>
    probe_account_id: number | null
    flag: string | null
    scope: string | null
    persistence: string | null
    evidence: string | null
  }
  sign_ins: {
    id: Generated<number>
    account_id: number
    kind: SignInKind
    secret_hash: Buffer
    verifier_sealed: string | null
    redirect_uri: string | null
    created_at: Now
    expires_at: Date
    used_at: MaybeDate
    outcome: string | null
  }
}
