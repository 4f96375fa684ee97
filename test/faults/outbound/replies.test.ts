// Replies to the final dot, well and badly formed: only a complete 250 is a yes.

import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { withOutbound } from '../../support/outbound.ts'
import { mulberry32 } from '../../support/random.ts'
import type { Step } from '../../support/scripted-smtp.ts'

const YES = '250-2.0.0 Ok\r\n250-2.0.0 taken as\r\n250 2.0.0 queued as 4711\r\n'

row('C12', 'a reply of three lines, split into two packets at every byte: each message sent once', { fast: true }, () =>
  withOutbound({}, async ({ sender }) => {
    let cut = 0
    const splits = await sender({
      answer: (command) =>
        command === '.' ? { pieces: [YES.slice(0, ++cut), YES.slice(cut)].filter((piece) => piece !== '') } : undefined,
    })
    for (let at = 1; at <= YES.length; at++) await splits.submit(String(at))
    await splits.drain()
    expect(await splits.states()).toEqual({ sent: YES.length })
    for (let at = 1; at <= YES.length; at++) expect(splits.copies(String(at))).toBe(1)
    // and byte by byte, from the greeting on
    const bytewise = await sender({ chunked: true, extensions: ['PIPELINING'] })
    const id = await bytewise.submit('bytes', { to: ['a@example.test', 'b@example.test'] })
    await bytewise.drain()
    expect((await bytewise.row(id)).state).toBe('sent')
    return `${YES.length} of ${YES.length} places sent, misread 0; byte by byte: sent`
  }),
)

const NAMED: Readonly<Record<string, string>> = {
  '250\r\n': 'sent',
  '250 \r\n': 'sent',
  '250 ok\r\n': 'sent',
  '251 2.0.0 will forward\r\n': 'sent',
  '250-\r\n250\r\n': 'sent',
  '25 ok\r\n': 'uncertain',
  '2500 ok\r\n': 'uncertain',
  '250ok\r\n': 'uncertain',
  'ok\r\n': 'uncertain',
  'ok 250\r\n': 'uncertain',
  '\r\n': 'uncertain',
  '2s0 ok\r\n': 'uncertain',
  '250 ok': 'uncertain',
  '250': 'uncertain',
  '250-first\r\n': 'uncertain',
  '250-first\r\n550 5.7.1 last\r\n': 'uncertain',
  '354 go on\r\n': 'uncertain',
  '150 wait\r\n': 'uncertain',
  '650 what\r\n': 'uncertain',
  '550 5.7.1 no\r\n': 'failed',
  '550-5.7.1 no\r\n550 5.7.1 never\r\n': 'failed',
  '451 4.3.0 later\r\n': 'deferred',
  '451\r\n': 'deferred',
}

row('C12b', 'codes of two and four digits, no text, no end: taken for what they are', { fast: true }, () =>
  withOutbound({}, async ({ sender }) => {
    let raw = ''
    const odd = await sender({ answer: (command) => (command === '.' ? { raw, end: 'close' } : undefined) })
    const found: Record<string, string> = {}
    for (raw of Object.keys(NAMED)) {
      await odd.unpark()
      const id = await odd.submit(String(Object.keys(found).length))
      await odd.drain()
      found[raw] = (await odd.row(id)).state
    }
    expect(found).toEqual(NAMED)
    return `misread 0 of ${Object.keys(NAMED).length}`
  }),
)

/** Nothing of the program's own: one reply, all lines with one code of 200 to 299, its last line ended. */
const isYes = (bytes: string): boolean => /^(2\d\d)(?:-[^\n]*\n\1)*(?: [^\n]*)?\r?\n/.test(bytes)

const pick = <T>(random: () => number, values: readonly T[]): T => values[Math.floor(random() * values.length)] as T // never empty

const CODES = [
  '250',
  '250',
  '250',
  '250',
  '251',
  '25',
  '2500',
  '2',
  '',
  '354',
  '450',
  '550',
  '999',
  '000',
  '2 50',
  'abc',
  '-250',
  '２５０',
]
const SEPARATORS = [' ', ' ', ' ', '-', '-', '', '\t', '=', '  ', '\u00a0']
const TEXTS = ['ok', 'OK queued', '2.0.0 ok', '5.1.1 no', '', '250 ok', '\u0000', 'Grüße', 'x'.repeat(3_000), '250-']
const ENDS = ['\r\n', '\r\n', '\r\n', '\n', '\r', '', '\r\r\n', '\n\r\n']

/** One to four lines, most of them nearly right, in one to four packets. */
function madeUp(random: () => number): Step & { pieces: readonly string[] } {
  const lines = Array.from(
    { length: 1 + Math.floor(random() * 4) },
    () => pick(random, CODES) + pick(random, SEPARATORS) + pick(random, TEXTS) + pick(random, ENDS),
  )
  const bytes = lines.join('')
  const cuts = Array.from({ length: Math.floor(random() * 4) }, () => Math.floor(random() * bytes.length)).toSorted(
    (a, b) => a - b,
  )
  const pieces = [0, ...cuts].map((from, i) => bytes.slice(from, cuts[i] ?? bytes.length))
  return { pieces: pieces.filter((piece) => piece !== ''), end: 'close' }
}

const SEED = 20_261_126

row('C12c', 'replies made up at random: sent only where there was a complete 250', { fast: true }, () =>
  withOutbound({}, async ({ sender }) => {
    const random = mulberry32(SEED)
    const count = sized(60, 2_000)
    let answer: ReturnType<typeof madeUp> = { pieces: [] }
    const odd = await sender({ answer: (command) => (command === '.' ? answer : undefined) })
    const states = new Map<string, number>()
    const misread: unknown[] = []
    for (let n = 0; n < count; n++) {
      answer = madeUp(random)
      await odd.unpark()
      const id = await odd.submit(String(n))
      await odd.drain()
      const { state } = await odd.row(id)
      states.set(state, (states.get(state) ?? 0) + 1)
      if (state === 'sent' && !isYes(answer.pieces.join(''))) misread.push([n, answer])
      if (odd.copies(String(n)) > 1) misread.push([n, 'sent twice'])
    }
    expect(misread).toEqual([])
    expect(states.get('sent')).toBeGreaterThan(count / 50)
    const table = [...states].map(([state, times]) => `${state} ${times}`).join(', ')
    return `misread ${misread.length} of ${count} (seed ${SEED}): ${table}`
  }),
)
