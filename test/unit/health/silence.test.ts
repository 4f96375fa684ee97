import { describe, expect, test } from 'vitest'
import { HOUR_MS, MINUTE_MS } from '../../../src/base/clock.ts'
import { hourOfWeek, silenceOf, silenceText } from '../../../src/health/silence.ts'

const at = (text: string): Date => new Date(`${text}Z`)
/** Three an hour from Monday to Friday, 7 to 17 o'clock. */
const OFFICE = new Map(
  Array.from({ length: 5 }, (_, day) =>
    Array.from({ length: 10 }, (_hour, hour) => [day * 24 + 7 + hour, [3, 2, 4, 3]] as const),
  ).flat(),
)
const AROUND = new Map(Array.from({ length: 168 }, (_, hour) => [hour, [1, 1, 1, 1]] as const))

describe('a mailbox', () => {
  test.each<[string, Parameters<typeof silenceOf>[0]['weekly'], string, string, boolean]>([
    ['that has had mail half an hour ago', OFFICE, '2026-11-26T10:00', '2026-11-26T10:30', false],
    ['that has been quiet for two hours of work', OFFICE, '2026-11-26T10:00', '2026-11-26T12:00', false],
    ['that has been quiet for a whole day of work', OFFICE, '2026-11-26T07:00', '2026-11-26T16:00', true],
    ['of an office at night', OFFICE, '2026-11-26T16:50', '2026-11-27T06:50', false],
    ['of an office over the weekend', OFFICE, '2026-11-27T16:50', '2026-11-30T07:10', false],
    ['of an office on Monday noon, with nothing since Friday', OFFICE, '2026-11-27T16:50', '2026-11-30T13:00', true],
    ['with mail around the clock, after nine hours', AROUND, '2026-11-26T01:00', '2026-11-26T10:00', false],
    ['with mail around the clock, after sixteen hours', AROUND, '2026-11-26T01:00', '2026-11-26T17:30', true],
    ['with one large import and nothing else', new Map([[80, [5_000]]]), '2026-11-20T08:00', '2026-11-26T09:00', false],
    [
      'that is new',
      new Map([
        [80, [20]],
        [81, [20]],
      ]),
      '2026-11-26T08:00',
      '2026-11-26T20:00',
      false,
    ],
    ['without any mail', new Map(), '2026-11-01T08:00', '2026-11-26T20:00', false],
  ])('%s', (_what, weekly, last, now, silent) => {
    expect(silenceOf({ weekly, lastAt: at(last) }, at(now)) !== undefined).toBe(silent)
  })

  test('that is silent is told by how long is usual', () => {
    const silence = silenceOf({ weekly: OFFICE, lastAt: at('2026-11-26T07:00') }, at('2026-11-26T16:00'))
    expect(silence?.silentMs).toBe(9 * HOUR_MS)
    expect(silence?.usualMs).toBe(20 * MINUTE_MS)
    expect(silence && silenceText(silence, at('2026-11-26T07:00'))).toBe(
      'connected, yet nothing arrives: usual 20 min, silent 9 h (last mail 2026-11-26T07:00Z)',
    )
  })

  test('has weeks that begin on Monday, in UTC', () => {
    expect([hourOfWeek(at('2026-11-23T00:30')), hourOfWeek(at('2026-11-29T23:00'))]).toEqual([0, 167])
  })
})
