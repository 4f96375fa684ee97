import { describe, expect, test } from 'vitest'
import { HOUR_MS, MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import { nextAttempt } from '../../../src/delivery/redelivery.ts'

const NOW = new Date('2026-03-11T10:00:00Z')
const waitMs = (attempts: number, random: number, retryAfterMs?: number): number =>
  nextAttempt(attempts, NOW, { random, ...(retryAfterMs !== undefined && { retryAfterMs }) }).getTime() - NOW.getTime()

describe('the wait before the next attempt', () => {
  test.each([
    [1, 5],
    [2, 10],
    [3, 20],
    [4, 40],
    [5, 60],
    [10, 60],
    [11, 240],
    [500, 240],
  ])('after attempt %d is %d min', (attempts, minutes) => {
    expect(waitMs(attempts, 0.5)).toBe(minutes * MINUTE_MS)
  })

  test('is spread by a fifth in both directions, so that messages do not come back all at once', () => {
    expect(waitMs(1, 0)).toBe(4 * MINUTE_MS)
    expect(waitMs(1, 0.999_999)).toBeCloseTo(6 * MINUTE_MS, -2)
  })
})

describe('a wait that the server asks for', () => {
  test.each([
    [300 * SECOND_MS, 300 * SECOND_MS],
    [0, MINUTE_MS],
    [5 * SECOND_MS, MINUTE_MS],
    [4 * HOUR_MS, 4 * HOUR_MS],
    [72 * HOUR_MS, 4 * HOUR_MS],
  ])('of %d ms is %d ms, whatever the attempt', (asked, honoured) => {
    expect(waitMs(1, 0, asked)).toBe(honoured)
    expect(waitMs(20, 0, asked)).toBe(honoured)
  })

  test('is never shortened, only spread by up to a minute', () => {
    expect(waitMs(1, 0.999_999, 5 * MINUTE_MS)).toBeCloseTo(6 * MINUTE_MS, -2)
  })
})
