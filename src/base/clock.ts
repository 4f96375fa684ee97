// Time as an argument: whoever computes with time gets a clock, so that tests can turn it.

import { setTimeout as pause } from 'node:timers/promises'

export interface Clock {
  now(): Date
}

export const systemClock: Clock = { now: () => new Date() }

/** A clock that goes with another one, by so much ahead of this machine's. */
export const shiftedClock = (aheadMs: number): Clock => ({ now: () => new Date(Date.now() + aheadMs) })

export const SECOND_MS = 1_000
export const MINUTE_MS = 60 * SECOND_MS
export const HOUR_MS = 60 * MINUTE_MS
export const DAY_MS = 24 * HOUR_MS

/** Undefined where the calendar has no such day, which Date takes for one of the next month, or the day no such time. */
export function instant(day: string, time: string, zone: string): Date | undefined {
  const [midnight, at] = [new Date(`${day}T00:00Z`), new Date(`${day}T${time}${zone}`)]
  if (Number.isNaN(midnight.getTime()) || Number.isNaN(at.getTime())) return undefined
  return midnight.toISOString().startsWith(day) ? at : undefined
}

export const later = (from: Date, ms: number): Date => new Date(from.getTime() + ms)

/** Waits no longer than that; what fails meanwhile was on its way out anyway. */
export async function atMost(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController()
  await Promise.race([
    work.catch(() => undefined),
    pause(ms, undefined, { signal: timer.signal }).catch(() => undefined),
  ])
  timer.abort()
}
