// Listings that lie: equal UIDLs, none at all, lists that disagree, lines that make no sense.

import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { withInbound } from '../../support/inbound.ts'
import { letter, letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'
import type { ListingEdits, Twist } from '../../support/popbox.ts'

row('A8', 'two messages under one UIDL: both are stored, and neither is deleted unread', { fast: true }, () =>
  withInbound({ over: { delete_after_days: 0 } }, async ({ box, user, poll, relist, inspect }) => {
    const drop = box.maildrop(user)
    const rounds = sized(4, 40)
    for (let n = 0; n < rounds; n++) {
      const twin = letter('Zwilling')
      for (const bytes of [twin, twin, letter('anders'), letter('noch anders')])
        drop.add(bytes, { uidl: `gleich-${n}` })
      drop.add(letter('allein'))
      // one of two is not to be had: its twin's deletion must not take it along
      const [first, second] = letters(2).map((bytes) => drop.add(bytes, { uidl: `halb-${n}` }))
      const ill = n % 2 === 0 ? first : second
      if (ill) ill.refusal = '-ERR unable to open this message'
      await poll()
      expect(drop.messages).toEqual([ill])
      delete ill?.refusal
      await relist()
      await poll()
      expect(drop.messages).toEqual([])
    }
    const found = await inspect()
    expect(found).toMatchObject(UNHARMED)
    return `stored ${found.stored} of ${found.delivered}, of which ${rounds * 6} share a UIDL, deleted unread 0`
  }),
)

row('A9', 'a server without UIDL: known by their bytes, nothing is stored twice', { fast: true }, () =>
  withInbound({}, async ({ box, user, poll, relist, ledger, inspect }) => {
    const drop = box.maildrop(user)
    box.hooks = { seen: ({ verb }) => (verb === 'UIDL' ? { reply: '-ERR unknown command "UIDL"' } : undefined) }
    const twin = letter('Zwilling')
    drop.add(twin)
    drop.add(twin)
    const rounds = sized(3, 10)
    for (let n = 0; n < rounds; n++) {
      for (const bytes of letters(20)) drop.add(bytes)
      await poll()
      await relist()
      await poll()
      expect(await inspect()).toMatchObject(UNHARMED)
      drop.tidy((message) => message === drop.messages[2])
    }
    const rows = await ledger()
    expect(rows.filter(({ uidl }) => !/^sha256:[0-9a-f]{64}$/.test(uidl))).toEqual([])
    return `doubled 0 in ${rounds * 2} polls, ${rows.length} messages known by their bytes`
  }),
)

/** What the lists say of ten messages; every message that one of them names is there. */
const DISAGREEING: Readonly<Record<string, ListingEdits>> = {
  'LIST lacks the last': { list: (lines) => lines.slice(0, -1) },
  'LIST says two': { list: (lines) => lines.slice(0, 2) },
  'LIST is empty': { list: () => [] },
  'UIDL lacks the last': { uidl: (lines) => lines.slice(0, -1) },
  'UIDL lacks one in the middle': { uidl: (lines) => lines.filter((_, i) => i !== 4) },
  'UIDL is empty': { uidl: () => [] },
  'STAT says fewer': { stat: () => '+OK 3 100' },
  'STAT says more': { stat: () => '+OK 4000 100' },
  'STAT has a negative size': { stat: () => '+OK 10 -2147483648' },
  'numbers 0, negative, huge': {
    uidl: (lines) => ['0 null', '-1 minus', '99999999999 gross', '4294967297 wrap', ...lines],
    list: (lines) => ['0 10', '-1 10', '99999999999 10', ...lines],
  },
  'numbers of messages that are not there': { uidl: (lines) => [...lines, '11 elf', '12 zwoelf', '900 neun'] },
  'the order is reversed': { uidl: (lines) => lines.toReversed(), list: (lines) => lines.toReversed() },
  'sizes are negative or words': {
    list: (lines) => lines.map((line, i) => `${line.split(' ')[0]} ${i % 2 ? -5 : 'viel'}`),
  },
}

row(
  'A10',
  'STAT, LIST and UIDL disagree: what one of them names is taken, and the session ends cleanly',
  { fast: true },
  () =>
    withInbound({}, async ({ box, user, poll, relist, inspect }) => {
      let whole = 0
      for (const [what, edits] of Object.entries(DISAGREEING)) {
        const drop = box.maildrop(user)
        drop.tidy(() => true)
        for (const bytes of letters(10)) drop.add(bytes)
        const before = await inspect()
        box.edits = edits
        const result = await poll()
        expect([what, result.failure]).toEqual([what, undefined])
        expect(box.seen.commands.at(-1)?.line).toBe('QUIT')
        const after = await inspect()
        expect([what, after.stored - before.stored]).toEqual([what, 10])
        whole += 1
        box.edits = {}
        await relist()
        await poll()
        expect([what, await inspect()]).toMatchObject([what, UNHARMED])
      }
      return `${whole} kinds of disagreement, session ended cleanly in all, stored all that one list names, lost 0, doubled 0`
    }),
)

const list = (...lines: string[]): Buffer => Buffer.from(['+OK', ...lines, '.', ''].join('\r\n'), 'latin1')

/** Instead of the UIDL or LIST reply. */
const MALFORMED: readonly Buffer[] = [
  list('abc def', '', ' ', '1', '2 ', 'x', '+OK', '-ERR'),
  list('1 \u0001\u0002', '2 \u007f', `3 ${'y'.repeat(2_000)}`, `4 ${'z'.repeat(20_000)}`),
  list('1\tuidl', ' 2 uidl', '3  zwei Blanks', '4 mit Blank darin'),
  list('..1 a', '.. b', '...'),
  Buffer.from('+OK\r\n1 a\n2 b\r3 c\r\n.\r\n'),
  Buffer.from('+OK\r\n.\r\n'),
]

/** The session ends in the middle of it. */
const BROKEN: readonly Twist[] = [
  { reply: Buffer.from('+OK\r\n1 a\r\n2 b\r\n.\n.\r\n'), hangUp: 'close' },
  { reply: Buffer.from('+OK\r\n1 a\r\n2 b\r\n'), hangUp: 'close' },
  { reply: Buffer.from('+OK\r\n1 a\r\n2 b\r\n.'), hangUp: 'close' },
  { reply: Buffer.from('+OK'), hangUp: 'reset' },
  { reply: Buffer.from('\0\0\0\r\n'), hangUp: 'close' },
  { reply: Buffer.from('* OK IMAP4rev1\r\n') },
  { reply: Buffer.alloc(0), hangUp: 'close' },
]

row(
  'A11',
  'lines that make no sense, no final dot, stray line ends: no crash, and nothing is lost',
  { fast: true },
  () =>
    withInbound({}, async ({ box, house, user, poll, relist, inspect }) => {
      const drop = box.maildrop(user)
      let replies = 0
      const withReply = async (verb: string, twist: Twist): Promise<void> => {
        drop.add(letter(`Nr. ${replies++}`))
        box.hooks = { seen: (event) => (event.verb === verb && event.nth === 1 ? twist : undefined) }
        await relist()
        await poll()
        await box.waitFor(() => drop.holder === undefined)
      }
      for (const verb of ['UIDL', 'LIST', 'STAT']) {
        for (const reply of MALFORMED) await withReply(verb, { reply, ...(verb === 'STAT' && { hangUp: 'close' }) })
        for (const twist of BROKEN) await withReply(verb, twist)
      }
      for (let n = 0; n < sized(60, 1_500); n++) {
        const verb = ['UIDL', 'LIST', 'STAT', 'CAPA', 'GREETING'][n % 5] ?? ''
        await withReply(verb, {
          reply: garbled(drop.messages.map(({ uidl }, i) => `${i + 1} ${uidl}`)),
          hangUp: 'close',
        })
      }
      box.hooks = {}
      await house.db.updateTable('maildrops').set({ guard: null, guard_since: null, guard_figures: null }).execute()
      await relist()
      await poll()
      await relist()
      await poll()
      const found = await inspect()
      expect(found).toMatchObject({ lost: 0, waiting: 0, doubled: 0, partial: 0, deletedUnread: 0 })
      return `crashes 0 in ${replies} malformed replies, lost 0 and doubled ${found.doubled} of ${found.delivered}`
    }),
)

/** A listing with some bytes changed, taken out or put in. */
function garbled(lines: readonly string[]): Buffer {
  const bytes = [...list(...lines.slice(0, 40))]
  for (let n = 0; n < 1 + Math.random() * 6; n++) {
    const at = Math.floor(Math.random() * bytes.length)
    const byte = [0, 10, 13, 32, 46, 255, Math.floor(Math.random() * 256)][Math.floor(Math.random() * 7)] ?? 0
    bytes.splice(at, Math.floor(Math.random() * 3), byte)
  }
  return Buffer.from(bytes)
}
