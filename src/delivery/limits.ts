// The limits now in force for a mailbox or an app registration: as configured, or lower where a server said so; what was learned
// rises again by itself. Pure. Infinity stands for no limit.

import { DAY_MS, HOUR_MS, MINUTE_MS } from '../base/clock.ts'
import type { LearnedLimit, SendBudget } from '../db/budgets.ts'

export interface Limits {
  readonly connections: number
  readonly messagesPerMinute: number
  readonly recipientsPerDay: number
  readonly recipientsPerMessage: number
}

/**
 * External recipients that Exchange Online lets a tenant reach in 24 hours (tenant external recipient rate limit):
 * 500 * licences^0.7 + 9500.
 */
export const tenantRecipientsPerDay = (licences: number): number => Math.round(500 * licences ** 0.7 + 9_500)

const configured = (limit: number | null): number => (limit === null || limit === 0 ? Infinity : limit)

/** As set, or by the provider's preset. */
export function configuredLimits({ settings }: Pick<SendBudget, 'settings'>): Limits {
  const { licences } = settings
  return {
    connections: configured(settings.connections),
    messagesPerMinute: configured(settings.messagesPerMinute),
    recipientsPerDay:
      settings.recipientsPerDay === null && licences !== null
        ? tenantRecipientsPerDay(licences)
        : configured(settings.recipientsPerDay),
    recipientsPerMessage: configured(settings.recipientsPerMessage),
  }
}

const RATE_STEP_MS = 15 * MINUTE_MS
const RATE_GROWTH = 1.5
const CONNECTION_STEP_MS = 30 * MINUTE_MS
/** Where nothing is configured, a learned limit that has risen so far is none. */
const NO_RATE = 1_000
const NO_CONNECTIONS = 20

const age = (learned: LearnedLimit, now: Date): number => Math.max(0, now.getTime() - learned.at.getTime())
const steps = (learned: LearnedLimit, now: Date, stepMs: number): number => Math.floor(age(learned, now) / stepMs)

/** What is left of a learned limit after a while; Infinity where it is forgotten. */
const grown: Record<keyof Limits, (learned: LearnedLimit, now: Date) => number> = {
  messagesPerMinute: (learned, now) => {
    const rate = learned.value * RATE_GROWTH ** Math.min(100, steps(learned, now, RATE_STEP_MS))
    return rate >= NO_RATE ? Infinity : rate
  },
  connections: (learned, now) => {
    const connections = learned.value + steps(learned, now, CONNECTION_STEP_MS)
    return connections >= NO_CONNECTIONS ? Infinity : connections
  },
  recipientsPerDay: (learned, now) => (age(learned, now) >= DAY_MS ? Infinity : learned.value),
  recipientsPerMessage: (learned, now) => (age(learned, now) >= DAY_MS ? Infinity : learned.value),
}

export function limitsNow(budget: Pick<SendBudget, 'settings' | 'learned'>, now: Date): Limits {
  const set = configuredLimits(budget)
  const lower = (name: keyof Limits): number => {
    const learned = budget.learned[name]
    return learned === null ? set[name] : Math.min(set[name], grown[name](learned, now))
  }
  return {
    connections: lower('connections'),
    messagesPerMinute: lower('messagesPerMinute'),
    recipientsPerDay: lower('recipientsPerDay'),
    recipientsPerMessage: lower('recipientsPerMessage'),
  }
}

/** No pause is longer: then the server is asked again. */
export const LONGEST_PAUSE_MS = HOUR_MS

/** null: not paused. One that is longer than any was begun by a clock that was wrong. */
export function pausedUntil({ pause }: Pick<SendBudget, 'pause'>, now: Date): Date | null {
  const leftMs = pause ? pause.until.getTime() - now.getTime() : 0
  return pause && leftMs > 0 && leftMs <= LONGEST_PAUSE_MS + MINUTE_MS ? pause.until : null
}
