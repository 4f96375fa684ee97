import { describe, expect, test } from 'vitest'
import { nextPoll, type IntervalPolicy } from '../../../src/retrieval/interval.ts'

const NOW = new Date('2026-11-25T12:00:00Z')
const fixed: IntervalPolicy = { pollIntervalSeconds: 60, pollIntervalMaxSeconds: null }
const adaptive: IntervalPolicy = { pollIntervalSeconds: 60, pollIntervalMaxSeconds: 600 }
const quiet = { busy: false, more: false }

const seconds = (
  policy: IntervalPolicy,
  current: number | null,
  floor: number,
  end: { busy: boolean; more: boolean },
  random = 0,
) => (nextPoll(policy, current, floor, end, NOW, random).at.getTime() - NOW.getTime()) / 1_000

describe('the next poll', () => {
  test.each([0, 0.5, 0.999])('is never before its interval, and at most a good tenth after it (%d)', (random) => {
    const wait = seconds(fixed, null, 0, quiet, random)
    expect(wait).toBeGreaterThanOrEqual(60)
    expect(wait).toBeLessThan(67)
  })

  test('is never before what the provider allows, also where more is waiting', () => {
    expect(seconds(fixed, null, 300, quiet)).toBeGreaterThanOrEqual(300)
    expect(seconds(fixed, null, 300, { busy: true, more: true })).toBeGreaterThanOrEqual(300)
  })

  test('is at once where more is waiting and nobody forbids it', () => {
    expect(seconds(fixed, null, 0, { busy: true, more: true })).toBe(0)
  })

  test('moves away while nothing comes, up to the bound, and comes back with mail', () => {
    const intervals: (number | null)[] = []
    let current: number | null = null
    for (let i = 0; i < 8; i++) {
      current = nextPoll(adaptive, current, 0, quiet, NOW, 0).currentSeconds
      intervals.push(current)
    }
    expect(intervals).toEqual([90, 135, 203, 305, 458, 600, 600, 600])
    expect(nextPoll(adaptive, 600, 0, { busy: true, more: false }, NOW, 0).currentSeconds).toBe(60)
  })

  test('keeps a fixed interval whatever was remembered of an adaptive one', () => {
    expect(nextPoll(fixed, 600, 0, quiet, NOW, 0).currentSeconds).toBeNull()
    expect(seconds(fixed, 600, 0, quiet)).toBeLessThan(67)
  })
})
