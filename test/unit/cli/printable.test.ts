import { describe, expect, test } from 'vitest'
import { printableJson, printableLine, printableText } from '../../../src/cli/printable.ts'

/** Everything a terminal might act on, or that turns the reading order: none of it may be printed as it is. */
const DANGEROUS = [
  ...Array.from({ length: 32 }, (_, code) => code).filter((code) => code !== 9 && code !== 10),
  ...Array.from({ length: 33 }, (_, i) => 0x7f + i),
  0x061c,
  0x200e,
  0x200f,
  0x2028,
  0x2029,
  ...Array.from({ length: 5 }, (_, i) => 0x202a + i),
  ...Array.from({ length: 4 }, (_, i) => 0x2066 + i),
  0xe0001,
  0xd800,
].map((code) => String.fromCodePoint(code))

describe('words of strangers on a terminal', () => {
  test('keep nothing that could steer it', () => {
    const hostile = DANGEROUS.map((character) => `a${character}b`).join(' ')
    for (const character of DANGEROUS) {
      expect(printableLine(hostile)).not.toContain(character)
      expect(printableText(hostile)).not.toContain(character)
      expect(printableJson({ subject: hostile })).not.toContain(character)
    }
    expect(printableLine('\u001b]0;owned\u0007\u001b[2J')).toBe('?]0;owned??[2J')
    expect(printableLine('photo\u202egpj.exe')).toBe('photo?gpj.exe')
  })

  test('keep letters of every script, and lose marks nobody sees', () => {
    expect(printableLine('Grüße 名前 שלום مرحبا 👍')).toBe('Grüße 名前 שלום مرحبا 👍')
    expect(printableLine('Donau\u00addampf\u200bschiff\ufeff')).toBe('Donaudampfschiff')
  })

  test('are one line where one line is asked for, and cut between characters', () => {
    expect(printableLine(' a\r\nb\tc  d ')).toBe('a b c d')
    expect(printableLine('abcdef', 4)).toBe('abc…')
    expect(printableLine('ab👍👍👍', 4)).toBe('ab…')
    expect(printableText('a\tb\r\nc\rd\n')).toBe('a\tb\nc\nd\n')
  })

  test('are the same value in JSON', () => {
    const value = { subject: DANGEROUS.join(''), list: ['\u009b31m', '👍'] }
    expect(JSON.parse(printableJson(value))).toEqual(value)
    expect(printableJson('\u202e👍')).toBe('"\\u202e👍"')
  })
})
