// A destination that defers one recipient after the other is asked less often, so that its mail does not take the pace of the
// others. Pure.

import { later, MINUTE_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'

export interface Slowness {
  /** Deferrals in a row. */
  readonly failures: number
  /** null: not slow yet. */
  readonly until: Date | null
}

export type DestinationOutcome = 'accepted' | 'deferred'

/** A new recipient may be greylisted, and the next one as well. */
const SLOW_AFTER = 3
const WAITS_MS = [1, 2, 5, 15, 60].map((minutes) => minutes * MINUTE_MS)
const LONGEST_WAIT_MS = 60 * MINUTE_MS

/** undefined: it is not slow, and nothing is to be remembered. */
export function slowDown(before: Slowness | undefined, outcome: DestinationOutcome, now: Date): Slowness | undefined {
  if (outcome === 'accepted') return undefined
  // what was on its way when the wait began; a longer wait than any was begun by a clock that was wrong
  if (before?.until && before.until > now && before.until <= later(now, LONGEST_WAIT_MS)) return before
  const failures = (before?.failures ?? 0) + 1
  if (failures < SLOW_AFTER) return { failures, until: null }
  const waitMs = WAITS_MS[Math.min(failures - SLOW_AFTER, WAITS_MS.length - 1)] ?? 0
  return { failures, until: later(now, waitMs) }
}

/** What the server's answer to one recipient says of its destination; undefined: nothing. */
export function destinationOutcome(accepted: boolean, failure: Failure | undefined): DestinationOutcome | undefined {
  if (accepted) return 'accepted'
  if (failure?.verdict.scope !== 'recipient') return undefined
  return failure.verdict.persistence === 'transient' ? 'deferred' : undefined
}
