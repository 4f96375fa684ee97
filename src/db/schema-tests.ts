// Row types of connection tests and round trips.

import type { ColumnType, Generated } from 'kysely'

export interface TestTables {
  account_tests: {
    id: Generated<number>
    account_id: number
    at: ColumnType<Date, Date | undefined, Date>
    outcome: 'passed' | 'failed' | 'incomplete'
    steps: ColumnType<unknown, string, string>
    tried_receive: Generated<boolean>
    tried_send: Generated<boolean>
  }
  round_trips: {
    id: Generated<number>
    account_id: number
    outbound_id: number
    subject: string
    started_at: ColumnType<Date, Date | undefined, Date>
    inbound_id: number | null
    arrived_at: ColumnType<Date | null, Date | null | undefined, Date | null>
  }
}
