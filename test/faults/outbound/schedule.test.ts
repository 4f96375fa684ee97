// Refused for now, again and again: when it is tried, and when it is given up.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../../src/base/clock.ts'
import { row } from '../../support/figures.ts'
import { withOutbound, type Outbound, type Sender } from '../../support/outbound.ts'

/** As docs/outbound.md says: minutes until the next attempt, by the number of attempts made. */
const scheduledMinutes = (attempts: number): number => [5, 10, 20, 40][attempts - 1] ?? (attempts <= 10 ? 60 : 240)

/** As if so much time had gone by. */
async function age({ house }: Outbound, id: number, ms: number): Promise<void> {
  await sql`update poststelle.outbound_messages set created_at = created_at - ${ms} * interval '1 millisecond',
    expires_at = expires_at - ${ms} * interval '1 millisecond', next_attempt_at = next_attempt_at - ${ms} * interval '1 millisecond'
    where id = ${id}`.execute(house.db)
  // what is known of slow destinations has aged as well
  await sql`update poststelle.slow_destinations set until = until - ${ms} * interval '1 millisecond'`.execute(house.db)
}

/** Tries when the message says so, until it is not tried any more. Returns the waits before attempts 2, 3, ... in minutes. */
async function untilGivenUp(outbound: Outbound, sender: Sender, id: number): Promise<number[]> {
  const waits: number[] = []
  let made = 0
  for (;;) {
    const before = Date.now()
    await sender.drain()
    const { next_attempt_at: at, attempts } = await sender.row(id)
    if (!at) return waits
    expect(waits.length).toBeLessThan(80)
    const minutes = (at.getTime() - before) / MINUTE_MS
    // put off without an attempt: its destination is known as slow
    if (attempts === made) waits.push((waits.pop() ?? 0) + minutes)
    else waits.push(minutes)
    made = attempts
    await age(outbound, id, at.getTime() - before)
  }
}

row('C9', 'refused for now for five days and an hour: tried on the schedule, then expired', { fast: true }, () =>
  withOutbound({}, async (outbound) => {
    const busy = await outbound.sender({ answer: (c) => (c.startsWith('RCPT') ? '451 4.3.0 try later' : undefined) })
    const id = await busy.submit('eins')
    const waits = await untilGivenUp(outbound, busy, id)
    const { state, attempts, last_reply } = await busy.row(id)
    expect([state, attempts]).toEqual(['expired', waits.length])
    expect(last_reply).toContain('451 4.3.0')
    expect(await busy.recipients(id)).toMatchObject([{ state: 'deferred', reply_code: 451 }])
    const totalMs = waits.reduce((sum, wait) => sum + wait * MINUTE_MS, 0)
    expect(totalMs).toBeGreaterThan(5 * DAY_MS - MINUTE_MS)
    expect(totalMs).toBeLessThan(5 * DAY_MS + HOUR_MS)
    // the last wait is cut short by the end
    // never earlier; later only where the destination was known as slow, for an hour at most
    const off = waits.slice(0, -1).filter((wait, i) => {
      const planned = scheduledMinutes(i + 1)
      return wait < 0.79 * planned || wait > Math.max(1.21 * planned, 62)
    })
    expect(off).toEqual([])
    expect(await busy.flags()).toEqual([])
    const asked = busy.server.seen.commands.filter((command) => command.startsWith('RCPT')).length
    expect(asked).toBe(attempts)
    return `attempts ${attempts} in ${(totalMs / HOUR_MS).toFixed(1)} h, waits off the schedule ${off.length} of ${waits.length - 1}, then expired`
  }),
)

const GREYLISTS: readonly (readonly [string, number, number])[] = [
  ['451 4.7.1 Greylisted, please try again in 300 seconds', 5, 6.1],
  ['451 4.7.1 Greylisting in action, please come back later', 4, 6],
  ['450 4.2.0 <kunde@example.test>: Recipient address rejected: Greylisted', 4, 6],
]

row(
  'C10',
  'greylisted, with and without a time: delivered at attempt 2, after the time that was asked for',
  { fast: true },
  () =>
    withOutbound({}, async (outbound) => {
      const waits: string[] = []
      for (const [reply, least, most] of GREYLISTS) {
        const begun = Date.now()
        let agedMs = 0
        const grey = await outbound.sender({
          answer: (c) => (c.startsWith('RCPT') && Date.now() + agedMs - begun < 4 * MINUTE_MS ? reply : undefined),
        })
        const id = await grey.submit('eins')
        await grey.drain()
        const { next_attempt_at: at, ...first } = await grey.row(id)
        expect([reply, first]).toMatchObject([reply, { state: 'deferred', attempts: 1 }])
        const minutes = ((at?.getTime() ?? 0) - begun) / MINUTE_MS
        expect(minutes).toBeGreaterThanOrEqual(least)
        expect(minutes).toBeLessThanOrEqual(most)
        // a minute before its time it is not tried
        await age(outbound, id, (minutes - 1) * MINUTE_MS)
        await grey.drain()
        expect((await grey.row(id)).attempts).toBe(1)
        agedMs = minutes * MINUTE_MS
        await age(outbound, id, MINUTE_MS)
        await grey.drain()
        expect([reply, await grey.row(id)]).toMatchObject([reply, { state: 'sent', attempts: 2 }])
        expect(grey.copies('eins')).toBe(1)
        expect(await grey.flags()).toEqual([])
        waits.push(`${minutes.toFixed(1)} min`)
      }
      return `${waits.length} of ${waits.length} delivered at attempt 2, after ${waits.join(', ')}`
    }),
)
