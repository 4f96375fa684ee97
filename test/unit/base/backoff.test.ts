import { describe, expect, test } from 'vitest'
import { exponential, jitter, probeDelayMs } from '../../../src/base/backoff.ts'
import { HOUR_MS, MINUTE_MS } from '../../../src/base/clock.ts'

describe('jitter', () => {
  test.each([
    [0, 800],
    [0.25, 900],
    [0.5, 1_000],
    [0.75, 1_100],
  ])('with the random number %d makes %d ms of a second', (random, ms) => {
    expect(jitter(1_000, 0.2, random)).toBe(ms)
  })

  test('gives whole milliseconds', () => {
    expect(jitter(1_001, 0.1, 0.123)).toBe(926)
  })
})

describe('the wait after failures', () => {
  test.each([
    [1, 10],
    [2, 20],
    [3, 40],
    [6, 320],
    [7, 600],
    [1_000_000, 600],
    [0, 10],
  ])('of %d in a row is %d s, from 10 s up to 10 min', (failures, seconds) => {
    expect(exponential(failures, 10_000, 10 * MINUTE_MS)).toBe(seconds * 1_000)
  })
})

test.each([
  [0, 15 * MINUTE_MS],
  [1, HOUR_MS],
  [2, 4 * HOUR_MS],
  [3, 4 * HOUR_MS],
  [99, 4 * HOUR_MS],
])('after %d probes of a parked lane the next one is %d ms away', (probes, ms) => {
  expect(probeDelayMs(probes)).toBe(ms)
})
