import { describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, later } from '../../../src/base/clock.ts'
import type { ClientEnd, GrantEnd, RunwayReading } from '../../../src/db/runway.ts'
import { calendarOf } from '../../../src/health/ical.ts'
import { runwayLine, runwayOf, runwaySection } from '../../../src/health/runway.ts'

const NOW = new Date('2026-11-26T10:00:00Z')
const inDays = (days: number): Date => later(NOW, days * DAY_MS + HOUR_MS)
const client = (over: Partial<ClientEnd> = {}): ClientEnd => ({
  id: 1,
  label: 'bm_mail',
  clientId: 'c',
  proofKind: 'secret',
  expiresAt: inDays(23),
  accounts: 12,
  ...over,
})
const grant = (over: Partial<GrantEnd> = {}): GrantEnd => ({
  accountId: 7,
  email: 'info@firma.example',
  provider: 'microsoft',
  flow: 'authorization_code',
  grantedBy: 'authorization_code',
  grantedAt: inDays(-200),
  refreshedAt: inDays(-1),
  refreshExpiresAt: null,
  refusedFlag: null,
  refusedAt: null,
  ...over,
})
const reading = (over: Partial<RunwayReading> = {}): RunwayReading => ({
  clients: [],
  grants: [],
  passwordSenders: 0,
  ...over,
})
const of = (over: Partial<RunwayReading>) =>
  runwayOf(reading(over), NOW).map(({ kind, daysLeft, threshold }) => [kind, daysLeft, threshold])

describe('the runway', () => {
  test.each<[string, Partial<RunwayReading>, unknown[]]>([
    ['nothing ends', { grants: [grant()] }, []],
    ['a secret in 23 days', { clients: [client()] }, [['client_secret', 23, 30]]],
    ['a secret in a year', { clients: [client({ expiresAt: inDays(365) })] }, [['client_secret', 365, null]]],
    ['a secret that is over', { clients: [client({ expiresAt: inDays(-3) })] }, [['client_secret', -3, 1]]],
    [
      'a certificate tomorrow',
      { clients: [client({ proofKind: 'certificate', expiresAt: inDays(1) })] },
      [['client_certificate', 1, 1]],
    ],
    ['a secret of which nobody knows', { clients: [client({ expiresAt: null })] }, [['client_unknown', null, null]]],
    [
      'a grant nobody has used for 80 days',
      { grants: [grant({ refreshedAt: inDays(-80) })] },
      [['grant_disuse', 10, 14]],
    ],
    [
      'a grant of Google, unused for 150 days',
      { grants: [grant({ provider: 'google', refreshedAt: inDays(-150) })] },
      [['grant_disuse', 32, 60]],
    ],
    [
      'a grant of a server without such a rule',
      { grants: [grant({ provider: 'generic', refreshedAt: inDays(-900) })] },
      [],
    ],
    [
      'a password has no disuse',
      { grants: [grant({ provider: 'google', flow: 'password', refreshedAt: inDays(-300) })] },
      [],
    ],
    ['an end the provider has told', { grants: [grant({ refreshExpiresAt: inDays(5) })] }, [['grant_end', 5, 7]]],
    [
      'a Google app in testing',
      {
        grants: [
          grant({
            provider: 'google',
            grantedAt: inDays(-9),
            refusedAt: inDays(-2),
            refusedFlag: 'refresh_token_revoked',
          }),
        ],
      },
      [['google_testing', -2, 1]],
    ],
    ['signed in by device code', { grants: [grant({ grantedBy: 'device_code' })] }, [['device_code', null, null]]],
    ['passwords at Microsoft', { grants: [grant({ flow: 'password' })] }, [['password_flow', null, null]]],
    ['sending with a password at Microsoft', { passwordSenders: 3 }, [['calendar', 35, 60]]],
  ])('%s', (_what, over, expected) => {
    expect(of(over)).toEqual(expected)
  })

  test('tells what ends first first, in both languages', () => {
    const items = runwayOf(
      reading({ clients: [client(), client({ id: 2, label: '', expiresAt: inDays(2), accounts: 1 })] }),
      NOW,
    )
    expect(items.map((item) => runwayLine(item, 'de'))).toEqual([
      'Clientschlüssel läuft ab: c, in 2 Tagen (1 Konto)',
      'Clientschlüssel läuft ab: bm_mail, in 23 Tagen (12 Konten)',
    ])
    expect(runwayLine(items[1] ?? items[0]!, 'en')).toBe('Client secret expires: bm_mail, in 23 days (12 accounts)')
    expect(runwaySection(items, 'de').lines).toHaveLength(2)
  })
})

describe('the calendar', () => {
  const items = runwayOf(
    reading({
      clients: [
        client({ label: 'Größe; mit, Komma\\und einem Namen, der so lang ist, dass keine Zeile ihn fassen kann' }),
      ],
    }),
    NOW,
  )
  const text = calendarOf(items, 'de', NOW)

  test('is made of lines no longer than 75 octets that end with CRLF', () => {
    expect(text.endsWith('END:VCALENDAR\r\n')).toBe(true)
    expect(text.split('\r\n').filter((line) => Buffer.byteLength(line) > 75)).toEqual([])
    expect(text.replaceAll('\r\n', '')).not.toMatch(/[\r\n]/)
  })

  test('escapes what would end a value, and says it whole', () => {
    const unfolded = text.replaceAll('\r\n ', '')
    expect(unfolded).toContain('Größe\\; mit\\, Komma\\\\und einem Namen\\, der so lang ist')
    expect(unfolded).toContain('DTSTART;VALUE=DATE:20261219')
    expect(unfolded.match(/BEGIN:VALARM/g)).toHaveLength(3)
  })

  test('knows an event again the next day, and another one after a new secret', () => {
    const uid = (now: Date, expiresAt: Date): string | undefined =>
      /UID:(\S+)/.exec(calendarOf(runwayOf(reading({ clients: [client({ expiresAt })] }), now), 'en', now))?.[1]
    expect(uid(NOW, inDays(23))).toBe(uid(inDays(1), inDays(23)))
    expect(uid(NOW, inDays(23))).not.toBe(uid(NOW, inDays(300)))
  })
})
