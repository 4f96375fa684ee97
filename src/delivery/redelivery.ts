// When a deferred message is tried again. Pure.

import { jitter } from '../base/backoff.ts'
import { HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { EVIDENCE_WAIT_SECONDS } from '../db/outbound.ts'

const FIRST_STEPS_MS = [5 * MINUTE_MS, 10 * MINUTE_MS, 20 * MINUTE_MS, 40 * MINUTE_MS]
/** Tries 5 to 10 are an hour apart, later ones four hours. */
const HOURLY_UNTIL_ATTEMPT = 10
const SPREAD = 0.2
const HINT_MIN_MS = MINUTE_MS
const HINT_MAX_MS = 4 * HOUR_MS

export const EVIDENCE_WAIT_MS = EVIDENCE_WAIT_SECONDS * SECOND_MS

/** `attempts` counts from 1; a wait the server asked for (greylisting) is honoured within 1 minute to 4 hours. */
export function nextAttempt(attempts: number, now: Date, options: { retryAfterMs?: number; random: number }): Date {
  if (options.retryAfterMs !== undefined) {
    return later(now, Math.min(HINT_MAX_MS, Math.max(HINT_MIN_MS, options.retryAfterMs)) + options.random * MINUTE_MS)
  }
  const step = FIRST_STEPS_MS[attempts - 1] ?? (attempts <= HOURLY_UNTIL_ATTEMPT ? HOUR_MS : 4 * HOUR_MS)
  return later(now, jitter(step, SPREAD, options.random))
}
