// Row types of the tables and views, as migrations/ makes them. snake_case stays inside this folder.

import type { ColumnType, Generated, GeneratedAlways } from 'kysely'
import type { Direction, Provider } from '../base/failure.ts'
import type { CredentialTables, OAuthFlow } from './schema-credentials.ts'
import type { IncidentTables } from './schema-incidents.ts'
import type { NotifyTables } from './schema-notify.ts'
import type { OutboundTables } from './schema-outbound.ts'
import type { PeopleTables } from './schema-people.ts'
import type { TestTables } from './schema-tests.ts'

type Now = ColumnType<Date, Date | undefined, Date>
type MaybeDate = Date | null
type Json<T> = ColumnType<T | null, string | null, string | null>

export type LaneKind = Direction | 'token' | 'parse'
export type HealthState = 'new' | 'ok' | 'failing' | 'blocked'
export type LedgerState = 'listed' | 'stored' | 'skipped' | 'quarantined' | 'vanished' | 'delete_intent' | 'deleted'
export type GuardState = 'paused' | 'adopt' | 'reimport'
/** Why a send lane rests: its messages per minute, its recipients per day, a server that asked for a pause, the breaker of its host. */
export type RestReason = 'rate' | 'day' | 'pause' | 'host'
export type HostTrouble = 'login' | 'network'
export type MessageKind = 'mail' | 'auto_reply' | 'delivery_report' | 'disposition_report' | 'round_trip'
export type UncertainPolicy = 'retry_once' | 'hold' | 'retry'

/** What the renumbering guard saw. */
export interface GuardFigures {
  listed: number
  unknown: number
  vanished: number
  compared: number
  matched: number
}

export interface Tables
  extends CredentialTables, OutboundTables, IncidentTables, NotifyTables, PeopleTables, TestTables {
  workers: {
    id: Generated<number>
    host: string
    pid: number
    roles: string
    version: string
    started_at: Now
    seen_at: Now
  }
  accounts: {
    id: Generated<number>
    email: string
    label: Generated<string>
    is_default: Generated<boolean>
    provider: Provider
    pop3_host: string | null
    pop3_port: number | null
    pop3_security: 'tls' | 'starttls' | 'none' | null
    pop3_username: string | null
    smtp_host: string | null
    smtp_port: number | null
    smtp_security: 'tls' | 'starttls' | 'none' | null
    smtp_username: string | null
    auth_type: 'password' | 'oauth2'
    oauth_client_id: number | null
    oauth_flow: OAuthFlow | null
    oauth_scope: string | null
    auth_username: string | null
    enabled_receive: Generated<boolean>
    enabled_send: Generated<boolean>
    uncertain_policy: Generated<UncertainPolicy>
    created_at: Now
    updated_at: Now
    max_connections: number | null
    messages_per_minute: number | null
    recipients_per_day: number | null
    recipients_per_message: number | null
    paused_receive_by: ColumnType<string | null, string | null | undefined, string | null>
    paused_receive_reason: ColumnType<string | null, string | null | undefined, string | null>
    paused_receive_at: ColumnType<Date | null, Date | null | undefined, Date | null>
    paused_send_by: ColumnType<string | null, string | null | undefined, string | null>
    paused_send_reason: ColumnType<string | null, string | null | undefined, string | null>
    paused_send_at: ColumnType<Date | null, Date | null | undefined, Date | null>
  }
  lanes: {
    account_id: number
    lane: LaneKind
    due_at: MaybeDate
    dispatched_until: MaybeDate
    parked_until: MaybeDate
    lease_token: string | null
    lease_until: MaybeDate
    lease_worker: number | null
    woken_at: MaybeDate
    switched_off: Generated<boolean>
    rests_until: MaybeDate
    rests_for: RestReason | null
    ready_at: GeneratedAlways<Date | null>
  }
  maildrops: {
    account_id: number
    poll_interval_seconds: Generated<number>
    delete_after_days: number | null
    login_delay_seconds: Generated<number>
    last_poll_at: MaybeDate
    listed_at: MaybeDate
    listed_count: number | null
    listed_size_bytes: number | null
    listed_last_uidl: string | null
    poll_interval_max_seconds: number | null
    current_interval_seconds: number | null
    delete_after_ack: Generated<boolean>
    first_sync: Generated<'all' | 'from_now' | 'last_days'>
    first_sync_days: number | null
    first_sync_done_at: MaybeDate
    max_session_messages: Generated<number>
    max_session_bytes: Generated<number>
    max_message_bytes: Generated<number>
    listed_digest: Buffer | null
    hash_identity: Generated<boolean>
    hash_resume_after: number | null
    guard: GuardState | null
    guard_since: MaybeDate
    guard_figures: Json<GuardFigures>
    freshness_minutes: number | null
    canary_minutes: number | null
    pulse: Generated<string>
  }
  maildrop_uidls: {
    account_id: number
    uidl: string
    ordinal: Generated<number>
    state: LedgerState
    size_bytes: number
    sha256: Buffer | null
    message_id: number | null
    reason: string | null
    attempts: Generated<number>
    stored_at: MaybeDate
    deleted_at: MaybeDate
    listed_at: Now
    retry_at: MaybeDate
    gone_at: MaybeDate
    fingerprint: Buffer | null
    oversize: Generated<boolean>
  }
  messages: {
    id: Generated<number>
    account_id: number
    received_at: Now
    size_bytes: number
    sha256: Buffer
    internet_message_id: string | null
    date_at: MaybeDate
    from_address: string | null
    from_name: string | null
    to_addresses: string | null
    subject: string | null
    complete: Generated<boolean>
    acknowledged_at: MaybeDate
  }
  message_bodies: { message_id: number; chunk: number; bytes: Buffer }
  message_spools: { message_id: number; account_id: number; started_at: Now }
  parse_queue: {
    message_id: number
    account_id: number
    attempts: Generated<number>
    raised_limits: Generated<boolean>
  }
  message_contents: {
    message_id: number
    account_id: number
    position: number
    state: 'parsed' | 'quarantined'
    reason: string | null
    parsed_at: Now
    kind: Generated<MessageKind>
    thread_id: string | null
    in_reply_to: string | null
    reference_ids: Generated<string[]>
    body_text: string | null
    body_html: string | null
    notes: Generated<string[]>
    search: string | null
  }
  blobs: { id: Generated<number>; sha256: Buffer; size_bytes: number; created_at: Now }
  blob_chunks: { blob_id: number; chunk: number; bytes: Buffer }
  blob_spools: { blob_id: number; started_at: Now }
  attachments: {
    message_id: number
    ordinal: number
    name: string
    content_type: string
    disposition: 'attachment' | 'inline'
    content_id: string | null
    size_bytes: number
    sha256: Buffer
    blob_id: number
  }
  delivery_reports: {
    message_id: number
    ordinal: number
    action: 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded'
    recipient: string
    status: string | null
    diagnostic: string | null
    reporting_mta: string | null
    original_message_id: string | null
    outbound_message_id: number | null
    outbound_ordinal: number | null
    flag: string | null
  }
  host_failures: { host: string; direction: Direction; account_id: number; kind: HostTrouble; at: Date }
  host_breakers: {
    host: string
    direction: Direction
    kind: HostTrouble
    opened_at: Date
    open_until: Date
    probe_account_id: number | null
    probes: Generated<number>
    flag: string
    evidence: string
  }
  account_health: {
    account_id: number
    direction: Direction
    state: Generated<HealthState>
    since: Now
    last_ok_at: MaybeDate
    last_run_at: MaybeDate
    failures: Generated<number>
    first_failure_at: MaybeDate
    probes: Generated<number>
  }
  health_flags: {
    id: Generated<number>
    account_id: number
    direction: Direction
    flag: string
    scope: string
    persistence: string
    stage: string
    evidence: string
    since: Now
    seen_at: Now
    occurrences: Generated<number>
    cleared_at: MaybeDate
  }
  health_events: {
    id: Generated<number>
    account_id: number
    direction: Direction
    at: Now
    from_state: string
    to_state: string
    flag: string | null
    evidence: string | null
  }
  account_status: {
    id: number
    email: string
    label: string
    receive_state: HealthState | 'late' | 'paused' | null
    receive_since: Date
    receive_last_ok_at: MaybeDate
    send_state: HealthState | 'late' | 'paused' | null
    send_since: Date
    send_last_ok_at: MaybeDate
    flags: { flag: string; direction: Direction; since: string; evidence: string }[]
    waiting_count: number
    waiting_oldest_at: MaybeDate
  }
}
