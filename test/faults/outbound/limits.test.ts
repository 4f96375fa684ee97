// A provider that admits only so many connections, messages per minute, and recipients per day: slower, and nothing refused for good.

import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { MINUTE_MS } from '../../../src/base/clock.ts'
import { row, sized } from '../../support/figures.ts'
import { mostWithin } from '../../support/manual-clock.ts'
import { withOutbound, type Outbound } from '../../support/outbound.ts'
import { UNHARMED } from '../../support/outbound-oracle.ts'
import type { SmtpScript } from '../../support/scripted-smtp.ts'
import { openSendRig } from '../../support/send-kills.ts'

const EXTENSIONS = ['PIPELINING', '8BITMIME', 'AUTH PLAIN LOGIN']
const TOO_MANY = {
  raw: '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending for more information.\r\n',
  end: 'close',
} as const

/** Nobody has attempts on record that counted and were not the last. */
async function noneCounted({ house }: Outbound, id: number): Promise<void> {
  const { rows } = await sql<{ attempts: number; state: string }>`select attempts, state from poststelle.outbox
    where account_id = ${id} and (attempts > 1 or state not in ('sent', 'queued', 'held'))`.execute(house.db)
  expect(rows).toEqual([])
}

row(
  'C11',
  'more than three connections are refused with 432: fewer are used, nothing fails, no attempt counts',
  { fast: true },
  () =>
    withOutbound({}, async (outbound) => {
      const count = sized(200, 1_000)
      let refused = 0
      let most = 0
      const lane = await outbound.sender({
        extensions: EXTENSIONS,
        answer: (command) => {
          const { open } = lane.server.seen
          if (!command.startsWith('AUTH')) return undefined
          if (open > 3) refused += 1
          else most = Math.max(most, open)
          return open > 3 ? TOO_MANY : undefined
        },
        // slow enough that more connections would be faster
        before: (command) => (command === '.' ? pause(5) : undefined),
      })
      for (let n = 0; n < count; n++) await lane.submit(String(n))
      const begun = performance.now()
      let turns = 0
      for (; (await lane.states())['sent'] !== count; turns++) {
        expect(turns).toBeLessThan(50)
        await lane.drain()
        await noneCounted(outbound, lane.id)
        await waitIsOver(outbound)
        await lane.unpark()
      }
      for (let n = 0; n < count; n++) expect(lane.copies(String(n))).toBe(1)
      const seconds = (performance.now() - begun) / 1000
      return `sent ${count} of ${count} over at most ${most} connections, ${Math.round(count / seconds)} messages/s; connections refused ${refused}, attempts counted for that 0`
    }),
)

const PER_MINUTE = 30

/** Takes so many messages in any minute, and refuses the others at MAIL. */
function paced(): { script: SmtpScript; taken: number[]; refused: () => number } {
  const taken: number[] = []
  let refused = 0
  const answer = (command: string): string | undefined => {
    if (!command.startsWith('MAIL')) return undefined
    const now = Date.now()
    if (taken.filter((at) => at > now - MINUTE_MS).length < PER_MINUTE) {
      taken.push(now)
      return undefined
    }
    refused += 1
    return '451 4.7.500 Server busy. Please try again later'
  }
  return { script: { extensions: EXTENSIONS, answer }, taken, refused: () => refused }
}

row(
  'C11b',
  'thirty messages a minute: kept to by itself, nothing fails, no attempt counts',
  { fast: false },
  async () => {
    const count = 75
    const { script, taken, refused } = paced()
    const rig = await openSendRig({ accounts: 1, script })
    try {
      await sql`update poststelle.accounts set provider = 'microsoft'`.execute(rig.database.db)
      await rig.submit(count)
      await rig.start()
      const begun = performance.now()
      while (rig.server.seen.taken.length < count) {
        expect(performance.now() - begun).toBeLessThan(10 * MINUTE_MS)
        await pause(100)
      }
      const minutes = (performance.now() - begun) / MINUTE_MS
      const found = await rig.settle()
      expect(found).toMatchObject({ ...UNHARMED, sent: count, uncertain: 0 })
      const { rows } = await sql`select id from poststelle.outbound_messages where attempts <> 1`.execute(
        rig.database.db,
      )
      expect(rows).toEqual([])
      expect(refused()).toBeLessThanOrEqual(count / 10)
      // two full minutes, and what goes out at once at their ends
      expect(minutes).toBeLessThan(4)
      return `${count} messages in ${minutes.toFixed(1)} min, in any minute at most ${mostWithin(taken, MINUTE_MS)} of ${PER_MINUTE}; refused ${refused()}, failed 0, attempts counted for that 0`
    } finally {
      await rig.close()
    }
  },
)

const PER_DAY = 25
const QUOTA =
  '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message due to a permanent exception with message The message can not be submitted because the sender submission quota was exceeded.'

row(
  'C11c',
  'the quota of the day is used up and refused with 554: the rest waits for the next day, nothing fails',
  { fast: true },
  () =>
    withOutbound({}, async (outbound) => {
      const count = 60
      let today = 0
      let refused = 0
      const lane = await outbound.sender({
        extensions: EXTENSIONS,
        answer: (command) => {
          if (command !== '.') return undefined
          if (today < PER_DAY) return void (today += 1)
          refused += 1
          return QUOTA
        },
      })
      for (let n = 0; n < count; n++) await lane.submit(String(n))
      const perDay: number[] = []
      for (let day = 1; (await lane.states())['sent'] !== count; day++) {
        expect(day).toBeLessThanOrEqual(3)
        today = 0
        await lane.drain()
        await noneCounted(outbound, lane.id)
        perDay.push(today)
        await waitIsOver(outbound)
        await lane.makeDue()
      }
      expect(perDay).toEqual([25, 25, 10])
      for (let n = 0; n < count; n++) expect(lane.copies(String(n))).toBe(1)
      // no more than what was under way at once
      expect(refused).toBeLessThanOrEqual(10)
      return `sent ${count} of ${count} in days of ${perDay.join(', ')}; refused ${refused}, failed 0, attempts counted for that 0`
    }),
)

/** What was learned of the provider's limits has passed, as a day passes. */
async function waitIsOver({ house }: Outbound): Promise<void> {
  await sql`update poststelle.send_budgets set paused_until = null, pause_flag = null, learned_recipients_per_day = null,
    recipients_per_day_learned_at = null, recipients_by_hour = '{}'`.execute(house.db)
  await sql`update poststelle.lanes set rests_until = null, rests_for = null`.execute(house.db)
}
