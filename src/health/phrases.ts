// Numbers and spans of time as people read them, in German and English. A span stands behind "seit" or "nach". Pure.

import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../base/clock.ts'

export const LANGUAGES = ['de', 'en'] as const
export type Language = (typeof LANGUAGES)[number]

const LOCALES: Record<Language, string> = { de: 'de-DE', en: 'en-GB' }

export const number = (value: number, language: Language): string =>
  new Intl.NumberFormat(LOCALES[language]).format(value)

export const counted = (value: number, one: string, many: string, language: Language): string =>
  `${number(value, language)} ${value === 1 ? one : many}`

const UNITS: readonly { ms: number; de: readonly [string, string]; en: readonly [string, string] }[] = [
  { ms: DAY_MS, de: ['Tag', 'Tagen'], en: ['day', 'days'] },
  { ms: HOUR_MS, de: ['Std.', 'Std.'], en: ['h', 'h'] },
  { ms: MINUTE_MS, de: ['Min.', 'Min.'], en: ['min', 'min'] },
  { ms: SECOND_MS, de: ['Sek.', 'Sek.'], en: ['s', 's'] },
]

/** "40 Sek.", "12 Min.", "5 Std.", "9 Tagen". A unit is used from its double on. */
export function span(ms: number, language: Language): string {
  const unit = UNITS.find(({ ms: size }) => ms >= size * 2) ?? UNITS.at(-1)
  return unit ? inUnit(Math.max(0, Math.round(ms / unit.ms)), unit, language) : ''
}

/** "3 Std. 12 Min.": the two largest units. */
export function preciseSpan(ms: number, language: Language): string {
  const at = UNITS.findIndex(({ ms: size }) => ms >= size)
  const [large, small] = at < 0 ? UNITS.slice(-1) : UNITS.slice(at, at + 2)
  if (!large) return ''
  const whole = Math.floor(ms / large.ms)
  const rest = small ? Math.floor((ms - whole * large.ms) / small.ms) : 0
  const first = inUnit(Math.max(0, whole), large, language)
  return small && rest > 0 ? `${first} ${inUnit(rest, small, language)}` : first
}

const inUnit = (value: number, unit: (typeof UNITS)[number], language: Language): string =>
  counted(value, unit[language][0], unit[language][1], language)

/** Yesterday at five in the afternoon, where this machine stands. */
export const yesterdayEvening = (now: Date): Date => new Date(now.getFullYear(), now.getMonth(), now.getDate() - 1, 17)
