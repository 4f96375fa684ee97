import { describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import { age, table } from '../../../src/cli/run.ts'

describe('a table', () => {
  test('has columns as wide as their widest cell and no blanks at the end of a line', () => {
    expect(
      table(
        [
          ['ACCOUNT', 'STATE', 'CAUSE'],
          ['a@b.example', 'OK', ''],
          ['c@d.example', 'Blocked', 'wrong password'],
        ],
        80,
      ),
    ).toBe('ACCOUNT      STATE    CAUSE\na@b.example  OK\nc@d.example  Blocked  wrong password\n')
  })

  test('is cut at the width of the terminal', () => {
    expect(table([['a', 'b'.repeat(100)]], 10)).toBe(`a  ${'b'.repeat(7)}\n`)
  })

  test('takes rows of different length, and none', () => {
    expect(table([['a'], ['b', 'c']], 80)).toBe('a\nb  c\n')
    expect(table([], 80)).toBe('')
  })
})

describe('an age', () => {
  const NOW = new Date('2026-03-11T10:00:00Z')
  test.each([
    [0, '0 s'],
    [499, '0 s'],
    [89 * SECOND_MS, '89 s'],
    [90 * SECOND_MS, '2 min'],
    [89 * MINUTE_MS, '89 min'],
    [90 * MINUTE_MS, '2 h'],
    [47 * HOUR_MS, '47 h'],
    [48 * HOUR_MS, '2 d'],
    [400 * DAY_MS, '400 d'],
    [-HOUR_MS, '0 s'],
  ])('of %d ms is "%s"', (ms, text) => {
    expect(age(later(NOW, -ms), NOW)).toBe(text)
  })
})
