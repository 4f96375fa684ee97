// Deletion on the server: only after QUIT was answered with +OK it counts, and only for what is stored whole.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { row, sized } from '../../support/figures.ts'
import { withInbound } from '../../support/inbound.ts'
import { letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'
import type { Twist } from '../../support/popbox.ts'

/** How QUIT can go wrong, and whether the server carried it out all the same. */
const QUITS: readonly { readonly twist: Twist; readonly carriedOut: boolean }[] = [
  { twist: { reply: '-ERR [SYS/TEMP] some deleted messages were not removed' }, carriedOut: false },
  { twist: { reply: Buffer.alloc(0), hangUp: 'close' }, carriedOut: false },
  { twist: { reply: Buffer.alloc(0), hangUp: 'reset' }, carriedOut: false },
  { twist: { reply: Buffer.from('+O'), hangUp: 'close' }, carriedOut: false },
  { twist: { cutAfter: 0 }, carriedOut: true },
  { twist: { cutAfter: 2, hangUp: 'close' }, carriedOut: true },
]

row('A4', 'QUIT is refused or never answered: nothing counts as deleted, and it is deleted later', { fast: true }, () =>
  withInbound({ over: { delete_after_days: 0 } }, async ({ box, user, poll, ledger, relist, inspect }) => {
    const each = sized(20, 200)
    let kept = 0
    for (const { twist, carriedOut } of QUITS) {
      for (const bytes of letters(each)) box.maildrop(user).add(bytes)
      box.hooks = { seen: ({ verb }) => (verb === 'QUIT' ? twist : undefined) }
      await poll()
      const open = (await ledger()).filter(({ state }) => state !== 'deleted')
      expect(open.map(({ state }) => state)).toEqual(Array(each).fill('delete_intent'))
      expect(box.maildrop(user).messages).toHaveLength(carriedOut ? 0 : each)
      kept += open.length
      box.hooks = {}
      await relist()
      await poll()
      await relist()
      await poll()
      expect(box.maildrop(user).messages).toHaveLength(0)
    }
    const found = await inspect()
    expect(found).toMatchObject(UNHARMED)
    const retrieved = box.seen.commands.filter(({ line }) => line.startsWith('RETR')).length
    expect(retrieved).toBe(found.delivered)
    return `still "on the server" ${kept} of ${found.delivered} in ${QUITS.length} kinds of failure, retrieved again 0, lost 0`
  }),
)

row('A28', 'a stored copy is damaged: its original is not deleted on the server', { fast: true }, () =>
  withInbound({ over: { delete_after_days: 7 } }, async ({ box, house, user, poll, relist, flags }) => {
    const count = sized(20, 200)
    const messages = letters(count).map((bytes) => box.maildrop(user).add(bytes))
    await poll()
    const damaged = messages.slice(3, 6).map(({ sha256 }) => sha256)
    await sql`update poststelle.message_bodies b set bytes = set_byte(b.bytes, 200, get_byte(b.bytes, 200) # 1)
      from poststelle.messages m where m.id = b.message_id and encode(m.sha256, 'hex') = any(${damaged})`.execute(
      house.db,
    )
    await sql`update poststelle.maildrop_uidls set stored_at = now() - interval '8 days'`.execute(house.db)
    await relist()
    expect(await poll()).toMatchObject({ deleted: count - damaged.length })
    expect(box.maildrop(user).messages.map(({ sha256 }) => sha256)).toEqual(damaged)
    const sent = new Set(box.seen.commands.flatMap(({ line }) => /^DELE (\d+)$/.exec(line)?.[1] ?? []))
    expect([4, 5, 6].filter((number) => sent.has(String(number)))).toEqual([])
    expect((await flags()).map(({ flag }) => flag)).toEqual(['stored_copy_damaged'])
    return `DELE sent 0 of ${damaged.length} damaged, ${count - damaged.length} intact ones deleted, flag stored_copy_damaged`
  }),
)

row('A28b', 'a known UIDL has come to another message: that one is not deleted in its place', { fast: true }, () =>
  withInbound({ over: { delete_after_days: 7 } }, async ({ box, house, user, poll, relist, flags }) => {
    const drop = box.maildrop(user)
    const [gone] = letters(3).map((bytes, i) => drop.add(bytes, { uidl: `${i + 1}` }))
    await poll()
    await sql`update poststelle.maildrop_uidls set stored_at = now() - interval '8 days'`.execute(house.db)
    drop.tidy((message) => message === gone)
    const stranger = drop.add(letters(1, { sizeBytes: 3_000 })[0] ?? Buffer.alloc(0), { uidl: '1' })
    await relist()
    expect(await poll()).toMatchObject({ deleted: 2 })
    expect(drop.messages).toEqual([stranger])
    expect((await flags()).map(({ flag }) => flag)).toEqual(['stored_copy_damaged'])
    return 'DELE sent 0 of 1 stranger, 2 of 2 others deleted, flag stored_copy_damaged'
  }),
)
