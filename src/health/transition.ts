// How an outcome changes the health of a lane. Pure: values in, values out.

import { exponential, jitter, probeDelayMs } from '../base/backoff.ts'
import { HOUR_MS, later, MINUTE_MS } from '../base/clock.ts'
import type { Verdict } from '../base/failure.ts'

export type LaneState = 'new' | 'ok' | 'failing' | 'blocked'

export interface LaneHealth {
  readonly state: LaneState
  readonly since: Date
  readonly lastOkAt: Date | null
  readonly failures: number
  readonly firstFailureAt: Date | null
  /**
   * Refused logins since the last success. Where somebody must act it is at once LOGIN_FAILURES_UNTIL_PARKED; from there on the
   * lane is in slow probes, and every further one counts. Trouble of other kinds leaves it as it is: no login was refused, but
   * none has succeeded either.
   */
  readonly probes: number
}

export type LaneOutcome =
  | { readonly kind: 'ok' }
  | { readonly kind: 'failed'; readonly verdict: Verdict; readonly atLogin: boolean }

export interface Transition {
  readonly health: LaneHealth
  /** The system keeps the lane parked until then; null: not parked. */
  readonly parkedUntil: Date | null
}

/** Three failures in a row make a lane failing; so do 30 minutes of failures. */
const FAILURES_UNTIL_FAILING = 3
const FAILING_AFTER_MS = 30 * MINUTE_MS
/** After that many refused logins the breaker opens, whatever their cause: we never lock an account. */
const LOGIN_FAILURES_UNTIL_PARKED = 3

const RETRY_FIRST_MS = 10_000
const RETRY_MAX_MS = 15 * MINUTE_MS

/** The way to the server, or we ourselves, failed: nothing was learnt about the account. */
export const isPassing = ({ scope }: Verdict): boolean => scope === 'network' || scope === 'service'

/** `random` in [0, 1) spreads the waits. */
export function transition(before: LaneHealth, outcome: LaneOutcome, now: Date, random: number): Transition {
  if (outcome.kind === 'ok') {
    return {
      health: {
        state: 'ok',
        since: before.state === 'ok' ? before.since : now,
        lastOkAt: now,
        failures: 0,
        firstFailureAt: null,
        probes: 0,
      },
      parkedUntil: null,
    }
  }
  const { verdict } = outcome
  const failures = before.failures + 1
  const firstFailureAt = before.firstFailureAt ?? now
  const needsHuman = verdict.persistence === 'human'
  const loginRefused = outcome.atLogin && !isPassing(verdict)
  const counted = before.probes + (needsHuman || loginRefused ? 1 : 0)
  const probes = needsHuman ? Math.max(counted, LOGIN_FAILURES_UNTIL_PARKED) : counted
  const slow = (needsHuman || loginRefused) && probes >= LOGIN_FAILURES_UNTIL_PARKED
  // trouble on the way says nothing about what a human still has to do
  const state: LaneState =
    needsHuman || (before.state === 'blocked' && isPassing(verdict))
      ? 'blocked'
      : failures >= FAILURES_UNTIL_FAILING || now.getTime() - firstFailureAt.getTime() >= FAILING_AFTER_MS
        ? 'failing'
        : before.state === 'blocked'
          ? 'failing'
          : before.state
  const waitMs = Math.max(
    verdict.retryAfterMs ?? 0,
    jitter(
      slow ? probeDelayMs(probes - LOGIN_FAILURES_UNTIL_PARKED) : exponential(failures, RETRY_FIRST_MS, RETRY_MAX_MS),
      0.1,
      random,
    ),
  )
  return {
    health: {
      state,
      since: state === before.state ? before.since : now,
      lastOkAt: before.lastOkAt,
      failures,
      firstFailureAt,
      probes,
    },
    parkedUntil: later(now, Math.min(waitMs, 24 * HOUR_MS)),
  }
}
