import { expect, test } from 'vitest'
import { instant } from '../../../src/base/clock.ts'

test.each([
  ['2026-11-23', '08:00', 'Z', '2026-11-23T08:00:00.000Z'],
  ['2026-11-23', '08:00:30', '+02:00', '2026-11-23T06:00:30.000Z'],
  ['2028-02-29', '00:00', '+14:00', '2028-02-28T10:00:00.000Z'],
  ['2026-02-29', '08:00', 'Z', undefined],
  ['2026-02-30', '08:00', 'Z', undefined],
  ['2026-04-31', '08:00', '-05:00', undefined],
  ['2026-13-01', '08:00', 'Z', undefined],
  ['2026-11-23', '25:00', 'Z', undefined],
  ['', '08:00', 'Z', undefined],
])('%s %s %s is %s', (day, time, zone, expected) => {
  expect(instant(day, time, zone)?.toISOString()).toBe(expected)
})
