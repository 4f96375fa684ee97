// Whoever writes to an account locks its lanes first: nobody waits for somebody who waits for them.

import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { forgetHostFailure, noteHostFailure, wakeHostLanes } from '../../../src/db/host-breakers.ts'
import { holdLease } from '../../../src/db/lanes.ts'
import { loadMaildrop, savePoll } from '../../../src/db/maildrops.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'

let house: TestHouse
beforeAll(async () => {
  house = await openHouse()
})
afterAll(() => house.close())

const account = (email: string, port: number): object =>
  passwordAccount(email, { pop3: { host: 'localhost', port, security: 'none' }, smtp: null })

/** Until a statement of this database waits for a lock. */
async function untilSomebodyWaits(): Promise<void> {
  for (let waiting = 0; waiting === 0;) {
    const { rows } = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(house.db)
    waiting = rows.length
  }
}

test('an account is imported while its poll is settled', async () => {
  const [first] = await house.importAccounts([account('a@example.test', 1)])
  const id = first?.id ?? 0
  const lease = await house.lease(id, 'receive')
  const imports = await house.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    const importing = Promise.allSettled([house.importAccounts([account('a@example.test', 2)])])
    await untilSomebodyWaits()
    await savePoll(
      tx,
      id,
      {
        loginDelaySeconds: 7,
        currentIntervalSeconds: null,
        listing: undefined,
        firstSyncDoneAt: null,
        hashIdentity: false,
        hashResumeAfter: null,
        guard: null,
      },
      false,
    )
    return { importing }
  })
  expect(await imports.importing).toMatchObject([{ status: 'fulfilled', value: [{ change: 'changed' }] }])
  expect((await loadMaildrop(house.db, id))?.loginDelaySeconds).toBe(7)
})

test('lanes that wait for a host are woken without waiting for those that somebody holds', async () => {
  const imported = await house.importAccounts([account('b@example.test', 3), account('c@example.test', 3)])
  const [held = 0, free = 0] = imported.map(({ id }) => id)
  await sql`update poststelle.lanes set due_at = now() + interval '1 hour'`.execute(house.db)
  await house.db.transaction().execute(async (tx) => {
    await sql`select from poststelle.lanes where account_id = ${held} for update`.execute(tx)
    await house.db.transaction().execute((other) => wakeHostLanes(other, { host: 'localhost:3', direction: 'receive' }))
  })
  const { rows } = await sql<{ account_id: number }>`
    select account_id from poststelle.lanes where lane = 'receive' and due_at < now() + interval '2 minutes'`.execute(
    house.db,
  )
  expect(rows.map(({ account_id }) => account_id)).toEqual([free])
})

test('an account that has moved to another host and does well there leaves nothing behind at the old one', async () => {
  const [moved] = await house.importAccounts([account('d@example.test', 4)])
  const accountId = moved?.id ?? 0
  await house.db.transaction().execute(async (tx) => {
    await noteHostFailure(tx, { host: 'localhost:4', direction: 'receive', accountId, kind: 'login', at: new Date() })
  })
  expect((await loadMaildrop(house.db, accountId))?.hostTrouble).toBe(true)
  await house.importAccounts([account('d@example.test', 5)])
  await house.db
    .transaction()
    .execute((tx) => forgetHostFailure(tx, { host: 'localhost:5', direction: 'receive' }, accountId))
  expect((await loadMaildrop(house.db, accountId))?.hostTrouble).toBe(false)
})
