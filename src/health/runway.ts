// What ends, and when: days left of secrets, certificates and grants, ways of signing in on their way out, and dates of the providers.
// Pure. Lifetimes: learn.microsoft.com "Refresh tokens" (90 days of disuse), developers.google.com "OAuth 2.0" (six months; seven days
// for apps in testing).

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { DAY_MS, HOUR_MS, later } from '../base/clock.ts'
import type { GrantEnd, RunwayReading } from '../db/runway.ts'
import type { Language } from './phrases.ts'

export const THRESHOLDS = [60, 30, 14, 7, 1] as const
const DISUSE_DAYS = { microsoft: 90, google: 182, generic: undefined } as const
/** Grants are refreshed all the time: only one that is not is worth a line. */
const DISUSE_SHOWN_DAYS = 60
const TESTING_DAYS = 7
const TESTING_SPREAD_MS = 12 * HOUR_MS

type Words = Readonly<Record<Language, string>>

export type RunwayKind =
  | 'client_secret'
  | 'client_certificate'
  | 'client_unknown'
  | 'grant_end'
  | 'grant_disuse'
  | 'google_testing'
  | 'device_code'
  | 'password_flow'
  | 'calendar'

export interface RunwayItem {
  readonly kind: RunwayKind
  /** Stays the same from day to day. */
  readonly key: string
  readonly subject: string
  /** null: nobody knows, or it has no day. */
  readonly endsAt: Date | null
  /** Whole days; negative where it is over. */
  readonly daysLeft: number | null
  /** The smallest threshold that is reached. */
  readonly threshold: number | null
  readonly accounts: number
  readonly title: Words
  readonly remedy: Words
}

const entry = z.strictObject({
  name: z.string(),
  ends_on: z.iso.date(),
  verified_on: z.iso.date(),
  concerns: z.enum(['password_senders']),
  de: z.strictObject({ title: z.string(), remedy: z.string() }),
  en: z.strictObject({ title: z.string(), remedy: z.string() }),
})
const calendar = z.array(entry).parse(JSON.parse(readFileSync(path.join(import.meta.dirname, 'calendar.json'), 'utf8')))

const NEW_SECRET: Words = {
  de: 'Neuen Clientschlüssel erstellen und mit „poststelle client set-secret“ eintragen; er wird vorher geprüft.',
  en: 'Create a new client secret and give it by “poststelle client set-secret”; it is proven before.',
}
const SIGN_IN: Words = {
  de: 'Neu anmelden: poststelle account sign-in.',
  en: 'Sign in again: poststelle account sign-in.',
}

/** What ends first, first; what has no day last. */
export function runwayOf(reading: RunwayReading, now: Date): RunwayItem[] {
  const items = [
    ...clientItems(reading, now),
    ...reading.grants.flatMap((grant) => grantItems(grant, now)),
    ...groups(reading, now),
  ]
  const at = ({ endsAt }: RunwayItem): number => endsAt?.getTime() ?? Infinity
  return items.toSorted((a, b) => at(a) - at(b) || a.key.localeCompare(b.key))
}

function clientItems({ clients }: RunwayReading, now: Date): RunwayItem[] {
  return clients.map(({ id, label, clientId, proofKind, expiresAt, accounts }) => {
    const subject = label === '' ? clientId : label
    if (expiresAt === null)
      return item('client_unknown', `client:${id}`, subject, null, accounts, now, {
        title: { de: 'Ablauf des Clientschlüssels nicht bekannt', en: 'Expiry of the client secret not known' },
        remedy: { de: 'Datum eintragen: poststelle client expires.', en: 'Tell the date: poststelle client expires.' },
      })
    const isCertificate = proofKind === 'certificate'
    return item(
      isCertificate ? 'client_certificate' : 'client_secret',
      `client:${id}`,
      subject,
      expiresAt,
      accounts,
      now,
      {
        title: isCertificate
          ? { de: 'Zertifikat der App läuft ab', en: 'Certificate of the app expires' }
          : { de: 'Clientschlüssel läuft ab', en: 'Client secret expires' },
        remedy: NEW_SECRET,
      },
    )
  })
}

function grantItems(grant: GrantEnd, now: Date): RunwayItem[] {
  const { accountId, email, provider, flow, grantedAt, refreshedAt, refreshExpiresAt } = grant
  const key = `grant:${accountId}`
  if (isTesting(grant))
    return [
      item('google_testing', key, email, grant.refusedAt, 1, now, {
        title: {
          de: 'Google-App im Testmodus: Anmeldung endet nach 7 Tagen',
          en: 'Google app in testing: sign-ins end after 7 days',
        },
        remedy: {
          de: 'Die App in der Google Cloud Console veröffentlichen, dann neu anmelden.',
          en: 'Publish the app in the Google Cloud console, then sign in again.',
        },
      }),
    ]
  if (refreshExpiresAt)
    return [
      item('grant_end', key, email, refreshExpiresAt, 1, now, {
        title: { de: 'Anmeldung endet', en: 'Sign-in ends' },
        remedy: SIGN_IN,
      }),
    ]
  const days = DISUSE_DAYS[provider]
  const usedAt = refreshedAt ?? grantedAt
  const rests = flow === 'refresh_token' || flow === 'authorization_code' || flow === 'device_code'
  if (!rests || days === undefined || !usedAt) return []
  const endsAt = later(usedAt, days * DAY_MS)
  if (endsAt.getTime() - now.getTime() > DISUSE_SHOWN_DAYS * DAY_MS) return []
  return [
    item('grant_disuse', key, email, endsAt, 1, now, {
      title: { de: 'Anmeldung verfällt, weil sie nicht benutzt wird', en: 'Sign-in lapses because it is not used' },
      remedy: {
        de: 'Läuft der Dienst? Sonst neu anmelden: poststelle account sign-in.',
        en: 'Does the service run? Otherwise sign in again: poststelle account sign-in.',
      },
    }),
  ]
}

/** Died a week after it was given, to the hour: the pattern of an app that was never published. */
function isTesting({ grantedAt, refusedAt, refusedFlag, flow }: GrantEnd): boolean {
  if (!grantedAt || !refusedAt || refusedFlag !== 'refresh_token_revoked' || flow === 'password') return false
  const lived = refusedAt.getTime() - grantedAt.getTime()
  return Math.abs(lived - TESTING_DAYS * DAY_MS) <= TESTING_SPREAD_MS
}

function groups({ grants, passwordSenders }: RunwayReading, now: Date): RunwayItem[] {
  const devices = grants.filter(({ grantedBy }) => grantedBy === 'device_code')
  const passwords = grants.filter(({ flow, provider }) => flow === 'password' && provider === 'microsoft')
  const items: RunwayItem[] = []
  if (devices.length > 0)
    items.push(
      item('device_code', 'device_code', subjectOf(devices), null, devices.length, now, {
        title: {
          de: 'Mit Gerätecode angemeldet: kann jederzeit gesperrt werden',
          en: 'Signed in by device code: may be blocked any day',
        },
        remedy: {
          de: 'Im Browser neu anmelden: poststelle account sign-in.',
          en: 'Sign in by browser instead: poststelle account sign-in.',
        },
      }),
    )
  if (passwords.length > 0)
    items.push(
      item('password_flow', 'password_flow', subjectOf(passwords), null, passwords.length, now, {
        title: {
          de: 'Anmeldung mit Kennwort am Token-Endpunkt ist veraltet',
          en: 'Sign-in with a password at the token endpoint is outdated',
        },
        remedy: {
          de: 'Auf authorization_code oder client_credentials umstellen.',
          en: 'Change to authorization_code or client_credentials.',
        },
      }),
    )
  if (passwordSenders > 0)
    for (const { name, ends_on: day, de, en } of calendar)
      items.push(
        item('calendar', name, `${passwordSenders}`, new Date(`${day}T23:59:59Z`), passwordSenders, now, {
          title: { de: de.title, en: en.title },
          remedy: { de: de.remedy, en: en.remedy },
        }),
      )
  return items
}

const subjectOf = (grants: readonly GrantEnd[]): string =>
  grants.length === 1 ? (grants[0]?.email ?? '') : `${grants.length}`

function item(
  kind: RunwayKind,
  key: string,
  subject: string,
  endsAt: Date | null,
  accounts: number,
  now: Date,
  words: { title: Words; remedy: Words },
): RunwayItem {
  const daysLeft = endsAt && Math.floor((endsAt.getTime() - now.getTime()) / DAY_MS)
  const threshold = daysLeft === null ? null : (THRESHOLDS.toReversed().find((days) => daysLeft <= days) ?? null)
  return { kind, key, subject, endsAt, daysLeft, threshold, accounts, ...words }
}

/** "Client secret expires: bm_mail, in 23 days (12 accounts)". */
export function runwayLine({ title, subject, endsAt, daysLeft, accounts }: RunwayItem, language: Language): string {
  const german = language === 'de'
  const name = /^\d+$/.test(subject) ? '' : `: ${subject}`
  const when =
    endsAt === null || daysLeft === null
      ? ''
      : daysLeft < 0
        ? german
          ? `, seit ${-daysLeft} ${daysLeft === -1 ? 'Tag' : 'Tagen'} vorbei`
          : `, over for ${-daysLeft} ${daysLeft === -1 ? 'day' : 'days'}`
        : german
          ? `, in ${daysLeft} ${daysLeft === 1 ? 'Tag' : 'Tagen'}`
          : `, in ${daysLeft} ${daysLeft === 1 ? 'day' : 'days'}`
  const many = german
    ? `${accounts} ${accounts === 1 ? 'Konto' : 'Konten'}`
    : `${accounts} ${accounts === 1 ? 'account' : 'accounts'}`
  return `${title[language]}${name}${when} (${many})`
}

/** For `status`: what ends within sixty days. */
export function runwaySection(
  items: readonly RunwayItem[],
  language: Language,
): { title: string; lines: readonly string[] } {
  return {
    title: language === 'de' ? 'LÄUFT AB' : 'EXPIRES',
    lines: items
      .filter(({ threshold }) => threshold !== null)
      .map((one) => `${runwayLine(one, language)}. ${one.remedy[language]}`),
  }
}
