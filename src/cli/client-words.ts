// What the commands of `poststelle client` say, in German and English.

import { DAY_MS } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { ClientDetails } from '../db/client-secrets.ts'
import type { ProofKind } from '../db/schema-credentials.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'

export const HEAD: Readonly<Record<Language, readonly string[]>> = {
  de: ['ID', 'APP-REGISTRIERUNG', 'KONTEN', 'NACHWEIS', 'LÄUFT AB', 'ZUSTAND'],
  en: ['ID', 'APP REGISTRATION', 'ACCOUNTS', 'PROOF', 'EXPIRES', 'STATE'],
}

const PROOFS: Readonly<Record<ProofKind, Readonly<Record<Language, string>>>> = {
  none: { de: 'keiner (öffentlich)', en: 'none (public)' },
  secret: { de: 'Clientschlüssel', en: 'client secret' },
  certificate: { de: 'Zertifikat', en: 'certificate' },
  service_account: { de: 'Dienstkonto', en: 'service account' },
}

const nameOf = ({ label, clientId }: ClientDetails): string => (label === '' ? clientId : `${label} (${clientId})`)

export function expiryText(expiresAt: Date | null, language: Language, now: Date): string {
  if (!expiresAt) return language === 'de' ? 'nicht bekannt' : 'not known'
  const days = Math.floor((expiresAt.getTime() - now.getTime()) / DAY_MS)
  const day = expiresAt.toLocaleDateString(language === 'de' ? 'de-DE' : 'en-GB', {
    timeZone: 'UTC',
    dateStyle: 'medium',
  })
  if (days < 0) return language === 'de' ? `${day} (abgelaufen)` : `${day} (expired)`
  return language === 'de'
    ? `${day} (in ${days} ${days === 1 ? 'Tag' : 'Tagen'})`
    : `${day} (in ${days} ${days === 1 ? 'day' : 'days'})`
}

export function clientRow(client: ClientDetails, language: Language, now: Date): string[] {
  const { breaker, next, proofKind } = client
  const state = breaker ? `${explain(breaker.flag, language).label} [${breaker.flag}]` : 'ok'
  const waits = language === 'de' ? 'nächster Schlüssel wartet' : 'next secret waits'
  return [
    String(client.id),
    nameOf(client),
    String(client.accounts),
    PROOFS[proofKind][language],
    proofKind === 'none' ? '–' : expiryText(client.secretExpiresAt, language, now),
    next ? `${state}, ${waits}` : state,
  ]
}

export function clientText(client: ClientDetails, fingerprint: string | null, language: Language, now: Date): string {
  const german = language === 'de'
  const { next, breaker } = client
  const lines: [string, string][] = [
    [german ? 'App-Registrierung' : 'App registration', nameOf(client)],
    [german ? 'Token-Endpunkt' : 'Token endpoint', client.tokenEndpoint],
    [german ? 'Konten' : 'Accounts', String(client.accounts)],
    [german ? 'Nachweis' : 'Proof', PROOFS[client.proofKind][language]],
  ]
  if (fingerprint !== null) {
    lines.push([german ? 'Fingerabdruck' : 'Fingerprint', fingerprint])
    lines.push([german ? 'Läuft ab' : 'Expires', expiryText(client.secretExpiresAt, language, now)])
  }
  if (next) {
    const refused = next.evidence === null ? '' : `: ${next.evidence}`
    const state =
      next.state === 'waiting' ? (german ? 'wartet' : 'waits') : german ? `abgelehnt${refused}` : `refused${refused}`
    lines.push([german ? 'Nächster' : 'Next', `${PROOFS[next.kind][language]}, ${state}`])
  }
  if (breaker)
    lines.push([
      german ? 'Abgelehnt' : 'Refused',
      `${explain(breaker.flag, language).label} [${breaker.flag}]: ${breaker.evidence}`,
    ])
  const width = Math.max(...lines.map(([title]) => title.length))
  return lines.map(([title, text]) => `${title.padEnd(width)}  ${text}\n`).join('')
}

export const promotedText = (client: ClientDetails, accounts: number, language: Language): string =>
  language === 'de'
    ? `${nameOf(client)}: Der neue Nachweis ist geprüft und in Gebrauch, für ${accounts} ${accounts === 1 ? 'Konto' : 'Konten'}.\n`
    : `${nameOf(client)}: the new secret is proven and in use, for ${accounts} ${accounts === 1 ? 'account' : 'accounts'}.\n`

export const waitingText = (client: ClientDetails, language: Language): string =>
  language === 'de'
    ? `${nameOf(client)}: Der neue Nachweis wartet. Er wird versucht, sobald der jetzige abgelehnt wird.\n`
    : `${nameOf(client)}: the new secret waits. It is tried as soon as the current one is refused.\n`

export function refusedText(client: ClientDetails, { flag, evidence }: Failure, language: Language): string {
  const { label, meaning, steps } = explain(flag, language)
  const head =
    language === 'de'
      ? `${nameOf(client)}: Der neue Nachweis wurde abgelehnt; der jetzige bleibt in Gebrauch.`
      : `${nameOf(client)}: the new secret was refused; the current one stays in use.`
  return `${head}\n${label} [${flag}]: ${evidence}\n${meaning}\n${steps.map((step) => `- ${step}\n`).join('')}`
}

export function unprovenText(client: ClientDetails, failure: Failure | undefined, language: Language): string {
  const why = failure ? ` ${explain(failure.flag, language).label} [${failure.flag}]: ${failure.evidence}` : ''
  return language === 'de'
    ? `${nameOf(client)}: Der neue Nachweis konnte nicht geprüft werden und wartet.${why}\n`
    : `${nameOf(client)}: the new secret could not be proven, and waits.${why}\n`
}
