// Row types of operators, their sessions, tokens of programs, the audit log, and runs over many messages.

import type { ColumnType, Generated } from 'kysely'

type Now = ColumnType<Date, Date | undefined, Date>
type MaybeDate = ColumnType<Date | null, Date | null | undefined, Date | null>

export const ROLES_OF_PEOPLE = ['reader', 'operator', 'admin'] as const
export type PersonRole = (typeof ROLES_OF_PEOPLE)[number]
export type ActorKind = 'operator' | 'token' | 'command' | 'system' | 'nobody'

export interface PeopleTables {
  operators: {
    id: Generated<number>
    name: string
    role: PersonRole
    may_read_mail: Generated<boolean>
    password_hash: ColumnType<string | null, string | null | undefined, string | null>
    totp_sealed: ColumnType<string | null, string | null | undefined, string | null>
    totp_confirmed_at: MaybeDate
    totp_step: ColumnType<number | null, number | null | undefined, number | null>
    language: ColumnType<'de' | 'en' | null, 'de' | 'en' | null | undefined, 'de' | 'en' | null>
    created_at: Now
    last_login_at: MaybeDate
    disabled_at: MaybeDate
  }
  invitations: {
    id: Generated<number>
    token_hash: Buffer
    operator_id: number | null
    created_at: Now
    expires_at: Date
    used_at: MaybeDate
  }
  sessions: {
    id: Generated<number>
    token_hash: Buffer
    operator_id: number
    created_at: Now
    seen_at: Now
    expires_at: Date
    ended_at: MaybeDate
    ip: string
    user_agent: string
  }
  login_failures: {
    key: string
    count: number
    seen_at: Date
    blocked_until: MaybeDate
  }
  api_tokens: {
    id: Generated<number>
    label: string
    token_hash: Buffer
    prefix: string
    role: PersonRole
    may_read_mail: Generated<boolean>
    may_send: Generated<boolean>
    created_by: string
    created_at: Now
    expires_at: MaybeDate
    last_used_at: MaybeDate
    revoked_at: MaybeDate
  }
  audit_log: {
    id: Generated<number>
    at: Now
    actor_kind: ActorKind
    actor: string
    ip: string | null
    action: string
    object: Generated<string>
    details: ColumnType<Record<string, unknown>, string | undefined, never>
    reason: string | null
    previous_hash: ColumnType<Buffer, undefined, never>
    hash: ColumnType<Buffer, undefined, never>
  }
  bulk_runs: {
    id: Generated<number>
    change: string
    ids: number[]
    filter: string
    started_by: string
    started_at: Now
    done: Generated<number>
    changed: Generated<number>
    refused: ColumnType<Record<string, number>, string | undefined, string>
    stop_asked: Generated<boolean>
    finished_at: MaybeDate
    error: ColumnType<string | null, string | null | undefined, string | null>
  }
}
