// UIDLs that change under us: a mailbox that was moved is recognised, a stranger's is not imported.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { withInbound, type Inbound } from '../../support/inbound.ts'
import { letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'

async function guardOf({ house, id }: Inbound): Promise<string | null> {
  const { rows } = await sql<{ guard: string | null }>`
    select guard from poststelle.maildrops where account_id = ${id()}`.execute(house.db)
  return rows[0]?.guard ?? null
}

/** Until a session leaves nothing for another. */
async function pollToEnd({ poll, relist }: Inbound): Promise<number> {
  let stored = 0
  await relist()
  for (let more = true, n = 0; more && n < 20; n++) {
    const result = await poll()
    stored += result.stored
    more = result.more
  }
  return stored
}

row('A6', 'all UIDLs change: the mail is recognised by its headers, and nothing is stored twice', { fast: true }, () =>
  withInbound({}, async (inbound) => {
    const { box, user, flags, inspect } = inbound
    const drop = box.maildrop(user)
    for (const bytes of letters(sized(300, 1_000))) drop.add(bytes)
    await pollToEnd(inbound)
    drop.renumber()
    for (const bytes of letters(10, { date: new Date() })) drop.add(bytes)
    const before = box.seen.commands.filter(({ line }) => line.startsWith('RETR')).length
    expect(await pollToEnd(inbound)).toBe(10)
    expect(await pollToEnd(inbound)).toBe(0)
    const again = box.seen.commands.filter(({ line }) => line.startsWith('RETR')).length - before - 10
    const found = await inspect()
    expect(found).toMatchObject(UNHARMED)
    expect(await flags()).toEqual([])
    expect(await guardOf(inbound)).toBeNull()
    return `${found.delivered - 10} renumbered, stored twice 0, retrieved again ${again}, new ones stored 10, asked nobody`
  }),
)

row('A7', 'some UIDLs change while mail comes in: no false stop, only the new mail is stored', { fast: false }, () =>
  withInbound({}, async (inbound) => {
    const { box, user, flags, inspect } = inbound
    const drop = box.maildrop(user)
    const count = 1_000
    for (const bytes of letters(count)) drop.add(bytes)
    await pollToEnd(inbound)
    const rounds = 6
    let changed = 0
    for (let n = 0; n < rounds; n++) {
      changed += drop.renumber((_, i) => i % 10 === n)
      for (const bytes of letters(count / 20)) drop.add(bytes)
      expect(await pollToEnd(inbound)).toBe(count / 20)
      expect(await flags()).toEqual([])
    }
    expect(await inspect()).toMatchObject(UNHARMED)
    return `false stops 0 in ${rounds} rounds, ${changed} renumbered stored twice 0, ${(rounds * count) / 20} new stored`
  }),
)

row(
  'A26',
  "a stranger's mailbox is shown: nothing of it is stored, and it is over when the right one is back",
  { fast: true },
  () =>
    withInbound({ users: ['a@example.test', 'b@example.test'], over: { delete_after_days: 30 } }, async (inbound) => {
      const { box, user, poll, relist, flags, inspect } = inbound
      const count = sized(150, 1_000)
      const [mine, other] = [box.maildrop(user), box.maildrop('b@example.test')]
      for (const bytes of letters(count)) mine.add(bytes)
      for (const bytes of letters(count)) other.add(bytes)
      await pollToEnd(inbound)
      const right = [...mine.messages]
      mine.showInstead(other.messages)
      for (let n = 0; n < 3; n++) {
        await relist()
        expect(await poll()).toMatchObject({ stored: 0, deleted: 0, failure: { flag: 'uidl_reset' } })
      }
      expect(await guardOf(inbound)).toBe('paused')
      expect((await flags()).map(({ flag, persistence }) => [flag, persistence])).toEqual([['uidl_reset', 'human']])
      expect(box.seen.commands.filter(({ line, user: by }) => by === user && /^(?:DELE|RETR)/.test(line))).toHaveLength(
        count,
      )
      mine.showInstead(right)
      await relist()
      expect((await poll()).failure).toBeUndefined()
      expect(await flags()).toEqual([])
      await poll('b@example.test')
      const { violations, ...found } = await inspect()
      expect(found).toMatchObject({ lost: 0, waiting: 0, doubled: 0, partial: 0, stored: 2 * count })
      expect(violations).toEqual([])
      return `guard tripped 1 of 1, stored 0 of ${count} foreign messages, deleted 0, over with the first right listing`
    }),
)

row(
  'A6b',
  'all UIDLs change while nothing can be read: the next session recognises what was refused, and what is too large',
  { fast: true },
  () =>
    withInbound({ over: { max_message_bytes: 1_048_576 } }, async (inbound) => {
      const { box, user, house, inspect } = inbound
      const drop = box.maildrop(user)
      drop.addGenerated({ sizeBytes: 3_000_000 })
      for (const bytes of letters(3)) drop.add(bytes)
      await pollToEnd(inbound)
      drop.renumber()
      const refused = { reply: '-ERR unable to open this message' }
      box.hooks = { seen: ({ verb }) => (verb === 'TOP' || verb === 'RETR' ? refused : undefined) }
      await pollToEnd(inbound)
      box.hooks = {}
      expect(await pollToEnd(inbound)).toBe(0)
      const inbox = await house.db.selectFrom('messages').select('complete').execute()
      expect(inbox.filter(({ complete }) => complete)).toHaveLength(3)
      expect(inbox.filter(({ complete }) => !complete)).toHaveLength(1)
      expect(await inspect()).toMatchObject({ ...UNHARMED, waiting: 1 })
      return 'of 4 renumbered stored twice 0, headers stored twice 0'
    }),
)

row(
  'A7b',
  'machines that send without Message-ID and Date: a new message is not taken for one that has gone',
  { fast: true },
  () =>
    withInbound({}, async (inbound) => {
      const { box, user, inspect } = inbound
      const drop = box.maildrop(user)
      const alarm = (door: number): Buffer =>
        Buffer.from(`From: tor@example.test\r\nSubject: Alarm\r\n\r\nTor ${door} steht offen\r\n`)
      for (const bytes of [...letters(2), alarm(1), alarm(2)]) drop.add(bytes)
      await pollToEnd(inbound)
      drop.tidy((message) => message === drop.delivered[2])
      await pollToEnd(inbound)
      drop.renumber()
      drop.add(alarm(3))
      expect(await pollToEnd(inbound)).toBe(1)
      expect(await inspect()).toMatchObject(UNHARMED)
      return 'of 3 equal but for a digit lost 0; renumbered, stored twice 0'
    }),
)

row(
  'A7c',
  'somebody tidies up by webmail while the first poll takes several sessions: no false stop',
  { fast: true },
  () =>
    withInbound({ over: { max_session_messages: 100 } }, async ({ box, user, poll, flags, inspect }) => {
      const drop = box.maildrop(user)
      for (const bytes of letters(300)) drop.add(bytes)
      await poll()
      const tidied = new Set(drop.messages.slice(0, 60))
      drop.tidy((message) => tidied.has(message))
      for (let more = true, n = 0; more && n < 5; n++) ({ more } = await poll())
      expect(await flags()).toEqual([])
      expect(await inspect()).toMatchObject({ ...UNHARMED, stored: 300 })
      return 'false stops 0 of 1, stored 300 of 300'
    }),
)
