// Instants as people write them in options and filters: a day, an instant, or so long ago. Pure.

import { DAY_MS, HOUR_MS, instant, later } from '../base/clock.ts'

/** An instant, or a time before now. */
export type When = (now: Date) => Date

const UNIT_MS: Readonly<Record<string, number>> = { h: HOUR_MS, d: DAY_MS, w: 7 * DAY_MS }
const midnight = (now: Date, daysAgo: number): Date =>
  new Date(now.getFullYear(), now.getMonth(), now.getDate() - daysAgo)
const DAYS: Readonly<Record<string, number>> = { today: 0, heute: 0, yesterday: 1, gestern: 1 }

/** Undefined where nobody can read it. German days may be written as 23.11.2026. */
export function parseWhen(text: string): When | undefined {
  const [, count, unit = ''] = /^(\d{1,4})([hdw])$/.exec(text) ?? []
  if (count !== undefined) return (now) => later(now, -Number(count) * (UNIT_MS[unit] ?? 0))
  const daysAgo = DAYS[text.toLowerCase()]
  if (daysAgo !== undefined) return (now) => midnight(now, daysAgo)
  const [, dd, mm, yyyy] = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(text) ?? []
  const plain = dd && mm && yyyy ? `${yyyy}-${mm.padStart(2, '0')}-${dd.padStart(2, '0')}` : text
  const [, day = '', time = '00:00', zone = 'Z'] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(plain) ?? []
  const at = instant(day, time, zone)
  return at && (() => at)
}
