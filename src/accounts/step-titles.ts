// What the steps of a connection test are called, in German and English.

import type { Language } from '../health/phrases.ts'
import type { StepName, StepReport } from './probe-steps.ts'

const TITLES: Readonly<Record<StepName, Readonly<Record<Language, string>>>> = {
  inputs: { de: 'Eingaben prüfen', en: 'Check the inputs' },
  resolve: { de: 'Namen auflösen', en: 'Resolve the name' },
  connect: { de: 'Verbinden', en: 'Connect' },
  encrypt: { de: 'Verschlüsseln', en: 'Encrypt' },
  greeting: { de: 'Begrüßung und Fähigkeiten', en: 'Greeting and capabilities' },
  token_endpoint: { de: 'Token-Endpunkt fragen', en: 'Ask the token endpoint' },
  token: { de: 'Token holen', en: 'Get a token' },
  login_pop3: { de: 'Anmelden (POP3)', en: 'Log in (POP3)' },
  maildrop: { de: 'Postfach ansehen', en: 'Look at the maildrop' },
  read_one: { de: 'Eine Nachricht lesen', en: 'Read one message' },
  login_smtp: { de: 'Anmelden (SMTP)', en: 'Log in (SMTP)' },
  envelope: { de: 'Absender und Empfänger prüfen', en: 'Try sender and recipient' },
  round_trip: { de: 'Rundlauf', en: 'Round trip' },
}

export const stepTitle = ({ name }: Pick<StepReport, 'name'>, language: Language): string => TITLES[name][language]
