import { describe, expect, test } from 'vitest'
import { fingerprintOf, judge, sampleOf, suspicious } from '../../../src/retrieval/guard.ts'

describe('a listing is suspicious', () => {
  test.each([
    ['a moved mailbox', { listed: 1_000, unknown: 1_000, vanished: 1_000 }, true],
    ['a moved mailbox with new mail', { listed: 1_050, unknown: 1_050, vanished: 1_000 }, true],
    ['a tenth renumbered, some new', { listed: 1_050, unknown: 150, vanished: 100 }, false],
    ['a first listing', { listed: 5_000, unknown: 5_000, vanished: 0 }, false],
    ['a flood of new mail while a few are deleted', { listed: 5_200, unknown: 5_000, vanished: 10 }, false],
    ['fifty unknown', { listed: 50, unknown: 50, vanished: 50 }, false],
    ['fifty-one unknown', { listed: 51, unknown: 51, vanished: 51 }, true],
  ])('%s: %s', (_what, change, expected) => {
    expect(suspicious(change)).toBe(expected)
  })
})

describe('a sample', () => {
  const lastPoll = new Date('2026-11-25T12:00:00Z')
  const old = new Date('2026-10-01T12:00:00Z')
  const fresh = new Date('2026-11-25T11:00:00Z')
  const of = (matched: number, recent: number, strange: number) => [
    ...Array.from({ length: matched }, () => ({ matched: true, dateAt: old })),
    ...Array.from({ length: recent }, () => ({ matched: false, dateAt: fresh })),
    ...Array.from({ length: strange }, () => ({ matched: false, dateAt: old })),
  ]
  test.each([
    [of(95, 0, 5), 'adopt'],
    [of(94, 0, 6), 'ask'],
    [of(50, 45, 5), 'adopt'],
    [of(0, 100, 0), 'adopt'],
    [of(0, 0, 100), 'ask'],
    [[{ matched: false, dateAt: null }], 'ask'],
  ])('decides by what it explains (case %#)', (sample, expected) => {
    expect(judge(sample, lastPoll)).toBe(expected)
  })

  test('is spread over all, and is all of a few', () => {
    const numbers = Array.from({ length: 1_000 }, (_, i) => i)
    expect(sampleOf(numbers, 4)).toEqual([0, 250, 500, 750])
    expect(sampleOf([1, 2, 3], 4)).toEqual([1, 2, 3])
  })
})

describe('a fingerprint', () => {
  const summary = {
    internetMessageId: '<a@b>',
    dateAt: new Date(0),
    fromAddress: 'a@b',
    fromName: 'A',
    toAddresses: 'c@d',
    subject: 'S',
  }
  test('is the same for the same message, and another where what identifies it differs', () => {
    const hex = (over: object) => fingerprintOf({ ...summary, ...over })?.toString('hex')
    expect(hex({ fromName: 'B', toAddresses: null })).toBe(hex({}))
    const others = [{ internetMessageId: '<x@b>' }, { dateAt: new Date(1) }, { fromAddress: 'x@b' }, { subject: 'T' }]
    expect(new Set([hex({}), ...others.map(hex)]).size).toBe(5)
  })

  test('is none where neither Message-ID nor Date tells one message of a sender from the next', () => {
    expect(fingerprintOf({ ...summary, internetMessageId: null, dateAt: null })).toBeNull()
    expect(fingerprintOf({ ...summary, internetMessageId: null })).not.toBeNull()
    expect(fingerprintOf({ ...summary, dateAt: null })).not.toBeNull()
  })
})
