import { describe, expect, test } from 'vitest'
import { MboxQuoter, mboxSeparator } from '../../../src/message/mbox.ts'

function quote(raw: string, cuts: readonly number[] = []): string {
  const quoter = new MboxQuoter()
  const bytes = Buffer.from(raw, 'latin1')
  const ends = [...cuts, bytes.length]
  const pieces = ends.map((end, i) => quoter.push(bytes.subarray(i === 0 ? 0 : ends[i - 1], end)))
  return Buffer.concat([...pieces, quoter.end()]).toString('latin1')
}

/** What a reader of mboxrd does; the empty line at the end belongs to the file. */
const unquote = (text: string): string => text.replace(/\n$/, '').replaceAll(/(^|\n)>(?=>*From )/g, '$1')

const HOSTILE = [
  'From the start\r\n\r\nFrom here\r\n>From there\r\n>>>From everywhere\r\n',
  'Subject: x\r\n\r\nFro\r\nFromage\r\n From indented\r\nxFrom inside From \r\n',
  '>>>>\r\n>\r\n>From \r\nF\r\nFr\rFrom \r\n',
  'no line end From ',
  '\r\r\n\n\r\nFrom \r',
  '\xff\x00From \n>\x80From \n',
  '',
]

describe('a message in an mbox file', () => {
  test.each(HOSTILE)('comes back as it was, but for its line ends: %j', (raw) => {
    const lines = raw.replaceAll('\r\n', '\n')
    const expected = lines === '' || lines.endsWith('\n') ? lines : `${lines}\n`
    expect(unquote(quote(raw))).toBe(expected)
    expect(quote(raw)).not.toMatch(/(?:^|\n)From /)
    expect(quote(raw)).toMatch(/(?:^|\n)\n$/)
  })

  test.each(HOSTILE)('is the same however it is cut into pieces: %j', (raw) => {
    const whole = quote(raw)
    for (let a = 0; a <= raw.length; a++) for (let b = a; b <= raw.length; b++) expect(quote(raw, [a, b])).toBe(whole)
    expect(
      quote(
        raw,
        Array.from({ length: raw.length }, (_, i) => i),
      ),
    ).toBe(whole)
  })

  test('holds back a few bytes only, and takes a line of any length in linear time', () => {
    const quoter = new MboxQuoter()
    const piece = Buffer.alloc(256 * 1024, '>')
    for (let i = 0; i < 100; i++) expect(quoter.push(piece).length).toBe(piece.length)
    expect(quoter.push(Buffer.from('From ')).toString()).toBe('>From ')
  })
})

describe('the line that begins a message', () => {
  test('has the sender and the time as asctime writes it, in UTC', () => {
    expect(mboxSeparator('a@example.test', new Date('2026-03-01T08:05:09Z')).toString()).toBe(
      'From a@example.test Sun Mar  1 08:05:09 2026\n',
    )
    expect(mboxSeparator('a@example.test', new Date('2026-11-23T18:05:09Z')).toString()).toContain(' Mon Nov 23 ')
  })

  test.each([null, '', 'a b@example.test', 'a\nFrom x@y', 'ä@example.test', `${'x'.repeat(400)}@y`])(
    'has no sender that would break the file: %j',
    (sender) => {
      expect(mboxSeparator(sender, new Date(0)).toString()).toBe('From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n')
    },
  )
})
