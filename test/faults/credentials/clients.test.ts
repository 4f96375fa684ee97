// App registrations that many accounts share: what is wrong with one is found out by one account, and is over for all at once.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { HOUR_MS, later, MINUTE_MS } from '../../../src/base/clock.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { submitMessage } from '../../../src/db/submissions.ts'
import { row, sized } from '../../support/figures.ts'
import { outgoingMessage } from '../../support/mail-world.ts'
import { ManualClock, mostWithin } from '../../support/manual-clock.ts'
import { before, CLIENT_ID, withTokens, type TokenLife } from '../../support/token-life.ts'

const QUARTER_MS = 15 * MINUTE_MS

async function submitOne({ house }: TokenLife, email: string): Promise<void> {
  await submitMessage(house.db, {
    account: email,
    envelopeFrom: email,
    recipients: ['kunde@example.test'],
    raw: outgoingMessage(email, 'kunde@example.test', email.replace('@', '-')),
    idempotencyKey: null,
  })
}

const waiting = async ({ house }: TokenLife): Promise<number> =>
  (
    await sql<{ n: number }>`
      select count(*)::int as n from poststelle.outbox where state <> 'sent'`.execute(house.db)
  ).rows[0]?.n ?? 0

row(
  'B10',
  'the secret of an app registration has expired: one account asks for all, and a new secret lets all mail go by itself',
  { fast: true },
  () => {
    const clock = new ManualClock(before(5 * HOUR_MS).getTime())
    return withTokens({ clock, accounts: sized(60, 400) }, async (life) => {
      const { emails, tokens, house, live, grantOf, accountOf, flags } = life
      await live(later(clock.now(), 20 * MINUTE_MS))
      expect(await flags()).toEqual([])
      for (const email of emails) tokens.setAccount({ ...grantOf(email), state: 'client_secret_expired' })
      const expired = tokens.requests.length
      await live(later(clock.now(), 2 * HOUR_MS))
      const asked = tokens.requests.slice(expired).map(({ at }) => at.getTime())
      expect(mostWithin(asked, QUARTER_MS)).toBeLessThanOrEqual(3)
      expect(asked.length).toBeGreaterThan(1)
      const raised = await flags()
      expect(new Set(raised.map(({ flag }) => flag))).toEqual(new Set(['client_secret_expired']))
      expect(new Set(raised.map(({ account_id: account }) => account)).size).toBe(emails.length)
      // one cause, told once
      await reconcileIncidents(house.db)
      await reconcileIncidents(house.db)
      const { rows: incidents } = await sql`
        select i.flag, i.accounts_now as accounts, (select count(*)::int from poststelle.incident_events e where e.incident_id = i.id) as events
        from poststelle.incidents i where closed_at is null`.execute(house.db)
      expect(incidents).toEqual([{ flag: 'client_secret_expired', accounts: emails.length, events: 1 }])
      for (const email of emails) await submitOne(life, email)

      // a secret that is wrong again costs no more
      const [first = ''] = emails
      for (const email of emails) tokens.setAccount({ ...grantOf(email), clientSecret: 'Sandbox~Secret~3' })
      const wrong = tokens.requests.length
      clock.turnTo(new Date())
      await house.importAccounts([accountOf(first, { client_secret: 'Sandbox~Secret~2' })])
      await life.work(async () => (await flags()).some(({ flag }) => flag === 'client_secret_invalid'))
      expect(tokens.requests.length - wrong).toBeLessThanOrEqual(3)

      const begun = performance.now()
      await house.importAccounts([accountOf(first, { client_secret: 'Sandbox~Secret~3' })])
      let firstSentMs = 0
      await life.work(async () => {
        const left = await waiting(life)
        if (left < emails.length && firstSentMs === 0) firstSentMs = performance.now() - begun
        return left === 0
      })
      const seconds = ((performance.now() - begun) / 1000).toFixed(1)
      expect(await flags()).toEqual([])
      expect(life.smtp.seen.taken).toHaveLength(emails.length)
      return `${emails.length} accounts: ${asked.length} token requests in 2 h, at most ${mostWithin(asked, QUARTER_MS)} in 15 min; incidents 1, notices 1; first mail ${(firstSentMs / 1000).toFixed(1)} s after the new secret, all after ${seconds} s, lost 0`
    })
  },
)

row(
  'B7',
  'a token endpoint that says when to come back is left alone until then, by every account',
  { fast: true },
  () => {
    const clock = new ManualClock()
    return withTokens({ clock, accounts: sized(20, 200), expiresInSeconds: 600 }, async ({ tokens, live, flags }) => {
      await live(later(clock.now(), MINUTE_MS))
      const far = later(clock.now(), HOUR_MS)
      tokens.setFault(CLIENT_ID, {
        status: 429,
        body: JSON.stringify({
          error: 'temporarily_unavailable',
          error_description: 'AADSTS90055: The request was throttled.',
        }),
        headers: { 'retry-after': '1200' },
      })
      const throttled = tokens.requests.length
      await live(far)
      const limited = tokens.requests.slice(throttled).map(({ at }) => at.getTime())
      // 3 that were under way together, then one in 20 minutes
      expect(limited.length).toBeLessThanOrEqual(3 + 3)
      tokens.setFault(CLIENT_ID, { status: 503, body: '<html>Service unavailable</html>' })
      const broken = tokens.requests.length
      await live(later(far, HOUR_MS))
      const calls = tokens.requests.slice(broken).map(({ at }) => at.getTime())
      expect(mostWithin(calls, HOUR_MS)).toBeLessThanOrEqual(12)
      tokens.clearFault(CLIENT_ID)
      await live(later(far, 2 * HOUR_MS))
      expect(await flags()).toEqual([])
      return `429 with Retry-After 20 min: ${limited.length} calls in an hour; 503: ${calls.length} calls in an hour; open flags after it 0`
    })
  },
)
