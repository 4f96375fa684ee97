// Row types of incidents: one cause over many accounts.

import type { ColumnType, Generated } from 'kysely'
import type { Direction } from '../base/failure.ts'

type Now = ColumnType<Date, Date | undefined, Date>
type MaybeDate = Date | null

export type SubjectKind = 'account' | 'client' | 'tenant' | 'host' | 'network' | 'service'
export type IncidentEventKind = 'opened' | 'grew' | 'closed' | 'merged'

export interface IncidentTables {
  incidents: {
    id: Generated<number>
    cause: string
    subject_kind: SubjectKind
    subject_key: string
    subject: string
    flag: string
    scope: string
    persistence: string
    evidence: string
    opened_at: Date
    gone_at: MaybeDate
    closed_at: MaybeDate
    merged_into: number | null
    accounts_now: number
    accounts_most: number
    accounts_told: number
    told_at: Now
    waiting_now: Generated<number>
    waiting_most: Generated<number>
    oldest_waiting_at: MaybeDate
  }
  incident_accounts: {
    incident_id: number
    account_id: number
    direction: Direction
    joined_at: Now
    left_at: MaybeDate
  }
  incident_events: {
    id: Generated<number>
    incident_id: number
    at: Now
    event: IncidentEventKind
    accounts: number
    waiting: number
    lasted_seconds: number | null
    sent_since: number | null
  }
  incident_status: {
    id: number
    flag: string
    scope: string
    persistence: string
    subject_kind: SubjectKind
    subject: string
    opened_at: Date
    gone_at: MaybeDate
    closed_at: MaybeDate
    merged_into: number | null
    accounts: number
    accounts_most: number
    waiting: number
    waiting_most: number
    oldest_waiting_at: MaybeDate
    evidence: string
  }
}
