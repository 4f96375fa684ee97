// When a maildrop is polled next. Pure.

import { jitter } from '../base/backoff.ts'
import { later, SECOND_MS } from '../base/clock.ts'

export interface IntervalPolicy {
  readonly pollIntervalSeconds: number
  /** Set: adaptive, between pollIntervalSeconds and this. */
  readonly pollIntervalMaxSeconds: number | null
}

export interface SessionEnd {
  /** Mail was stored. */
  readonly busy: boolean
  /** The server holds more, known by the listing or to be expected, because it shows a slice at a time. */
  readonly more: boolean
}

export interface NextPoll {
  readonly at: Date
  /** What the adaptive interval has become; null where it is fixed. */
  readonly currentSeconds: number | null
}

const GROWTH = 1.5

/**
 * Never before the floor: the provider's, or the LOGIN-DELAY that the server announces (RFC 2449 section 6.5), also where more
 * mail is waiting. `random` in [0, 1) spreads the polls by up to a tenth.
 */
export function nextPoll(
  policy: IntervalPolicy,
  current: number | null,
  floorSeconds: number,
  end: SessionEnd,
  now: Date,
  random: number,
): NextPoll {
  const { pollIntervalSeconds: fast, pollIntervalMaxSeconds: slow } = policy
  const grown = Math.round((current ?? fast) * GROWTH)
  const currentSeconds = slow === null || slow <= fast ? null : end.busy || end.more ? fast : Math.min(slow, grown)
  const seconds = Math.max(floorSeconds, end.more ? 0 : (currentSeconds ?? fast))
  return { at: later(now, jitter(seconds * SECOND_MS * 1.06, 0.05, random)), currentSeconds }
}
