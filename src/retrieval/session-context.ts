// What the steps of one session share, and what the session comes to.

import type { CredentialContext } from '../credentials/context.ts'
import type { Lease } from '../db/lanes.ts'
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
