// Servers and senders that say what no column holds, or what we say ourselves: everything is stored all the same.

import { createHash, randomInt } from 'node:crypto'
import { expect } from 'vitest'
import { DAY_MS } from '../../../src/base/clock.ts'
import { row } from '../../support/figures.ts'
import { withInbound } from '../../support/inbound.ts'
import { letter, letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'

const DELAYS = ['1000000000000', '9'.repeat(40), '1.5', '-5', 'Infinity', '1e3', '0x10', 'NaN', 'USER', '']

row('A18b', 'a LOGIN-DELAY that is no number of seconds, or keeps us away for years', { fast: true }, async () => {
  for (const delay of DELAYS) {
    const capabilities = () => ['TOP', 'UIDL', 'USER', `LOGIN-DELAY ${delay}`.trim()]
    await withInbound({ habits: { capabilities } }, async ({ box, user, poll, nextAt, inspect }) => {
      for (const bytes of letters(3)) box.maildrop(user).add(bytes)
      expect([delay, await poll()]).toMatchObject([delay, { stored: 3 }])
      expect((await nextAt()).getTime()).toBeLessThan(Date.now() + 1.2 * DAY_MS)
      expect(await inspect()).toMatchObject(UNHARMED)
      return ''
    })
  }
  return `stored 3 of 3 and polled again within a day with each of ${DELAYS.length} delays`
})

row('A10b', 'STAT counts more messages than there are: a quiet maildrop is no failing account', { fast: true }, () =>
  withInbound({}, async ({ box, user, poll, flags, inspect }) => {
    for (const bytes of letters(3)) box.maildrop(user).add(bytes)
    box.edits = { stat: () => '+OK 1000000000 999999999999999' }
    expect(await poll()).toMatchObject({ stored: 3 })
    for (let n = 0; n < 3; n++) expect((await poll()).failure).toBeUndefined()
    expect(await flags()).toEqual([])
    box.maildrop(user).add(letter('neu'))
    expect(await poll()).toMatchObject({ stored: 1 })
    expect(await inspect()).toMatchObject(UNHARMED)
    return 'stored 4 of 4, flags 0 in 5 polls'
  }),
)

row('A4b', 'a server that hangs up after every message is emptied, without waits that grow', { fast: true }, () =>
  withInbound({}, async ({ box, user, poll, nextAt, inspect }) => {
    for (const bytes of letters(8)) box.maildrop(user).add(bytes)
    box.hooks = { seen: ({ verb, nth }) => (verb === 'RETR' && nth > 1 ? { cutAfter: 0 } : undefined) }
    const waits: number[] = []
    for (let n = 0; n < 8; n++) {
      await poll()
      waits.push((await nextAt()).getTime() - Date.now())
      await box.waitFor(() => box.maildrop(user).holder === undefined)
    }
    expect(await inspect()).toMatchObject(UNHARMED)
    expect(Math.max(...waits.slice(0, 7))).toBeLessThan(15_000)
    return `stored 8 of 8 in 8 sessions, the longest wait ${Math.round(Math.max(...waits.slice(0, 7)) / 1_000)} s`
  }),
)

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

row('A9d', 'UIDLs that look like the names we give to messages without one', { fast: true }, () =>
  withInbound({ over: { delete_after_days: 0 } }, async ({ box, user, poll, relist, inspect }) => {
    const drop = box.maildrop(user)
    const [first, second, third] = [letter('eins'), letter('zwei'), letter('drei')] as const
    drop.add(first, { uidl: `sha256:${sha256(second)}` })
    drop.add(second, { uidl: 'ohne\tNamen' })
    drop.add(third, { uidl: `top:${sha256(third)}` })
    drop.add(letter('vier'), { uidl: 'sha256:' })
    drop.add(letter('fünf'))
    expect(await poll()).toMatchObject({ stored: 5, deleted: 5 })
    for (let n = 0; n < 2; n++) {
      drop.add(letter('mehr'), { uidl: `sha256:${sha256(first)}` })
      drop.add(letter('anderes'), { uidl: `sha256:${sha256(second)}` })
      await relist()
      await poll()
    }
    const found = await inspect()
    expect(found).toMatchObject(UNHARMED)
    return `stored ${found.stored} of ${found.delivered}, deleted unread 0`
  }),
)

/** Of characters that take three bytes each, and do not compress. */
const idOf = (characters: number): string =>
  String.fromCharCode(...Array.from({ length: characters }, () => 0x4e00 + randomInt(20_000)))

row('E16', 'ids too long for an index are left out, and the messages are stored and parsed', { fast: true }, () =>
  withInbound({}, async ({ box, user, poll, house, inspect }) => {
    for (const field of ['Message-ID', 'In-Reply-To', 'References'])
      for (const characters of [332, 333, 980])
        box.maildrop(user).add(Buffer.from(`${field}: <${idOf(characters)}@b>\r\nSubject: lang\r\n\r\nText\r\n`))
    expect(await poll()).toMatchObject({ stored: 9, skipped: 0 })
    expect(await inspect()).toMatchObject(UNHARMED)
    const ids = await house.db.selectFrom('messages').select('internet_message_id as id').execute()
    expect(ids.every(({ id }) => Buffer.byteLength(id ?? '') <= 998)).toBe(true)
    return 'stored 9 of 9'
  }),
)
