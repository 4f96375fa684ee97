import { expect, test } from 'vitest'
import { BareNewline, DotStuffer } from '../../../src/smtp/dot-stuffing.ts'

const stuff = (...chunks: string[]): string => {
  const stuffer = new DotStuffer()
  const pieces = chunks.map((chunk) => stuffer.push(Buffer.from(chunk, 'latin1')))
  return Buffer.concat([...pieces, stuffer.end()]).toString('latin1')
}

test.each([
  ['.', '..\r\n'],
  ['..', '...\r\n'],
  ['.\r\n', '..\r\n'],
  ['a\r\n.\r\nb\r\n', 'a\r\n..\r\nb\r\n'],
  ['\r\n.\r\n.\r\n', '\r\n..\r\n..\r\n'],
  ['a.b\r\n .c\r\n', 'a.b\r\n .c\r\n'],
  ['', ''],
  ['no line end', 'no line end\r\n'],
  ['\xe4\xff\x00\r\n.\xfc', '\xe4\xff\x00\r\n..\xfc\r\n'],
])('%j becomes %j', (body, wire) => {
  expect(stuff(body)).toBe(wire)
})

test('the result does not depend on where the chunks are cut', () => {
  const body = '.a\r\n..\r\n\r\n.\r\nx.y\r\n.'
  const whole = stuff(body)
  for (let first = 0; first <= body.length; first += 1) {
    for (let second = first; second <= body.length; second += 1) {
      expect(stuff(body.slice(0, first), body.slice(first, second), body.slice(second))).toBe(whole)
    }
  }
})

test.each(['a\nb', '\n', 'a\r\n\n.\r\n', 'a\rb', 'a\r.\r\n', 'a\r\r\n', 'a\r'])(
  'a bare CR or LF never reaches the wire, wherever it is cut: %j',
  (body) => {
    for (let cut = 0; cut <= body.length; cut += 1) {
      expect(() => stuff(body.slice(0, cut), body.slice(cut))).toThrow(BareNewline)
    }
  },
)
