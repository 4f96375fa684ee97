// Row types of the outbound half: messages and their attempts, budgets, events, and the installation that guards them.

import type { ColumnType, Generated, GeneratedAlways } from 'kysely'
import type { Provider } from '../base/failure.ts'

type Now = ColumnType<Date, Date | undefined, Date>
type MaybeDate = Date | null

export type OutboundState =
  | 'scheduled'
  | 'queued'
  | 'sending'
  | 'deferred'
  | 'held'
  | 'uncertain'
  | 'sent'
  | 'partial'
  | 'failed'
  | 'expired'
  | 'bounced'
  | 'cancelled'
export type RecipientState = 'pending' | 'accepted' | 'deferred' | 'rejected' | 'bounced'
export type AttemptOutcome = 'sent' | 'partial' | 'failed' | 'deferred' | 'uncertain' | 'returned'
export type OutboundEvent =
  | 'deferred'
  | 'delayed'
  | 'uncertain'
  | 'sent'
  | 'partial'
  | 'failed'
  | 'expired'
  | 'bounced'
  | 'cancelled'
  | 'held'
  | 'released'
export type FenceReason = 'place' | 'epoch' | 'manual'

export interface StoredAddress {
  address: string
  name?: string
}

/** What submit_parts keeps of a message until it is composed: checked, without Bcc, attachments without their bytes. */
export interface StoredParts {
  from: StoredAddress
  reply_to?: StoredAddress
  to: StoredAddress[]
  cc: StoredAddress[]
  subject?: string
  text?: string
  html?: string
  headers: Record<string, string>
  attachments: {
    filename?: string
    content_type: string
    content_id?: string
    disposition?: 'attachment' | 'inline'
    size_bytes: number
  }[]
}

export interface OutboundTables {
  send_presets: {
    provider: Provider
    max_connections: number
    messages_per_minute: number
    recipients_per_day: number
    recipients_per_message: number
  }
  send_budgets: {
    id: Generated<number>
    account_id: number | null
    oauth_client_id: number | null
    messages_by_second: Generated<Record<string, number>>
    recipients_by_hour: Generated<Record<string, number>>
    learned_connections: number | null
    connections_learned_at: MaybeDate
    learned_messages_per_minute: number | null
    messages_per_minute_learned_at: MaybeDate
    learned_recipients_per_day: number | null
    recipients_per_day_learned_at: MaybeDate
    learned_recipients_per_message: number | null
    recipients_per_message_learned_at: MaybeDate
    paused_until: MaybeDate
    pause_flag: string | null
    pause_evidence: string | null
    pauses: Generated<number>
    idle_until: MaybeDate
    idle_worker: number | null
  }
  slow_destinations: { account_id: number; domain: string; failures: number; until: MaybeDate }
  outbound_messages: {
    id: Generated<number>
    account_id: number
    state: Generated<OutboundState>
    hold_reason: string | null
    envelope_from: string
    internet_message_id: string
    subject: string | null
    /** Null until the message was composed; so is sha256. */
    size_bytes: number | null
    sha256: Buffer | null
    idempotency_key: string | null
    request_sha256: Buffer
    priority: Generated<number>
    created_at: Now
    next_attempt_at: MaybeDate
    expires_at: Date
    attempts: Generated<number>
    repeated: Generated<boolean>
    finished_at: MaybeDate
    last_reply: string | null
    last_flag: string | null
  }
  outbound_bodies: { message_id: number; chunk: number; bytes: Buffer }
  outbound_drafts: { message_id: number; dated_at: Date; parts: ColumnType<StoredParts, string, string> }
  outbound_draft_attachments: { message_id: number; ordinal: number; chunk: number; bytes: Buffer }
  outbound_recipients: {
    message_id: number
    ordinal: number
    address: string
    state: Generated<RecipientState>
    reply_code: number | null
    enhanced_code: string | null
    reply: string | null
    flag: string | null
    updated_at: Now
  }
  delivery_attempts: {
    message_id: number
    number: number
    started_at: Now
    phase: Generated<'claimed' | 'handing_over' | 'done'>
    finished_at: MaybeDate
    outcome: AttemptOutcome | null
    step: string | null
    reply: string | null
    flag: string | null
    transcript: string | null
  }
  outbound_events: {
    id: GeneratedAlways<number>
    position: number | null
    at: Now
    account_id: number
    message_id: number
    event: OutboundEvent
    state: OutboundState
    ordinal: number | null
    recipient: string | null
    reply: string | null
    flag: string | null
    attempts: number
  }
  installation: {
    one: Generated<boolean>
    id: Generated<string>
    epoch: Generated<number>
    place: string
    fenced_at: MaybeDate
    fence_reason: FenceReason | null
  }
}
