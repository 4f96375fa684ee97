// Messages that have no name of their own: places in a group of equal UIDLs move when one of the group leaves, and without a
// UIDL there is nothing to remember a message by but its bytes.

import { sql } from 'kysely'
import { expect, vi } from 'vitest'
import { row } from '../../support/figures.ts'
import { withInbound, type Inbound } from '../../support/inbound.ts'
import { letter, letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'
import type { BoxMessage } from '../../support/popbox-maildrop.ts'

const REFUSAL = '-ERR unable to open this message'

async function pollTimes({ poll, relist }: Inbound, times: number): Promise<void> {
  for (let n = 0; n < times; n++) {
    await relist()
    await poll()
  }
}

/** Twins under one UIDL, of which one leaves while another was not to be had yet. */
const LEAVING: Readonly<Record<string, (inbound: Inbound) => Promise<void>>> = {
  'one is deleted, and the answer to QUIT is lost': async (inbound) => {
    const { box, user } = inbound
    const [, second] = letters(2).map((bytes) => box.maildrop(user).add(bytes, { uidl: 'gleich' }))
    if (second) second.refusal = REFUSAL
    box.hooks = { seen: ({ verb }) => (verb === 'QUIT' ? { cutAfter: 0 } : undefined) }
    await pollTimes(inbound, 1)
    box.hooks = {}
    delete second?.refusal
    await pollTimes(inbound, 3)
  },
  'one is taken away by webmail': async (inbound) => {
    const { box, user } = inbound
    const [first, second] = letters(2).map((bytes) => box.maildrop(user).add(bytes, { uidl: 'gleich' }))
    if (second) second.refusal = REFUSAL
    await setDays(inbound, 7)
    await pollTimes(inbound, 1)
    box.maildrop(user).tidy((message) => message === first)
    await age(inbound)
    delete second?.refusal
    await pollTimes(inbound, 3)
  },
  'one is old enough to be deleted before the others': async (inbound) => {
    const { box, user } = inbound
    await setDays(inbound, 7)
    const twin = letter('Zwilling')
    box.maildrop(user).add(twin, { uidl: 'gleich' })
    await pollTimes(inbound, 1)
    await age(inbound)
    for (const bytes of [letter('anders'), twin]) box.maildrop(user).add(bytes, { uidl: 'gleich' })
    await pollTimes(inbound, 4)
  },
}

const setDays = async ({ house }: Inbound, days: number): Promise<void> =>
  void (await house.db.updateTable('maildrops').set({ delete_after_days: days }).execute())

const age = async ({ house }: Inbound): Promise<void> =>
  void (await sql`update poststelle.maildrop_uidls set stored_at = now() - interval '8 days' where state = 'stored'`.execute(
    house.db,
  ))

row(
  'A8b',
  'one of several messages under a UIDL leaves: no other takes its place in the ledger',
  { fast: true },
  async () => {
    const harm: string[] = []
    for (const [what, happens] of Object.entries(LEAVING)) {
      await withInbound({ over: { delete_after_days: 0 } }, async (inbound) => {
        await happens(inbound)
        const { lost, doubled, deletedUnread, waiting, violations } = await inbound.inspect()
        if (lost + doubled + deletedUnread + waiting + violations.length > 0)
          harm.push(
            `${what}: lost ${lost}, doubled ${doubled}, deleted unread ${deletedUnread}, waiting ${waiting} ${violations.join()}`,
          )
        return ''
      })
    }
    expect(harm).toEqual([])
    return `lost 0, doubled 0, deleted unread 0 in ${Object.keys(LEAVING).length} ways to leave`
  },
)

row(
  'A9b',
  'a server without UIDL: a message that is too large or breaks the session does not block the others',
  { fast: true },
  async () => {
    const figures: string[] = []
    for (const what of ['too large', 'breaks the session'] as const) {
      await withInbound({ over: { max_message_bytes: 1_048_576 } }, async ({ box, user, poll, relist, inspect }) => {
        const drop = box.maildrop(user)
        for (const bytes of letters(5)) drop.add(bytes)
        const ill: BoxMessage =
          what === 'too large' ? drop.addGenerated({ sizeBytes: 4_000_000 }) : drop.add(letter('Gift'))
        for (const bytes of letters(5)) drop.add(bytes)
        box.hooks = {
          seen: ({ verb, message }) => {
            if (verb === 'UIDL') return { reply: '-ERR unknown command "UIDL"' }
            return verb === 'RETR' && message === ill && what !== 'too large' ? { cutAfter: 60 } : undefined
          },
        }
        let sessions = 0
        for (; sessions < 4; sessions++) {
          await poll()
          await relist()
          await box.waitFor(() => drop.holder === undefined)
        }
        expect([what, await inspect()]).toMatchObject([what, { ...UNHARMED, stored: 10, waiting: 1 }])
        figures.push(`${what}: stored the other 10 of 10`)
        return ''
      })
    }
    return figures.join('; ')
  },
)

row(
  'A8c',
  'messages without a name of their own that are too large: their headers are stored once, and give way when the limit is raised',
  { fast: true },
  async () => {
    const inboxOf = async ({ house }: Inbound): Promise<boolean[]> =>
      (await house.db.selectFrom('messages').select('complete').orderBy('id').execute()).map(({ complete }) => complete)
    for (const uidl of [true, false]) {
      await withInbound({ over: { max_message_bytes: 1_048_576 } }, async (inbound) => {
        const { box, user, house, inspect } = inbound
        const drop = box.maildrop(user)
        drop.add(letter('klein'), { uidl: 'gleich' })
        for (const sizeBytes of [3_000_000, 4_000_000]) drop.addGenerated({ sizeBytes }, { uidl: 'gleich' })
        if (!uidl)
          box.hooks = {
            seen: ({ verb }) => (verb === 'UIDL' ? { reply: '-ERR unknown command "UIDL"' } : undefined),
          }
        await pollTimes(inbound, 3)
        expect((await inboxOf(inbound)).filter((complete) => !complete)).toHaveLength(2) // equal to the byte, and two messages
        await house.db.updateTable('maildrops').set({ max_message_bytes: 10_000_000 }).execute()
        await pollTimes(inbound, 3)
        expect(await inboxOf(inbound)).toEqual([true, true, true])
        expect(await inspect()).toMatchObject(UNHARMED)
        return ''
      })
    }
    return 'of 2 too large: 2 headers after 3 sessions, 2 whole messages and no headers after the limit was raised'
  },
)

row('A8d', 'a UIDL comes back: the same message is not stored again, another one is', { fast: true }, () =>
  withInbound({}, async (inbound) => {
    const { box, user, house, inspect } = inbound
    const drop = box.maildrop(user)
    const [same, other] = [letter('bleibt'), letter('geht')]
    drop.add(same, { uidl: 'eins' })
    drop.add(other, { uidl: 'zwei' })
    drop.add(letter('dritte'), { uidl: 'drei' })
    await pollTimes(inbound, 1)
    const before = [...drop.messages]
    drop.tidy(() => true)
    await pollTimes(inbound, 1)
    const [first, , third] = before
    drop.showInstead([first, third].flatMap((message) => (message ? [{ ...message }] : [])))
    if (drop.messages[1]) drop.messages[1].announced += 3 // another count of the same bytes
    drop.add(letter('kommt', { sizeBytes: 900 }), { uidl: 'zwei' })
    await pollTimes(inbound, 2)
    expect(await house.db.selectFrom('messages').select('id').execute()).toHaveLength(4)
    expect(await inspect()).toMatchObject(UNHARMED)
    return 'of 4 messages under 3 UIDLs lost 0, doubled 0'
  }),
)

row(
  'A9c',
  'a server without UIDL and more than a session can receive: it is received whole, and then it is over',
  { fast: true },
  () =>
    withInbound({ provider: 'microsoft' }, async ({ box, user, poll, inspect }) => {
      const drop = box.maildrop(user)
      for (const bytes of letters(40)) drop.add(bytes)
      const realNow = performance.now.bind(performance)
      let passed = 0
      const clock = vi.spyOn(performance, 'now').mockImplementation(() => realNow() + passed)
      box.hooks = {
        seen: ({ verb }) => {
          if (verb === 'UIDL') return { reply: '-ERR unknown command "UIDL"' }
          if (verb === 'RETR') passed += 15_000
          return undefined
        },
      }
      try {
        let sessions = 0
        for (let more = true; more && sessions < 20; sessions++) ({ more } = await poll())
        expect(sessions).toBeLessThan(10)
        expect(await inspect()).toMatchObject({ ...UNHARMED, stored: 40 })
        const before = drop.retrieved.size
        drop.add(letter('neu'))
        for (let more = true, n = 0; more && n < 20; n++) ({ more } = await poll())
        expect(drop.retrieved.size).toBe(before + 1)
        expect(await inspect()).toMatchObject({ ...UNHARMED, stored: 41 })
        return `40 messages in ${sessions} sessions`
      } finally {
        clock.mockRestore()
      }
    }),
)
