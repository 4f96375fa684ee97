// Grants of accounts that nobody uses for more than a year: refreshed on purpose, through lost answers, outages and two processes.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { DAY_MS, later } from '../../../src/base/clock.ts'
import { refreshUnderLease } from '../../../src/credentials/refresh.ts'
import { openDatabase } from '../../../src/db/database.ts'
import { row, sized } from '../../support/figures.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { mulberry32 } from '../../support/random.ts'
import { before, withTokens } from '../../support/token-life.ts'

const DAYS = 400
const OUTAGE_DAYS = sized(1, 7)

interface Year {
  readonly tenant: string
  /** What may happen to an answer of this server without the grant being lost for good. */
  readonly lostAnswers: boolean
  readonly paused?: boolean
}

async function live({ tenant, lostAnswers, paused = false }: Year): Promise<string> {
  const clock = new ManualClock(before(DAYS * DAY_MS).getTime())
  const random = mulberry32(tenant.length)
  // access tokens that live long keep the number of refreshes small
  return await withTokens(
    { clock, tenant, flow: 'refresh_token', accounts: sized(1, 3), expiresInSeconds: sized(20, 1) * 86_400 },
    async ({ house, tokens, emails, nextAt, id, flags }) => {
      if (paused)
        await sql`update poststelle.accounts set enabled_receive = false, enabled_send = false`.execute(house.db)
      const other = openDatabase(house.database.url, { max: 2 })
      const begun = clock.now()
      const end = later(begun, DAYS * DAY_MS)
      const outage = { from: later(begun, 100 * DAY_MS), to: later(begun, (100 + OUTAGE_DAYS) * DAY_MS) }
      let [lost, processes] = [0, 0]
      try {
        const due = new Map<string, Date>()
        for (const email of emails) due.set(email, await nextAt(email))
        for (;;) {
          const [email, at] = [...due].reduce((first, next) => (next[1] < first[1] ? next : first))
          if (at >= end) break
          clock.turnTo(at)
          if (at > outage.from && at < outage.to) tokens.answerNext({ cut: 'before' })
          else if (lostAnswers && random() < 0.1) {
            tokens.answerNext({ cut: 'after' })
            lost += 1
          }
          const db = random() < 0.5 ? house.db : other.db
          processes += db === other.db ? 1 : 0
          await refreshUnderLease({ ...house, db }, await house.lease(id(email), 'token'))
          due.set(email, await nextAt(email))
        }
        clock.turnTo(end)
        // whoever is asked for mail now gets a token
        for (const email of emails) await refreshUnderLease(house, await house.lease(id(email), 'token'))
        expect(await flags()).toEqual([])
        const perDay = tokens.requests.length / emails.length / DAYS
        expect(perDay).toBeLessThan(24)
        return `${tenant}${paused ? ' (switched off)' : ''}: ${tokens.requests.length} requests of ${emails.length} accounts, answers lost ${lost}, grants lost 0`
      } finally {
        await other.close()
      }
    },
  )
}

row('P7', '400 days idle: no grant is lost, whatever becomes of answers', { fast: true }, async () => {
  const years: Year[] = [
    { tenant: 'contoso.example', lostAnswers: true },
    { tenant: 'google', lostAnswers: true },
    // a lost answer of this one is the end of the grant, with every client
    { tenant: 'generic', lostAnswers: false },
    { tenant: 'contoso.example', lostAnswers: true, paused: true },
  ]
  const figures: string[] = []
  for (const year of years) figures.push(await live(year))
  return `${DAYS} days, an outage of ${OUTAGE_DAYS} d: ${figures.join('; ')}`
})
