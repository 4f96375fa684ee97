// In which language a visitor is answered.

import { LANGUAGES, type Language } from '../health/phrases.ts'

/** As asked for, else the first of the browser's languages that we speak, else German. */
export function chooseLanguage(asked: string | undefined, accepted = ''): Language {
  const wanted = [asked ?? '', ...accepted.split(',').map((part) => part.trim().slice(0, 2).toLowerCase())]
  return wanted.flatMap((name) => LANGUAGES.find((language) => language === name) ?? [])[0] ?? 'de'
}
