import { describe, expect, test } from 'vitest'
import { HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import type { SendBudgets } from '../../../src/db/budgets.ts'
import { charge, costOf, fitting, grant, isLimited, refund, type Grant } from '../../../src/delivery/governor.ts'
import { budget, budgets } from '../../support/budgets.ts'
import { mostWithin } from '../../support/manual-clock.ts'

const NOW = new Date('2026-03-11T10:00:00Z')
const of = (messages: number, each = 1) => ({ messages, recipients: messages * each, external: messages * each })
const ask = (held: SendBudgets, wanted: number, now = NOW): Grant => grant(held, { wanted, workerId: 1, now })
const microsoft = budget({ connections: 3, messagesPerMinute: 30, recipientsPerDay: 10_000, recipientsPerMessage: 500 })

/** Sends as a lane with much to send does: rests as long as it is told, and comes back. */
function drain(held: SendBudgets, wanted: number, until: Date): { sentAt: number[]; turns: number } {
  const sentAt: number[] = []
  let turns = 0
  for (let now = NOW; now < until && sentAt.length < wanted;) {
    const given = ask(held, wanted - sentAt.length, now)
    turns += 1
    held = charge(held, of(given.messages), now)
    for (let i = 0; i < given.messages; i++) sentAt.push(now.getTime())
    const again = given.rest?.until ?? later(now, SECOND_MS)
    expect(again.getTime()).toBeGreaterThan(now.getTime())
    now = again
  }
  return { sentAt, turns }
}

describe('messages per minute', () => {
  test.each([1, 2, 3, 5, 30, 60, 600, 2_000])(
    'are never more than %d in any minute, and nearly so many while a lot waits',
    (rate) => {
      const { sentAt, turns } = drain(budgets(budget({ messagesPerMinute: rate })), 1e9, later(NOW, 20 * MINUTE_MS))
      expect(mostWithin(sentAt.slice(0, 3_000), MINUTE_MS)).toBeLessThanOrEqual(rate)
      expect(sentAt.length).toBeGreaterThanOrEqual(20 * rate * 0.95)
      // woken no more than five times a minute
      expect(turns).toBeLessThanOrEqual(20 * 5)
    },
  )

  test('leave a small burst to a mailbox that was quiet, and one message waits no longer than it must', () => {
    const held = budgets(microsoft)
    expect(ask(held, 3)).toMatchObject({ messages: 3, rest: null })
    expect(ask(held, 100).messages).toBe(8)
    const spent = charge(held, of(8), NOW)
    const single = ask(spent, 1, later(NOW, 2 * SECOND_MS))
    expect(single).toMatchObject({ messages: 0, rest: { until: later(NOW, 15 * SECOND_MS), for: 'rate' } })
    expect(ask(spent, 1, later(NOW, 15 * SECOND_MS)).messages).toBe(1)
  })

  test('of an app registration are shared by its accounts', () => {
    const client = budget({ messagesPerMinute: 8 }, { owner: 'client' })
    const spent = charge(budgets(budget(), client), of(2), NOW)
    expect(ask({ account: budget(), client: spent.client }, 5)).toMatchObject({ messages: 0, rest: { for: 'rate' } })
  })
})

describe('recipients per day', () => {
  const small = budgets(budget({ recipientsPerDay: 10 }))

  test('are counted in a sliding day: what was sent an hour ago leaves it a day later', () => {
    const spent = charge(charge(small, of(4), NOW), of(6), later(NOW, 5 * HOUR_MS))
    const now = later(NOW, 6 * HOUR_MS)
    const given = ask(spent, 3, now)
    expect(given).toMatchObject({ messages: 0, recipients: 0, rest: { until: later(NOW, 25 * HOUR_MS), for: 'day' } })
    expect(ask(spent, 30, later(NOW, 25 * HOUR_MS))).toMatchObject({ messages: 4, recipients: 4 })
  })

  test('admit messages in their order as long as there is room', () => {
    const given = ask(charge(small, of(3), NOW), 5)
    expect(given).toMatchObject({ messages: 5, recipients: 7 })
    const to = (recipients: number) => ({ recipients, external: 0 })
    expect(fitting(given, [to(3), to(4), to(1)])).toBe(2)
    expect(fitting(given, [to(8), to(1)])).toBe(0)
    expect(given.dayRest).toEqual({ until: later(NOW, 25 * HOUR_MS), for: 'day' })
  })

  test('do not make a message wait for ever that is larger than a day', () => {
    const to = (recipients: number) => ({ recipients, external: recipients })
    expect(fitting(ask(small, 5), [to(50), to(1)])).toBe(1)
    expect(fitting(ask(charge(small, of(1), NOW), 5), [to(50), to(1)])).toBe(0)
  })

  test('of an app registration count those outside the domain of the account only', () => {
    const client = budget({ recipientsPerDay: 5 }, { owner: 'client' })
    const held = charge(budgets(budget(), client), { messages: 3, recipients: 30, external: 4 }, NOW)
    const given = ask(held, 9)
    expect(given).toMatchObject({ messages: 9, recipients: Infinity, external: 1 })
    expect(
      fitting(given, [
        { recipients: 9, external: 0 },
        { recipients: 1, external: 1 },
        { recipients: 1, external: 1 },
      ]),
    ).toBe(2)
    expect(ask(charge(held, { messages: 1, recipients: 1, external: 1 }, NOW), 1)).toMatchObject({
      messages: 0,
      rest: { for: 'day' },
    })
    expect(costOf('a@Example.test', ['b@example.TEST', 'c@other.test'])).toEqual({
      messages: 1,
      recipients: 2,
      external: 1,
    })
  })
})

describe('a pause', () => {
  const pause = { until: later(NOW, HOUR_MS), flag: 'sending_quota_exceeded', evidence: '550' }

  test.each([
    ['of the mailbox', budgets(budget({}, { pause }), budget())],
    ['of the app registration', budgets(budget(), budget({}, { pause, owner: 'client' }))],
  ])('%s lets nothing go until it is over', (_, held) => {
    expect(ask(held, 1)).toMatchObject({ messages: 0, rest: { until: pause.until, for: 'pause' } })
    expect(ask(held, 1, pause.until)).toMatchObject({ messages: 1, rest: null })
  })
})

test('a pause that a clock began which was a day ahead is none', () => {
  const pause = { until: later(NOW, 24 * HOUR_MS), flag: 'smtp_rate_limited', evidence: '451' }
  expect(ask(budgets(budget({}, { pause })), 1)).toMatchObject({ messages: 1, rest: null })
})

describe('connections', () => {
  const idle = { until: later(NOW, MINUTE_MS), workerId: 2 }

  test('are one less while another worker keeps one open, and never none', () => {
    expect(ask(budgets({ ...microsoft, idle }), 1).connections).toBe(2)
    expect(ask(budgets(budget({ connections: 1 }, { idle })), 1).connections).toBe(1)
    expect(ask(budgets({ ...microsoft, idle: { ...idle, workerId: 1 } }), 1).connections).toBe(3)
    expect(ask(budgets({ ...microsoft, idle }), 1, idle.until).connections).toBe(3)
  })
})

test('where the operator has switched every limit off, everything may go at once', () => {
  const off = budget({ connections: 0, messagesPerMinute: 0, recipientsPerDay: 0, recipientsPerMessage: 0 })
  expect(isLimited(off, NOW)).toBe(false)
  expect(ask(charge(budgets(off), of(1e6), NOW), 1e6)).toEqual({
    messages: 1e6,
    recipients: Infinity,
    external: Infinity,
    untouchedDay: false,
    connections: Infinity,
    recipientsPerMessage: Infinity,
    rest: null,
    dayRest: null,
  })
})

test('an attempt that is given back has cost nothing', () => {
  const held = budgets(microsoft, budget({ recipientsPerDay: 100 }, { owner: 'client' }))
  const spent = charge(held, { messages: 8, recipients: 80, external: 40 }, NOW)
  expect(ask(spent, 8).messages).toBe(0)
  const back = refund(spent, { messages: 8, recipients: 80, external: 40 })
  expect(ask(back, 8, later(NOW, MINUTE_MS))).toEqual(ask(held, 8, later(NOW, MINUTE_MS)))
})
