import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { adoptUidls } from '../../../src/db/renumbering.ts'
import { openHouse, passwordAccount } from '../../support/house.ts'

test('messages that have changed their UIDLs among each other keep their rows', async () => {
  const house = await openHouse()
  try {
    const [account] = await house.importAccounts([passwordAccount('a@example.test')])
    const id = account?.id ?? 0
    await sql`
      insert into poststelle.maildrop_uidls (account_id, uidl, state, size_bytes, sha256, message_id, stored_at, gone_at)
      select ${id}, uidl, 'stored', n, sha256('x'), n, now(), now() from (values ('1', 1), ('2', 2), ('3', 3)) v (uidl, n)`.execute(
      house.db,
    )
    const one = { ordinal: 1, sizeBytes: 9 }
    await house.db.transaction().execute((tx) =>
      adoptUidls(tx, id, [
        { from: { uidl: '1', ordinal: 1 }, to: { uidl: '2', ...one } },
        { from: { uidl: '2', ordinal: 1 }, to: { uidl: '1', ...one } },
      ]),
    )
    await house.db
      .transaction()
      .execute((tx) => adoptUidls(tx, id, [{ from: { uidl: '3', ordinal: 1 }, to: { uidl: '3', ...one } }]))
    const { rows } = await sql`
      select uidl, ordinal, message_id, gone_at from poststelle.maildrop_uidls order by uidl`.execute(house.db)
    expect(rows).toEqual([
      { uidl: '1', ordinal: 1, message_id: 2, gone_at: null },
      { uidl: '2', ordinal: 1, message_id: 1, gone_at: null },
      { uidl: '3', ordinal: 1, message_id: 3, gone_at: null },
    ])
  } finally {
    await house.close()
  }
})
