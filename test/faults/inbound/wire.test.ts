// What comes over the wire: connections cut anywhere, dots, malformed lines, messages that cannot be had.

import { buffer } from 'node:stream/consumers'
import { expect } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { PopSession } from '../../../src/pop3/session.ts'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { row, sized } from '../../support/figures.ts'
import { withInbound, type Inbound } from '../../support/inbound.ts'
import { letter, letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'
import { EMPTY_BODY } from '../../support/popbox-maildrop.ts'

/** One RETR on a connection that is cut; returns whether the message looked whole. */
async function retrieveCut({ box, house, user }: Inbound, cutAfter: number): Promise<boolean> {
  box.hooks = { seen: ({ verb }) => (verb === 'RETR' ? { cutAfter, hangUp: 'close' } : undefined) }
  const target = { host: 'localhost', port: box.port, security: 'none', provider: 'generic' } as const
  const session = await PopSession.open(house.net, target, { signal: AbortSignal.timeout(20_000) })
  try {
    await session.login({ mechanism: 'password', username: user, password: box.maildrop(user).password })
    const [, body] = await session.command('RETR', 1)
    await buffer(body)
    return true
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return false
  } finally {
    session.close()
    await box.waitFor(() => box.maildrop(user).holder === undefined)
  }
}

row(
  'A5',
  'the connection is cut at every byte of a RETR: no part of a message is taken for the whole',
  { fast: true },
  () =>
    withInbound({}, async (inbound) => {
      const { box, user, poll, relist, inspect } = inbound
      box.maildrop(user).add(letter('lang', { sizeBytes: 20_000 }))
      let wire = 0
      for (const piece of box.maildrop(user).messages[0]?.wire() ?? []) wire += piece.length
      const step = sized(97, 1)
      let cuts = 0
      for (let at = 0; at < wire; at += step, cuts++) expect(await retrieveCut(inbound, at)).toBe(false)
      for (let at = 0; at < wire; at += sized(1_997, 97), cuts++) {
        box.hooks = { seen: ({ verb }) => (verb === 'RETR' ? { cutAfter: at } : undefined) }
        await relist()
        expect((await poll()).failure).toBeDefined()
        expect((await inspect()).stored).toBe(0)
        await box.waitFor(() => box.maildrop(user).holder === undefined)
      }
      box.hooks = {}
      await relist()
      await poll()
      expect(await inspect()).toMatchObject({ ...UNHARMED, stored: 1 })
      return `partial stored 0 in ${cuts} cuts of ${wire} bytes, afterwards 1 whole`
    }),
)

const EDGES: readonly string[] = [
  '.',
  '..',
  '...',
  '.\r\n',
  '\r\n',
  '\r\n.\r\n',
  '.\r\n.\r\n.',
  'A: b\r\n\r\n.\r\n..\r\n...\r\n.x',
  'A: b\r\n\r\nohne Ende',
  'A: b\r\n\r\nEnde mit CR\r',
  'A: b\r\n\r\nEnde mit LF\n',
  'A: b\r\n\r\n\n.\n\r.\r\n\r\r\n.\r',
  'A: b\r\n\r\n\0\0.\0\r\n.\0',
  `A: b\r\n\r\n${'.\r\n'.repeat(40_000)}`,
  `A: b\r\n\r\n${'x'.repeat(65_533)}\r\n.`,
  `A: b\r\n\r\n\u00fc\u00df\u00ff${'.'.repeat(70_000)}`,
]

row(
  'A12',
  'dots at the beginning of lines, and messages that do not end with a line: stored byte for byte',
  { fast: true },
  () =>
    withInbound({}, async ({ box, house, user, poll, inspect }) => {
      const sizes = [undefined, 1, 2, 3, 7, 1_460].slice(0, sized(4, 6))
      const proxy = await startFaultProxy(box.port)
      await house.db.updateTable('accounts').set({ pop3_port: proxy.port }).execute()
      let served = 0
      for (const segmentBytes of sizes) {
        // byte by byte, the long ones would only take long
        const edges = (segmentBytes ?? 1_000) < 1_000 ? EDGES.filter((text) => text.length < 1_000) : EDGES
        for (const text of edges) box.maildrop(user).add(Buffer.from(text, 'latin1'))
        for (const text of edges) box.maildrop(user).add(Buffer.from(`X-Nr: ${served++}\r\n${text}`, 'latin1'))
        proxy.set(segmentBytes === undefined ? {} : { down: { segmentBytes } })
        await poll()
      }
      await proxy.stop()
      const found = await inspect()
      expect(found).toMatchObject(UNHARMED)
      return `byte-exact ${found.stored} of ${found.delivered}, in segments of ${sizes.map((size) => size ?? 'any').join(', ')} bytes`
    }),
)

row(
  'A13',
  'RETR answers with nothing or a refusal: skipped with the reason, never deleted, tried again',
  { fast: true },
  () =>
    withInbound({ over: { delete_after_days: 0 } }, async ({ box, user, poll, relist, ledger, inspect }) => {
      const count = sized(12, 120)
      const messages = letters(count).map((bytes) => box.maildrop(user).add(bytes))
      const ill = messages.filter((_, i) => i % 3 === 1)
      for (const [i, message] of ill.entries())
        message.refusal = i % 2 === 0 ? EMPTY_BODY : '-ERR unable to open this message'
      const tries = 3
      for (let n = 0; n < tries; n++) {
        await relist()
        await poll()
        const open = (await ledger()).filter(({ state }) => state !== 'deleted')
        expect(open.map(({ uidl }) => uidl).toSorted()).toEqual(ill.map(({ uidl }) => uidl).toSorted())
        expect(open.filter(({ state, reason }) => state !== 'skipped' || !reason)).toEqual([])
      }
      expect(box.maildrop(user).deleted).toHaveLength(count - ill.length)
      expect(await inspect()).toMatchObject({ lost: 0, waiting: ill.length, deletedUnread: 0, partial: 0 })
      for (const message of ill) delete message.refusal
      await relist()
      await poll()
      expect(await inspect()).toMatchObject(UNHARMED)
      return `deleted 0 of ${ill.length} in ${tries} tries, stored as soon as they could be had, the other ${count - ill.length} at once`
    }),
)

row(
  'A25',
  'the first of a hundred messages breaks every session: the others are stored all the same',
  { fast: true },
  () =>
    withInbound({}, async ({ box, user, poll, relist, ledger, inspect }) => {
      const [poison] = letters(100).map((bytes) => box.maildrop(user).add(bytes))
      box.hooks = {
        seen: ({ verb, message }) => (verb === 'RETR' && message === poison ? { cutAfter: 60 } : undefined),
      }
      const begun = performance.now()
      let sessions = 0
      for (; (await inspect()).stored < 99; sessions++) {
        expect(sessions).toBeLessThan(5)
        await poll()
        await relist()
        await box.waitFor(() => box.maildrop(user).holder === undefined)
      }
      const seconds = (performance.now() - begun) / 1000
      const open = (await ledger()).filter(({ state }) => state !== 'stored')
      expect(open.map(({ uidl }) => uidl)).toEqual([poison?.uidl])
      expect(['skipped', 'quarantined']).toContain(open[0]?.state)
      expect(await inspect()).toMatchObject({ lost: 0, doubled: 0, partial: 0, waiting: 1 })
      return `other 99 stored in ${sessions} sessions and ${seconds.toFixed(1)} s, set aside 1`
    }),
)
