// SMTP AUTH is switched off at the provider while mail waits: nothing fails, nothing is counted, and it goes on by itself.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { DAY_MS, HOUR_MS } from '../../../src/base/clock.ts'
import { claimLane, wakeSendLanes } from '../../../src/db/lanes.ts'
import { drainLane } from '../../../src/delivery/drain-lane.ts'
import { row, sized } from '../../support/figures.ts'
import { passwordAccount } from '../../support/house.ts'
import { ManualClock, mostWithin } from '../../support/manual-clock.ts'
import { withOutbound, type Outbound, type Sender } from '../../support/outbound.ts'
import { tally, UNHARMED } from '../../support/outbound-oracle.ts'
import type { SmtpScript } from '../../support/scripted-smtp.ts'

const DISABLED =
  '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox. Visit https://aka.ms/smtp_auth_disabled for more information. [FR4P281CA0155.DEUP281.PROD.OUTLOOK.COM]'
const NEVER = new AbortController().signal

interface Switch {
  disabled: boolean
  /** Logins that were tried. */
  logins: number
}

function switched(): { state: Switch; script: SmtpScript } {
  const state = { disabled: true, logins: 0 }
  const answer = (command: string): string | undefined => {
    if (command.startsWith('AUTH')) state.logins += 1
    return command.startsWith('AUTH') && state.disabled ? DISABLED : undefined
  }
  return { state, script: { extensions: ['PIPELINING', 'AUTH PLAIN LOGIN'], answer } }
}

/** How much waits unharmed; throws where anything was counted or failed. */
async function waitsUnharmed({ house }: Outbound, { id }: Sender): Promise<number> {
  const { rows } = await sql<{ state: string; hold_reason: string | null; attempts: number; n: number }>`
    select state, hold_reason, attempts, count(*)::int as n from poststelle.outbox where account_id = ${id} group by 1, 2, 3`.execute(
    house.db,
  )
  const [waiting, ...others] = rows
  expect(others).toEqual([])
  expect(waiting).toMatchObject({ state: 'held', hold_reason: 'account_blocked', attempts: 0 })
  return waiting?.n ?? 0
}

/** The lane is due by itself, and drains; without anybody's force. */
async function drainsByItself({ house }: Outbound, { id }: Sender): Promise<number> {
  const begun = performance.now()
  for (;;) {
    const lease = await claimLane(house.db, { accountId: id, lane: 'send' }, house.workerId)
    if (!lease) return (performance.now() - begun) / 1000
    await drainLane(house, lease, NEVER)
  }
}

const COUNT = 100

async function reenabled(outbound: Outbound, how: 'setting' | 'probe'): Promise<string> {
  const { state, script } = switched()
  const lane = await outbound.sender(script)
  for (let n = 0; n < COUNT; n++) await lane.submit(String(n))
  for (let probe = 0; probe < 3; probe++) await lane.drain()
  expect(await waitsUnharmed(outbound, lane)).toBe(COUNT)
  expect(state.logins).toBe(3)
  expect(await lane.flags()).toMatchObject([{ flag: 'smtp_auth_disabled_mailbox', persistence: 'human' }])
  // nothing is due: no bell and no tick tries it earlier
  expect(
    await claimLane(outbound.house.db, { accountId: lane.id, lane: 'send' }, outbound.house.workerId),
  ).toBeUndefined()
  state.disabled = false
  const { host, port, security } = lane.server.endpoint
  if (how === 'setting')
    await outbound.house.importAccounts([
      passwordAccount(lane.user, {
        pop3: null,
        smtp: { host, port, security },
        auth: { type: 'password', password: 'another' },
      }),
    ])
  else
    await sql`update poststelle.lanes set parked_until = now(), due_at = now() where account_id = ${lane.id} and lane = 'send'`.execute(
      outbound.house.db,
    )
  const seconds = await drainsByItself(outbound, lane)
  expect(await lane.states()).toEqual({ sent: COUNT })
  const { rows } = await sql<{ n: number }>`select count(*)::int as n from poststelle.outbox
    where account_id = ${lane.id} and attempts <> 1`.execute(outbound.house.db)
  expect(rows[0]?.n).toBe(0)
  expect(await lane.flags()).toEqual([])
  return `after ${how === 'setting' ? 'the changed setting' : 'the next probe'} ${Math.round(COUNT / seconds)} messages/s`
}

row(
  'B13',
  'SMTP AUTH disabled while 100 messages wait, and enabled again: none fails, no attempt counts, all go out',
  { fast: true },
  () =>
    withOutbound({}, async (outbound) => {
      const rates = [await reenabled(outbound, 'setting'), await reenabled(outbound, 'probe')]
      return `failed 0, attempts consumed 0, sent ${2 * COUNT} of ${2 * COUNT}: ${rates.join(', ')}`
    }),
)

const WEEK_MS = 7 * DAY_MS

row(
  'B13b',
  'SMTP AUTH disabled for a week with 100,000 messages waiting: slow probes, nothing lost, counted or expired',
  { fast: true },
  () => {
    const clock = new ManualClock()
    const count = sized(500, 100_000)
    return withOutbound({ clock }, async (outbound) => {
      const { db } = outbound.house
      const { state, script } = switched()
      const lane = await outbound.sender(script)
      await sql`select count(poststelle.submit_message(${lane.user}, ${lane.user}, array['kunde@example.test'],
      convert_to(format(E'From: <%s>\nSubject: Nr. %s\nMessage-ID: <%s@out.example.test>\n\nText\n', ${lane.user}::text, n, n), 'UTF8')))
      from generate_series(1, ${count}::int) n`.execute(db)
      const begun = clock.ms
      const times: number[] = []
      while (clock.ms < begun + WEEK_MS) {
        const before = state.logins
        await lane.drain(NEVER)
        for (let n = before; n < state.logins; n++) times.push(clock.ms)
        clock.turnTo(await lane.nextAt())
        // given back at a time that the database's own clock has not reached
        await sql`update poststelle.outbound_messages set next_attempt_at = now() where next_attempt_at > now()`.execute(
          db,
        )
      }
      expect(await waitsUnharmed(outbound, lane)).toBe(count)
      expect(times.length).toBeGreaterThan(30)
      expect(times.length).toBeLessThanOrEqual(50)
      const tickMs = await upkeepMs(outbound)
      expect(tickMs).toBeLessThan(500)
      // the database's own clock has stood still meanwhile: its rows are moved
      await sql`update poststelle.outbound_messages set created_at = created_at - interval '7 days',
      expires_at = expires_at - interval '7 days'`.execute(db)
      await sql`update poststelle.lanes set parked_until = now(), due_at = now() where lane = 'send'`.execute(db)
      state.disabled = false
      const seconds = await drainsByItself(outbound, lane)
      const found = await tally(db, lane.server.seen.taken)
      expect(found).toMatchObject({ ...UNHARMED, sent: count, uncertain: 0, doubledFlagged: 0 })
      return `logins in 7 days ${times.length}, in any one hour at most ${mostWithin(times, HOUR_MS)}; of ${count} lost 0, attempts counted 0, expired 0; an upkeep tick meanwhile ${tickMs.toFixed(1)} ms; then ${Math.round(count / seconds)} messages/s`
    })
  },
)

/** What the parked lane costs every tick. */
async function upkeepMs({ house }: Outbound): Promise<number> {
  const rounds = 20
  const begun = performance.now()
  for (let round = 0; round < rounds; round++) expect(await wakeSendLanes(house.db)).toBe(0)
  return (performance.now() - begun) / rounds
}
