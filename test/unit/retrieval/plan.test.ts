import { describe, expect, test } from 'vitest'
import type { Ledger, LedgerMark } from '../../../src/db/ledger.ts'
import { capped, compareListing, divide, type Caps, type PlannedMessage } from '../../../src/retrieval/plan.ts'

const MAX = 100_000

interface Line {
  readonly number: number
  readonly uidl: string
  readonly sizeBytes: number
}

/** 'a:10 b:20': message 1 has UIDL a and 10 bytes, and so on. */
const listing = (text: string): Line[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((part, index) => {
      const [uidl = '', size] = part.split(':')
      return { number: index + 1, uidl, sizeBytes: Number(size) }
    })
/** 'a' is (a, 1), 'a/2' the second message with that UIDL. */
const ledger = (entries: Record<string, LedgerMark>): Ledger => {
  const marks = new Map(Object.entries(entries).map(([key, mark]) => [key.replace('/', '\n'), mark] as const))
  const shared = Object.keys(entries).flatMap((key) => (key.includes('/') ? (key.split('/')[0] ?? '') : []))
  return { marks, shared: new Set(shared), nameless: false }
}
const EMPTY = ledger({})
const shown = (messages: readonly PlannedMessage[]): string =>
  messages.map((m) => `${m.number}=${m.uidl}/${m.ordinal}`).join(' ')

const namedBy = (lines: readonly { number: number; uidl: string }[]) => ({
  length: lines.length,
  numberAt: (i: number) => lines[i]?.number ?? 0,
  uidlAt: (i: number) => lines[i]?.uidl ?? '',
})

function plan(lines: readonly Line[], known: Ledger) {
  const compared = compareListing(namedBy(lines), known)
  const sizes = new Map(lines.map((line) => [line.number, line.sizeBytes]))
  return { ...compared, ...divide(compared.wanted, sizes, MAX) }
}

describe('what is retrieved', () => {
  test('is what the ledger does not know, the oldest first, in whatever order the server lists', () => {
    const shuffled = [listing('a:1 b:1 c:1 d:1')].flatMap(([a, b, c, d]) => [d, b, a, c]).filter((m) => m !== undefined)
    expect(shown(plan(shuffled, ledger({ b: 'known' })).retrieve)).toBe('1=a/1 3=c/1 4=d/1')
  })

  test('is nothing of an empty maildrop', () => {
    expect(plan([], EMPTY)).toEqual({
      wanted: [],
      retrieve: [],
      oversize: [],
      remove: [],
      shared: [],
      gone: [],
    })
  })

  test.each<[string, Record<string, LedgerMark>, string]>([
    ['a:1 a:1 b:1 a:1', {}, '1=a/1 2=a/2 4=a/3'],
    ['a:1 a:1', { a: 'known' }, '1=a/1 2=a/2'],
    ['a:1', { a: 'deletable', 'a/2': 'listed' }, '1=a/1'],
    ['a:1', { 'a/2': 'known' }, '1=a/1'],
    ['a:1 b:1', { a: 'known' }, ''],
  ])('is never decided by the place of a message among equal UIDLs (%s, known %j)', (text, known, shared) => {
    const found = plan(listing(text), ledger(known))
    expect(found.shared.map((m) => `${m.number}=${m.uidl}/${m.ordinal}`).join(' ')).toBe(shared)
    expect([...found.retrieve, ...found.remove].filter(({ uidl }) => uidl === 'a')).toEqual([])
  })

  test('tells a UIDL that ends in a number from the second of two equal ones', () => {
    const odd = [{ number: 1, uidl: 'a 2', sizeBytes: 1 }]
    expect(shown(plan(odd, ledger({ 'a/2': 'known' })).retrieve)).toBe('1=a 2/1')
    expect(shown(plan(odd, ledger({ 'a 2': 'known' })).retrieve)).toBe('')
  })

  test.each<[LedgerMark, boolean]>([
    ['known', false],
    ['intended', false],
    ['deletable', false],
    ['doomed', false],
    ['listed', true],
    ['retry', true],
    ['oversize', true],
  ])('of a message that is %s: %s', (mark, wanted) => {
    expect(plan(listing('a:1'), ledger({ a: mark })).retrieve).toHaveLength(wanted ? 1 : 0)
  })

  test('begins with what is new, then what waits from before; what broke a session comes last', () => {
    const known = ledger({ bad: 'retry', old: 'listed' })
    expect(shown(plan(listing('bad:1 old:1 new:1'), known).retrieve)).toBe('3=new/1 2=old/1 1=bad/1')
  })

  test('is a message whose size the server does not tell as well', () => {
    const { wanted } = compareListing(namedBy([{ number: 3, uidl: 'c' }]), EMPTY)
    expect(divide(wanted, new Map(), MAX)).toEqual({
      retrieve: [{ number: 3, uidl: 'c', ordinal: 1, sizeBytes: 0 }],
      oversize: [],
    })
  })
})

describe('what is larger than the account allows', () => {
  test('is named apart, once', () => {
    const { retrieve, oversize } = plan(listing('a:1 big:100001 c:100000'), EMPTY)
    expect([shown(retrieve), shown(oversize)]).toEqual(['1=a/1 3=c/1', '2=big/1'])
    expect(plan(listing('big:100001'), ledger({ big: 'known' }))).toMatchObject({ retrieve: [], oversize: [] })
  })

  test('is retrieved when the account allows more, and its headers give way', () => {
    const { retrieve } = plan(listing('big:100000'), ledger({ big: 'oversize' }))
    expect(retrieve).toEqual([{ number: 1, uidl: 'big', ordinal: 1, sizeBytes: 100_000, replacesHeaders: true }])
    expect(plan(listing('big:100001'), ledger({ big: 'oversize' }))).toMatchObject({ retrieve: [], oversize: [] })
  })
})

describe('the caps of one session', () => {
  test.each<[string, Caps, string, boolean]>([
    ['a:10 b:10 c:10', { messages: 3, bytes: 30 }, '1=a/1 2=b/1 3=c/1', false],
    ['a:10 b:10 c:10', { messages: 2, bytes: 30 }, '1=a/1 2=b/1', true],
    ['a:10 b:10 c:10', { messages: 3, bytes: 29 }, '1=a/1 2=b/1', true],
    ['a:1000 b:10', { messages: 3, bytes: 100 }, '1=a/1', true],
    ['a:1000', { messages: 3, bytes: 100 }, '1=a/1', false],
    ['a:10 b:1000 c:10', { messages: 3, bytes: 100 }, '1=a/1 3=c/1', true],
    ['a:0 b:0', { messages: 0, bytes: 0 }, '1=a/1', true],
  ])('%s within %j: %s, more: %s', (text, caps, expected, more) => {
    const { now, ...rest } = capped(plan(listing(text), EMPTY).retrieve, caps)
    expect([shown(now), rest.more]).toEqual([expected, more])
  })

  test('let every message through in the end, a huge one as well', () => {
    const known = new Map<string, LedgerMark>()
    const maildrop = listing('a:10 huge:1000 b:10 huger:2000 c:10')
    let sessions = 0
    for (let more = true; more; sessions++) {
      const result = capped(plan(maildrop, { ...EMPTY, marks: known }).retrieve, { messages: 2, bytes: 100 })
      expect(result.now.length).toBeGreaterThan(0)
      for (const { uidl } of result.now) known.set(uidl, 'known')
      more = result.more
    }
    expect(known.size).toBe(5)
    expect(sessions).toBe(4)
  })
})

describe('what is removed from the server', () => {
  test('is what the policy allows, by its number in this session', () => {
    const known = ledger({ a: 'deletable', b: 'known', c: 'doomed', x: 'deletable' })
    const { remove, retrieve } = plan(listing('a:1 b:1 c:1'), known)
    expect(remove.map((m) => `${m.number}=${m.uidl}/${m.ordinal}`)).toEqual(['1=a/1', '3=c/1'])
    expect(retrieve).toEqual([])
  })

  test('is never something that was not stored', () => {
    expect(plan(listing('new:1 skipped:1 wait:1'), ledger({ skipped: 'retry', wait: 'listed' })).remove).toEqual([])
  })
})

test('whatever the ledger knows and the server no longer lists is gone', () => {
  const known = ledger({ a: 'doomed', b: 'doomed', 'with blank/2': 'listed', d: 'known' })
  expect(plan(listing('a:1'), known).gone).toEqual([
    { uidl: 'b', ordinal: 1 },
    { uidl: 'with blank', ordinal: 2 },
    { uidl: 'd', ordinal: 1 },
  ])
})
