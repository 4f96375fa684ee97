// Which language the pages speak, and how they write numbers, sizes, instants and spans in it.

import { createContext, useContext } from 'react'
import { de, type Messages } from './de.ts'
import { en } from './en.ts'

export type { Messages }
export type Language = 'de' | 'en'
export const LANGUAGES: Readonly<Record<Language, Messages>> = { de, en }

export const LanguageContext = createContext<Language>('en')
export const useLanguage = (): Language => useContext(LanguageContext)
export const useT = (): Messages => LANGUAGES[useContext(LanguageContext)]

export const isLanguage = (text: string | null): text is Language => text === 'de' || text === 'en'

export function useFormat() {
  const { locale } = useT()
  return {
    number: (value: number): string => new Intl.NumberFormat(locale).format(value),
    dateTime: (at: string): string =>
      new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeStyle: 'medium' }).format(new Date(at)),
    day: (at: string): string => new Intl.DateTimeFormat(locale, { dateStyle: 'medium' }).format(new Date(at)),
    time: (at: string | Date): string => new Intl.DateTimeFormat(locale, { timeStyle: 'medium' }).format(new Date(at)),
    hour: (at: string): string =>
      new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }).format(new Date(at)),
    bytes: (value: number): string => {
      const units = ['B', 'kB', 'MB', 'GB', 'TB']
      const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(value) / Math.log(1000)))
      const digits = power === 0 ? 0 : 1
      return `${new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value / 1000 ** power)} ${units[power]}`
    },
    /** "vor 5 Min.", "in 2 Tagen" */
    relative: (at: string, now = Date.now()): string => {
      const [unit, value] = inUnit((new Date(at).getTime() - now) / 1000)
      return new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' }).format(value, unit)
    },
    /** "5 Min.", "2 Tage" */
    span: (at: string, now = Date.now()): string => {
      const [unit, value] = inUnit((now - new Date(at).getTime()) / 1000)
      return new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'short' }).format(Math.abs(value))
    },
  }
}

function inUnit(seconds: number): [unit: 'second' | 'minute' | 'hour' | 'day', value: number] {
  const size = Math.abs(seconds)
  if (size < 90) return ['second', Math.round(seconds)]
  if (size < 5400) return ['minute', Math.round(seconds / 60)]
  return size < 129_600 ? ['hour', Math.round(seconds / 3600)] : ['day', Math.round(seconds / 86_400)]
}
