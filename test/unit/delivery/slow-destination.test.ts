import { expect, test } from 'vitest'
import { later, MINUTE_MS } from '../../../src/base/clock.ts'
import { destinationOutcome, slowDown, type Slowness } from '../../../src/delivery/slow-destination.ts'
import { refusedWith } from '../../support/budgets.ts'

const NOW = new Date('2026-03-11T10:00:00Z')

test('after the third deferral in a row a destination waits, longer each time, up to an hour', () => {
  let [slow, now]: [Slowness | undefined, Date] = [undefined, NOW]
  const waits: number[] = []
  for (let i = 0; i < 9; i++) {
    slow = slowDown(slow, 'deferred', now)
    const until = slow?.until ?? now
    waits.push((until.getTime() - now.getTime()) / MINUTE_MS)
    now = until
  }
  expect(waits).toEqual([0, 0, 1, 2, 5, 15, 60, 60, 60])
  expect(slowDown(slow, 'accepted', now)).toBeUndefined()
})

test('what is deferred while it waits was on its way already', () => {
  const slow = { failures: 3, until: later(NOW, MINUTE_MS) }
  expect(slowDown(slow, 'deferred', NOW)).toBe(slow)
})

test.each([
  ['451 4.7.1 Greylisting in action, please come back later', 'rcpt', 'deferred'],
  ['450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents it', 'rcpt', 'deferred'],
  ['550 5.1.1 User unknown', 'rcpt', undefined],
  ['451 4.7.500 Server busy', 'mail', undefined],
  ['452 4.5.3 Too many recipients', 'rcpt', undefined],
])('%s says of the destination: %s %s', (reply, step, outcome) => {
  expect(destinationOutcome(false, refusedWith(reply, step))).toBe(outcome)
})

test('an accepted recipient says that all is well', () => {
  expect(destinationOutcome(true, undefined)).toBe('accepted')
})
