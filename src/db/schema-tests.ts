// Row types of connection tests.

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
}
