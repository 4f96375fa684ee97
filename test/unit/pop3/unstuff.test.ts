import { describe, expect, test } from 'vitest'
import { DotUnstuffer } from '../../../src/pop3/unstuff.ts'
import { onTheWire } from '../../support/scripted-pop3.ts'
import { random } from './random.ts'

/** What comes out of the pieces, and how many bytes of the last one belong to the next reply. */
function unstuff(pieces: readonly Buffer[]): { body: Buffer; left: number } {
  const unstuffer = new DotUnstuffer()
  const out: Buffer[] = []
  for (const [i, piece] of pieces.entries()) {
    const behind = unstuffer.feed(piece, 0, { push: (bytes) => out.push(bytes) })
    if (behind < 0) continue
    const left = Buffer.concat(pieces.slice(i)).length - behind
    return { body: Buffer.concat(out), left }
  }
  throw new Error('no terminator was found')
}

const latin1 = (text: string) => Buffer.from(text, 'latin1')

describe('a message on the wire', () => {
  const hard: Record<string, string> = {
    'an empty message': '',
    'one empty line': '\r\n',
    'a line of one dot': '.\r\n',
    'two dots, three dots, a dot in the middle': '..\r\n...\r\na.b\r\n.\r\n',
    'dots next to bare CR and LF': '.\ra\r\n.\nb\r\n\r.\r\n\n.\r\n\n.\n\r\n',
    'a bare LF before the terminator': 'a\n.\r\n',
    'a bare LF around a dot': 'a\n.\nb\r\n',
    'CR CR LF and a dot': 'a\r\r\n.\r\r\n\r\r\n',
    '8-bit and NUL': '\0\xff\xe4\r\n.\0\r\n\x80\r\n',
  }

  test.each(Object.entries(hard))('keeps every byte of %s, cut anywhere in two or three', (_name, text) => {
    const message = latin1(text)
    const wire = onTheWire(message)
    for (let i = 0; i <= wire.length; i += 1) {
      for (let j = i; j <= wire.length; j += 1) {
        const { body } = unstuff([wire.subarray(0, i), wire.subarray(i, j), wire.subarray(j)])
        expect(body.equals(message), `cut at ${i} and ${j}`).toBe(true)
      }
    }
  })

  test('keeps every byte under random segmentation', () => {
    const next = random(20_260_123)
    const alphabet = ['.', '.', '\r\n', '\r\n', '\r', '\n', '\r\n.', '\r\n..', 'a', '\0', '\xff']
    for (let round = 0; round < 4_000; round += 1) {
      const length = next(12)
      const text = Array.from({ length }, () => alphabet[next(alphabet.length)]).join('')
      const message = length === 0 ? Buffer.alloc(0) : latin1(`${text}\r\n`)
      const wire = Buffer.concat([onTheWire(message), latin1('+OK next\r\n')])
      const pieces: Buffer[] = []
      for (let at = 0; at < wire.length;) {
        const end = Math.min(wire.length, at + 1 + next(4))
        pieces.push(wire.subarray(at, end))
        at = end
      }
      const { body, left } = unstuff(pieces)
      expect(body.equals(message), `round ${round}: ${JSON.stringify(text)}`).toBe(true)
      expect(left).toBe('+OK next\r\n'.length)
    }
  })

  test('does not end at a dot between bare line feeds', () => {
    expect(() => unstuff([latin1('a\n.\nb\r\n')])).toThrow('no terminator')
    expect(() => unstuff([latin1('a\r\n.\n'), latin1('b\r\n')])).toThrow('no terminator')
  })

  test('loses the first dot of a line even where the server forgot to double it, as RFC 1939 says', () => {
    expect(unstuff([latin1('.x\r\n.\r\n')]).body.toString()).toBe('x\r\n')
  })
})
