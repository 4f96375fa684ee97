// Connected, and yet nothing arrives: how much mail should have come since the last one, by what came in the same hours of the last
// four weeks. Nights and weekends are quiet in every week, so they expect nothing. Pure.

import { HOUR_MS, MINUTE_MS } from '../base/clock.ts'

export const WEEKS = 4
export const HOURS_OF_WEEK = 168

/** Of one mailbox. */
export interface Arrivals {
  /** For each hour of the week, in UTC, from Monday 0 o'clock: how many messages came in it, week by week. */
  readonly weekly: ReadonlyMap<number, readonly number[]>
  readonly lastAt: Date
}

export interface Silence {
  readonly usualMs: number
  readonly silentMs: number
}

/** So many should have come by now: with less, chance may be at work. */
const EXPECTED = 15
const SHORTEST_MS = HOUR_MS
/** In fewer messages there is no habit. */
const FEWEST = 100

/** Undefined: nothing unusual, or not known well enough. */
export function silenceOf({ weekly, lastAt }: Arrivals, now: Date): Silence | undefined {
  const silentMs = now.getTime() - lastAt.getTime()
  const total = [...weekly.values()].flat().reduce((sum, n) => sum + n, 0)
  if (silentMs < SHORTEST_MS || total < FEWEST) return undefined
  const rates = Array.from({ length: HOURS_OF_WEEK }, (_, hour) => median(weekly.get(hour) ?? []))
  if (expected(rates, lastAt, now) < EXPECTED) return undefined
  const busy = rates.filter((rate) => rate > 0)
  const perHour = busy.reduce((sum, rate) => sum + rate, 0) / busy.length
  return { usualMs: Math.max(MINUTE_MS, HOUR_MS / perHour), silentMs }
}

export const hourOfWeek = (at: Date): number => ((at.getUTCDay() + 6) % 7) * 24 + at.getUTCHours()

/** Weeks in which nothing came count: a burst in one of them is no habit. */
function median(counts: readonly number[]): number {
  const all = [...counts, ...Array.from({ length: Math.max(0, WEEKS - counts.length) }, () => 0)].toSorted(
    (a, b) => a - b,
  )
  return ((all[1] ?? 0) + (all[2] ?? 0)) / 2
}

function expected(rates: readonly number[], from: Date, to: Date): number {
  let sum = 0
  for (let at = from.getTime(); at < to.getTime() && sum < EXPECTED;) {
    const next = Math.min(to.getTime(), (Math.floor(at / HOUR_MS) + 1) * HOUR_MS)
    sum += ((rates[hourOfWeek(new Date(at))] ?? 0) * (next - at)) / HOUR_MS
    at = next
  }
  return sum
}

/** "usual 20 min, silent 9 h"; where the operator has said what he expects, that. */
export function silenceText(
  silence: Silence | { readonly expectedMs: number; readonly silentMs: number },
  lastAt: Date,
): string {
  const span = (ms: number): string =>
    ms < 90 * MINUTE_MS ? `${Math.round(ms / MINUTE_MS)} min` : `${Math.round(ms / HOUR_MS)} h`
  const usual = 'usualMs' in silence ? `usual ${span(silence.usualMs)}` : `expected every ${span(silence.expectedMs)}`
  return `connected, yet nothing arrives: ${usual}, silent ${span(silence.silentMs)} (last mail ${lastAt.toISOString().slice(0, 16)}Z)`
}
