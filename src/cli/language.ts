// The language of answers for people: as asked for, else as the system is set.

import { Option, type Command } from 'commander'
import { LANGUAGES, type Language } from '../health/verdict.ts'

export interface LanguageOption {
  readonly lang?: Language
}

export const addLanguageOption = (command: Command): Command =>
  command.addOption(
    new Option('--lang <language>', 'language of the answer (default: as the system is set)').choices([...LANGUAGES]),
  )

export const chosenLanguage = ({ lang }: LanguageOption): Language =>
  lang ?? (Intl.DateTimeFormat().resolvedOptions().locale.startsWith('de') ? 'de' : 'en')
