import { describe, expect, test } from 'vitest'
import type { LedgerEntry } from '../../../src/db/maildrops.ts'
import { plan, type Caps, type Listed, type Plan } from '../../../src/retrieval/plan.ts'

const NO_CAPS: Caps = { messages: 1_000, bytes: 1_000_000 }
const STORED: LedgerEntry = { state: 'stored', retry: false, deletable: false }

/** 'a:10 b:20': message 1 has UIDL a and 10 bytes, and so on. */
const listing = (text: string): Listed[] =>
  text
    .split(' ')
    .filter(Boolean)
    .map((part, index) => {
      const [uidl = '', size] = part.split(':')
      return { number: index + 1, uidl, sizeBytes: Number(size) }
    })
const ledger = (entries: Record<string, LedgerEntry>): Map<string, LedgerEntry> => new Map(Object.entries(entries))
const retrieved = ({ retrieve }: Plan): string => retrieve.map((m) => `${m.number}=${m.uidl}/${m.ordinal}`).join(' ')

describe('what is retrieved', () => {
  test('is what the ledger does not know, the oldest first', () => {
    const shuffled = [listing('a:1 b:1 c:1 d:1')].flatMap(([a, b, c, d]) => [d, b, a, c]).filter((m) => m !== undefined)
    expect(retrieved(plan(shuffled, ledger({ 'b 1': STORED }), NO_CAPS))).toBe('1=a/1 3=c/1 4=d/1')
  })

  test('is nothing of an empty maildrop', () => {
    expect(plan([], new Map(), NO_CAPS)).toEqual({ retrieve: [], remove: [], gone: [], more: false })
  })

  test.each([
    ['a:1 a:1 b:1 a:1', {}, '1=a/1 2=a/2 3=b/1 4=a/3'],
    ['a:1 a:1', { 'a 1': STORED }, '2=a/2'],
    ['a:1 a:1', { 'a 1': STORED, 'a 2': STORED }, ''],
    ['a:1', { 'a 2': STORED }, '1=a/1'],
  ])('of messages with equal UIDLs (%s, known %j) is each one', (text, known, expected) => {
    expect(retrieved(plan(listing(text), ledger(known), NO_CAPS))).toBe(expected)
  })

  test('tells a UIDL that ends in a number from the second of two equal ones', () => {
    const odd: Listed[] = [{ number: 1, uidl: 'a 2', sizeBytes: 1 }]
    expect(retrieved(plan(odd, ledger({ 'a 2': STORED }), NO_CAPS))).toBe('1=a 2/1')
  })

  test('leaves what the ledger knows, but for what was skipped and is to be tried again', () => {
    for (const state of ['stored', 'quarantined', 'delete_intent', 'skipped'] as const) {
      for (const retry of [false, true]) {
        const { retrieve } = plan(listing('a:1'), ledger({ 'a 1': { state, retry, deletable: false } }), NO_CAPS)
        expect(retrieve).toEqual(retry ? [{ number: 1, uidl: 'a', ordinal: 1, sizeBytes: 1 }] : [])
      }
    }
  })

  test('begins with what was never tried: what broke a session before does not stand before the others', () => {
    const again: LedgerEntry = { state: 'skipped', retry: true, deletable: false }
    expect(retrieved(plan(listing('bad:1 b:1 c:1'), ledger({ 'bad 1': again }), NO_CAPS))).toBe('2=b/1 3=c/1 1=bad/1')
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
    const result = plan(listing(text), new Map(), caps)
    expect([retrieved(result), result.more]).toEqual([expected, more])
  })

  test('are not touched by what is known already', () => {
    const result = plan(listing('a:500 b:500 c:10'), ledger({ 'a 1': STORED, 'b 1': STORED }), {
      messages: 1,
      bytes: 10,
    })
    expect([retrieved(result), result.more]).toEqual(['3=c/1', false])
  })

  test('let every message through in the end, a huge one as well', () => {
    let known = new Map<string, LedgerEntry>()
    const maildrop = listing('a:10 huge:1000 b:10 huger:2000 c:10')
    const caps: Caps = { messages: 2, bytes: 100 }
    let sessions = 0
    for (let more = true; more; sessions++) {
      const result = plan(maildrop, known, caps)
      expect(result.retrieve.length).toBeGreaterThan(0)
      known = new Map([
        ...known,
        ...result.retrieve.map((m): [string, LedgerEntry] => [`${m.uidl} ${m.ordinal}`, STORED]),
      ])
      more = result.more
    }
    expect(known.size).toBe(5)
    expect(sessions).toBe(4)
  })
})

describe('what is removed from the server', () => {
  const deletable = (state: LedgerEntry['state']): LedgerEntry => ({ state, retry: false, deletable: true })

  test('is what the policy allows, by its number in this session', () => {
    const known = ledger({
      'a 1': deletable('stored'),
      'b 1': STORED,
      'c 1': deletable('delete_intent'),
      'c 2': STORED,
      'x 1': deletable('stored'),
    })
    const { remove, retrieve } = plan(listing('a:1 b:1 c:1 c:1'), known, NO_CAPS)
    expect(remove.map((m) => `${m.number}=${m.uidl}/${m.ordinal}`)).toEqual(['1=a/1', '3=c/1'])
    expect(retrieve).toEqual([])
  })

  test('is never something that was not stored', () => {
    const { remove } = plan(
      listing('new:1 skipped:1'),
      ledger({ 'skipped 1': { state: 'skipped', retry: true, deletable: false } }),
      NO_CAPS,
    )
    expect(remove).toEqual([])
  })
})

test('what we had meant to delete and the server no longer lists is gone; anything else that vanished is left alone', () => {
  const intent: LedgerEntry = { state: 'delete_intent', retry: false, deletable: true }
  const known = ledger({ 'a 1': intent, 'b 1': intent, 'with blank 2': intent, 'd 1': STORED })
  expect(plan(listing('a:1'), known, NO_CAPS).gone).toEqual([
    { uidl: 'b', ordinal: 1 },
    { uidl: 'with blank', ordinal: 2 },
  ])
})
