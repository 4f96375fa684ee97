// What a refusal that asks us to slow down teaches the governor: fewer connections, fewer messages, a pause. Pure.

import { exponential } from '../base/backoff.ts'
import { later, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { LearnedLimit, SendBudget } from '../db/budgets.ts'
import { LAST_DAY, LAST_MINUTE } from './governor.ts'
import { configuredLimits, limitsNow, LONGEST_PAUSE_MS, pausedUntil } from './limits.ts'
import { sumOf } from './tally.ts'

const CONNECTIONS = new Set(['smtp_concurrency_limited'])
const RATE = new Set(['smtp_rate_limited', 'smtp_login_throttled'])
const QUOTA = new Set(['sending_quota_exceeded', 'tenant_external_recipient_limit'])
const TRANSACTION = new Set(['recipient_limit_exceeded'])

/** The sender is asked to slow down: neither the message nor the health of the lane pays for it. */
export const isThrottling = ({ flag }: Failure): boolean => CONNECTIONS.has(flag) || RATE.has(flag) || QUOTA.has(flag)

/** Where no rate was set and nothing was counted, a server is not asked for more than that. */
const SENSIBLE_RATE = 30
const SENSIBLE_CONNECTIONS = 5
const SENSIBLE_RECIPIENTS = 100
const RATE_PAUSE_MS = MINUTE_MS
const CONNECTION_PAUSE_MS = 30 * SECOND_MS
const LONGEST_DOUBLED_MS = 15 * MINUTE_MS
const QUOTA_PAUSE_MS = LONGEST_PAUSE_MS
/** A pause that begins later than that after the one before is a first one again. */
const QUIET_MS = 15 * MINUTE_MS
/** The connections of one lane are refused in one breath: that teaches one thing. */
const SAME_BREATH_MS = 30 * SECOND_MS
/** A day limit is believed where we sent a fair part of it: others may send through the same mailbox. */
const PLAUSIBLE_RECIPIENTS = 50
const PLAUSIBLE_SHARE = 0.1

export interface Lesson {
  readonly budget: SendBudget
  /** Nothing is sent before; null: it goes on, with less. */
  readonly pausedUntil: Date | null
}

/**
 * undefined: the failure says nothing of our pace. `acceptedRecipients`: of the transaction that was refused for its number of them.
 */
export function learn(
  before: SendBudget,
  failure: Failure,
  now: Date,
  about: { acceptedRecipients?: number } = {},
): Lesson | undefined {
  const { flag } = failure
  const limits = limitsNow(before, now)
  if (TRANSACTION.has(flag)) {
    if (sameBreath(before.learned.recipientsPerMessage, now)) return { budget: before, pausedUntil: null }
    const base = Math.min(limits.recipientsPerMessage, 2 * SENSIBLE_RECIPIENTS)
    const value = Math.max(1, about.acceptedRecipients ?? Math.floor(base / 2))
    return { budget: withLearned(before, 'recipientsPerMessage', value, now), pausedUntil: null }
  }
  if (!isThrottling(failure)) return undefined
  // what was under way when the pause began is refused for the same reason
  if (pausedUntil(before, now)) return pause(before, failure, now, 0)
  if (CONNECTIONS.has(flag)) {
    if (sameBreath(before.learned.connections, now)) return { budget: before, pausedUntil: null }
    const connections = Math.min(limits.connections, SENSIBLE_CONNECTIONS)
    const budget = withLearned(before, 'connections', Math.max(1, connections - 1), now)
    // others use the mailbox too
    return connections === 1 ? pause(budget, failure, now, CONNECTION_PAUSE_MS) : { budget, pausedUntil: null }
  }
  if (RATE.has(flag)) {
    const base = limits.messagesPerMinute < Infinity ? limits.messagesPerMinute : sentLastMinute(before, now)
    return pause(withLearned(before, 'messagesPerMinute', Math.max(1, base / 2), now), failure, now, RATE_PAUSE_MS)
  }
  const reached = sumOf(before.recipientsByHour, LAST_DAY, now)
  const { recipientsPerDay } = configuredLimits(before)
  const fair = recipientsPerDay < Infinity ? recipientsPerDay * PLAUSIBLE_SHARE : 0
  const plausible = reached >= Math.max(PLAUSIBLE_RECIPIENTS, fair)
  const budget = plausible ? withLearned(before, 'recipientsPerDay', reached, now) : before
  return pause(budget, failure, now, QUOTA_PAUSE_MS)
}

const sentLastMinute = (budget: SendBudget, now: Date): number =>
  sumOf(budget.messagesBySecond, LAST_MINUTE, now) || SENSIBLE_RATE

const sameBreath = (learned: LearnedLimit | null, now: Date): boolean =>
  learned !== null && now.getTime() - learned.at.getTime() < SAME_BREATH_MS

const withLearned = (budget: SendBudget, name: keyof SendBudget['learned'], value: number, now: Date): SendBudget => ({
  ...budget,
  learned: { ...budget.learned, [name]: { value, at: now } },
})

/** For as long as the server asks, but no longer than an hour: after that it is asked again. One that is under way is not cut short. */
function pause(before: SendBudget, { flag, evidence, verdict }: Failure, now: Date, firstMs: number): Lesson {
  const underWay = pausedUntil(before, now)
  const repeated = before.pause !== null && Math.abs(now.getTime() - before.pause.until.getTime()) < QUIET_MS
  const pauses = underWay ? before.pauses : repeated ? before.pauses + 1 : 1
  const ms = Math.min(
    LONGEST_PAUSE_MS,
    Math.max(verdict.retryAfterMs ?? 0, exponential(pauses, firstMs, Math.max(firstMs, LONGEST_DOUBLED_MS))),
  )
  const until = later(now, ms)
  if (underWay && underWay >= until) return { budget: before, pausedUntil: underWay }
  return { budget: { ...before, pauses, pause: { until, flag, evidence } }, pausedUntil: until }
}
