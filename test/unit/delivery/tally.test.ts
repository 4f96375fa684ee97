import { expect, test } from 'vitest'
import { MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import { added, downTo, sumOf, takenBack, type Tally } from '../../../src/delivery/tally.ts'
import { mulberry32 } from '../../support/random.ts'

const WINDOW = { slotMs: SECOND_MS, slots: 60 }
const at = (seconds: number): Date => new Date(1_800_000_000_000 + seconds * SECOND_MS)
const of = (...entries: [seconds: number, n: number][]): Tally =>
  entries.reduce<Tally>((tally, [s, n]) => added(tally, WINDOW, at(s), n), {})

test.each([
  [0, 3],
  [59, 3],
  [60, 3],
  [60.999, 3],
  [61, 0],
])('after %d s three of one moment count as %d in a minute', (seconds, count) => {
  expect(sumOf(of([0, 3]), WINDOW, at(seconds))).toBe(count)
})

test('what has left the window takes no room', () => {
  expect(Object.keys(of([0, 1], [30, 1], [200, 1]))).toHaveLength(1)
})

test('a count is never more than what really went out in any minute, to the millisecond', () => {
  const random = mulberry32(7)
  let tally: Tally = {}
  let ms = 0
  const sent: number[] = []
  for (let i = 0; i < 2_000; i++) {
    ms += random() * 3_000
    sent.push(ms)
    tally = added(tally, WINDOW, at(ms / SECOND_MS), 1)
    const really = sent.filter((when) => when > ms - MINUTE_MS).length
    const counted = sumOf(tally, WINDOW, at(ms / SECOND_MS))
    expect(counted).toBeGreaterThanOrEqual(really)
    expect(counted).toBeLessThanOrEqual(sent.filter((when) => when > ms - MINUTE_MS - 2_000).length)
  }
})

test('the moment at which there is room again is the first one at which there is', () => {
  const tally = of([0, 2], [10, 3], [20, 1])
  for (const [most, seconds] of [
    [5, 61],
    [4, 61],
    [3, 71],
    [1, 71],
    [0, 81],
  ] as const) {
    const when = downTo(tally, WINDOW, at(25), most)
    expect(when).toEqual(at(seconds))
    expect(sumOf(tally, WINDOW, when)).toBeLessThanOrEqual(most)
    expect(sumOf(tally, WINDOW, new Date(when.getTime() - 1))).toBeGreaterThan(most)
  }
  expect(downTo(tally, WINDOW, at(25), 6)).toEqual(at(25))
})

test('what a clock wrote that was a day ahead holds nothing up', () => {
  const ahead = of([86_400, 5])
  expect(sumOf(ahead, WINDOW, at(0))).toBe(0)
  expect(sumOf(added(ahead, WINDOW, at(0), 2), WINDOW, at(0))).toBe(2)
  // but two machines need not agree on the second
  expect(sumOf(of([3, 5]), WINDOW, at(0))).toBe(5)
})

test('what is taken back is taken from the newest, and never below nothing', () => {
  const tally = of([0, 2], [10, 3])
  expect(sumOf(takenBack(tally, 4), WINDOW, at(10))).toBe(1)
  expect(sumOf(takenBack(tally, 4), WINDOW, at(62))).toBe(0)
  expect(takenBack(tally, 99)).toEqual({})
})
