// The figures of `status`: read from the same view that applications use, so that everybody sees the same.

import type { Direction } from '../base/failure.ts'
import type { Db } from './database.ts'

export interface LampStatus {
  readonly state: string
  readonly since: Date
  readonly lastOkAt: Date | null
}

export interface AccountStatus {
  readonly id: number
  readonly email: string
  readonly label: string
  /** null: the account has no such direction. */
  readonly receive: LampStatus | null
  readonly send: LampStatus | null
  readonly flags: readonly { flag: string; direction: Direction; since: Date; evidence: string }[]
  readonly waiting: { readonly count: number; readonly oldestAt: Date | null }
}

export async function accountStatuses(db: Db): Promise<AccountStatus[]> {
  const rows = await db.selectFrom('account_status').selectAll().orderBy('email').execute()
  const lamp = (state: string | null, since: Date, lastOkAt: Date | null): LampStatus | null =>
    state === null ? null : { state, since, lastOkAt }
  return rows.map((row) => ({
    id: row.id,
    email: row.email,
    label: row.label,
    receive: lamp(row.receive_state, row.receive_since, row.receive_last_ok_at),
    send: lamp(row.send_state, row.send_since, row.send_last_ok_at),
    flags: row.flags.map((flag) => ({ ...flag, since: new Date(flag.since) })),
    waiting: { count: row.waiting_count, oldestAt: row.waiting_oldest_at },
  }))
}
