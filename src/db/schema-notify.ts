// Row types of those who are told, and of what they are told.

import type { ColumnType, Generated } from 'kysely'

type MaybeDate = ColumnType<Date | null, Date | null | undefined, Date | null>
type MaybeText = ColumnType<string | null, string | null | undefined, string | null>

export const NOTIFY_KINDS = ['webhook', 'mail', 'command', 'heartbeat'] as const
export type NotifyKind = (typeof NOTIFY_KINDS)[number]

export interface NotifyTables {
  notify_targets: {
    id: Generated<number>
    kind: NotifyKind
    label: string
    address: string
    secret_sealed: MaybeText
    previous_secret_sealed: MaybeText
    previous_secret_until: MaybeDate
    settings: ColumnType<Record<string, unknown>, string | undefined, string>
    events: string[]
    language: Generated<'de' | 'en'>
    patience_minutes: Generated<number>
    digest: Generated<boolean>
    digest_on: ColumnType<string | null, string | null | undefined, string | null>
    enabled: Generated<boolean>
    disabled_reason: MaybeText
    incident_cursor: number
    outbox_cursor: number
    inbox_cursor: number
    last_ok_at: MaybeDate
    last_error: MaybeText
    last_error_at: MaybeDate
    created_at: ColumnType<Date, Date | undefined, Date>
  }
  notify_deliveries: {
    id: Generated<number>
    target_id: number
    type: string
    payload: ColumnType<Record<string, unknown>, string, string>
    state: Generated<'waiting' | 'delivered' | 'dropped' | 'failed'>
    attempts: Generated<number>
    created_at: ColumnType<Date, Date | undefined, Date>
    next_attempt_at: ColumnType<Date, Date | undefined, Date>
    finished_at: MaybeDate
    last_status: ColumnType<number | null, number | null | undefined, number | null>
    last_error: MaybeText
  }
}
