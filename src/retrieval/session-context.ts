// What the steps of one session share, and what the session comes to.

import type { CredentialContext } from '../credentials/refresh.ts'
import type { Db, Tx } from '../db/database.ts'
import { holdLease, type Lease } from '../db/lanes.ts'
import type { LedgerKey } from '../db/ledger.ts'
import type { Maildrop, PollTrace } from '../db/maildrops.ts'
import type { PopSession } from '../pop3/session.ts'
import type { MessageStore } from './store-messages.ts'

export interface SessionContext {
  readonly ctx: CredentialContext
  readonly session: PopSession
  readonly lease: Lease
  readonly maildrop: Maildrop
  readonly store: MessageStore
  readonly signal: AbortSignal
  readonly now: Date
}

export interface Received extends Omit<PollTrace, 'currentIntervalSeconds'> {
  readonly deleted: number
  /** The maildrop holds more that is wanted. */
  readonly more: boolean
  /** STAT and the newest UIDL were as they were: nothing was listed. */
  readonly quiet: boolean
  /** The server shows a slice of the maildrop at a time. */
  readonly slices: boolean
  /** Copies here that are not what was received: their originals were not deleted. */
  readonly damaged: readonly LedgerKey[]
}

/** A transaction of its own that writes only while the lease is ours. Throws LeaseLost. */
export async function underLease<T>(
  { ctx, lease }: Pick<SessionContext, 'lease'> & { readonly ctx: { readonly db: Db } },
  write: (tx: Tx, accountId: number) => Promise<T>,
): Promise<T> {
  return await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    return await write(tx, lease.accountId)
  })
}
