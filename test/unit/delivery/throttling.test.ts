import { describe, expect, test } from 'vitest'
import { HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import type { SendBudget } from '../../../src/db/budgets.ts'
import { charge } from '../../../src/delivery/governor.ts'
import { limitsNow } from '../../../src/delivery/limits.ts'
import { learn, type Lesson } from '../../../src/delivery/throttling.ts'
import { budget, budgets, failureOf, refusedWith } from '../../support/budgets.ts'

const NOW = new Date('2026-03-11T10:00:00Z')
const microsoft = budget({ connections: 3, messagesPerMinute: 30, recipientsPerDay: 10_000, recipientsPerMessage: 500 })
const lesson = (before: SendBudget, reply: string, now = NOW): Lesson => {
  const learned = learn(before, refusedWith(reply), now)
  if (!learned) throw new Error(`nothing was learned from ${reply}`)
  return learned
}
const sent = (before: SendBudget, messages: number): SendBudget =>
  charge(budgets(before), { messages, recipients: messages, external: 0 }, NOW).account

describe('too many connections', () => {
  const LIMIT = '432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending'

  test('is answered with one less, once for all that are refused in one breath', () => {
    const first = lesson(microsoft, LIMIT)
    expect(first.pausedUntil).toBeNull()
    expect(limitsNow(first.budget, NOW).connections).toBe(2)
    const second = lesson(first.budget, LIMIT, later(NOW, SECOND_MS))
    expect(limitsNow(second.budget, NOW).connections).toBe(2)
    const third = lesson(second.budget, LIMIT, later(NOW, MINUTE_MS))
    expect(limitsNow(third.budget, later(NOW, MINUTE_MS)).connections).toBe(1)
  })

  test('with the only one is answered with a pause: somebody else uses the mailbox', () => {
    const { budget: after, pausedUntil } = lesson(budget({ connections: 1 }), LIMIT)
    expect(limitsNow(after, NOW).connections).toBe(1)
    expect(pausedUntil).toEqual(later(NOW, 30 * SECOND_MS))
  })
})

describe('too many messages', () => {
  test.each([
    ['451 4.7.500 Server busy. Please try again later from [10.0.0.1]. (AS77712)', 'mail'],
    ['421-4.7.0 Try again later, closing connection. (EHLO) x - gsmtp', 'ehlo'],
    ['454 4.7.0 Too many login attempts, please try again later. - gsmtp', 'auth'],
    ['450 4.7.3 Organization queue quota exceeded', 'mail'],
  ])('halves the rate and pauses a minute: %s', (reply, step) => {
    const learned = learn(microsoft, refusedWith(reply, step), NOW)
    expect(learned?.pausedUntil).toEqual(later(NOW, MINUTE_MS))
    expect(limitsNow(learned?.budget ?? microsoft, NOW).messagesPerMinute).toBe(15)
  })

  const BUSY = '451 4.7.500 Server busy'
  test('starts where no rate is set from what went out in the last minute, else from a sensible one', () => {
    expect(limitsNow(lesson(sent(budget(), 200), BUSY).budget, NOW).messagesPerMinute).toBe(100)
    expect(limitsNow(lesson(budget(), BUSY).budget, NOW).messagesPerMinute).toBe(15)
  })

  test('again and again pauses longer, down to one message a minute', () => {
    let [held, now] = [microsoft, NOW]
    const pauses: number[] = []
    for (let i = 0; i < 7; i++) {
      const { budget: after, pausedUntil } = lesson(held, BUSY, now)
      pauses.push(((pausedUntil ?? now).getTime() - now.getTime()) / MINUTE_MS)
      held = after
      now = pausedUntil ?? now
    }
    expect(pauses).toEqual([1, 2, 4, 8, 15, 15, 15])
    expect(limitsNow(held, now).messagesPerMinute).toBeLessThan(2)
    expect(limitsNow(held, now).messagesPerMinute).toBeGreaterThanOrEqual(1)
    const quiet = lesson(held, BUSY, later(now, HOUR_MS))
    expect(quiet.pausedUntil).toEqual(later(now, HOUR_MS + MINUTE_MS))
  })

  test('said by several connections at once is said once', () => {
    const first = lesson(microsoft, BUSY)
    expect(lesson(first.budget, BUSY, later(NOW, SECOND_MS))).toEqual(first)
  })

  test('with a wait that the server asks for pauses as long, but no longer than an hour', () => {
    const asked = (seconds: number) => lesson(microsoft, `451 4.7.500 Server busy, retry in ${seconds} seconds`)
    expect(asked(300).pausedUntil).toEqual(later(NOW, 300 * SECOND_MS))
    expect(asked(7_200).pausedUntil).toEqual(later(NOW, HOUR_MS))
    expect(asked(5).pausedUntil).toEqual(later(NOW, MINUTE_MS))
  })
})

describe('the day is used up', () => {
  test.each([
    '550 5.4.5 Daily user sending limit exceeded. For more information on Gmail sending limits go to',
    '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed to process message',
    '550 5.1.90 Your message can’t be sent because you’ve reached your daily limit for message recipients',
    '550 5.7.232 Your message can’t be sent because your trial tenant has exceeded its daily limit',
    '550 5.7.233 Your message can’t be sent because your tenant exceeded its daily limit',
  ])('is probed every hour: %s', (reply) => {
    const first = lesson(microsoft, reply)
    expect(first.pausedUntil).toEqual(later(NOW, HOUR_MS))
    expect(lesson(first.budget, reply, later(NOW, HOUR_MS)).pausedUntil).toEqual(later(NOW, 2 * HOUR_MS))
  })

  test.each([
    [2_000, 2_000],
    [900, 10_000],
    [0, 10_000],
  ])('after %d recipients leaves a limit of %d: others may send through the mailbox too', (reached, limit) => {
    const { budget: after } = lesson(sent(microsoft, reached), '550 5.4.5 Daily user sending limit exceeded')
    expect(limitsNow(after, NOW).recipientsPerDay).toBe(limit)
  })
})

describe('too many recipients in one transaction', () => {
  const failure = refusedWith('452 4.5.3 Too many recipients', 'rcpt')

  test('is not offered again: as many as were accepted, else half', () => {
    const after = learn(microsoft, failure, NOW, { acceptedRecipients: 120 })
    expect(after?.pausedUntil).toBeNull()
    expect(limitsNow(after?.budget ?? microsoft, NOW).recipientsPerMessage).toBe(120)
    const half = learn(budget({ recipientsPerMessage: 50 }), failure, NOW)
    expect(limitsNow(half?.budget ?? microsoft, NOW).recipientsPerMessage).toBe(25)
    const unknown = learn(budget({ recipientsPerMessage: 0 }), failure, NOW)
    expect(limitsNow(unknown?.budget ?? microsoft, NOW).recipientsPerMessage).toBe(100)
  })
})

test.each(['invalid_credentials', 'recipient_rejected', 'recipient_rate_limited', 'own_mailbox_full', 'unclassified'])(
  '%s says nothing of our pace',
  (flag) => {
    expect(learn(microsoft, failureOf(flag), NOW)).toBeUndefined()
  },
)
