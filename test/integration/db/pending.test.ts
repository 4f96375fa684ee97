// Whether a maildrop has something left to do is asked by every poll: what waits for nothing must not make it list the maildrop, and
// must not cost anything.

import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { loadMaildrop, PENDING } from '../../../src/db/maildrops.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'

let house: TestHouse
let id = 0
beforeAll(async () => {
  house = await openHouse()
  id = (await house.importAccounts([passwordAccount('a@example.test', { max_message_bytes: 1_000_000 })]))[0]?.id ?? 0
})
afterAll(() => house.close())
beforeEach(() => sql`truncate poststelle.maildrop_uidls`.execute(house.db))

const COLUMNS = { uidl: 'u', size_bytes: 1, sha256: Buffer.alloc(32) }
const pendingWith = async (row: object): Promise<boolean | undefined> => {
  await sql`truncate poststelle.maildrop_uidls`.execute(house.db)
  await house.db
    .insertInto('maildrop_uidls')
    .values({ account_id: id, ...COLUMNS, ...row } as never)
    .execute()
  return (await loadMaildrop(house.db, id))?.pending
}

test('what is to be retrieved or tried again is left to do; what waits for nobody knows what is not', async () => {
  const now = new Date(Date.now() - 1_000)
  const later = new Date(Date.now() + 3_600_000)
  const skipped = { state: 'skipped', reason: 'because' }
  expect(await pendingWith({ state: 'listed' })).toBe(true)
  expect(await pendingWith({ state: 'listed', gone_at: now })).toBe(false)
  expect(await pendingWith({ ...skipped, retry_at: now })).toBe(true)
  expect(await pendingWith({ ...skipped, retry_at: later })).toBe(false)
  expect(await pendingWith(skipped)).toBe(false)
  const oversize = { ...skipped, oversize: true }
  expect(await pendingWith({ ...oversize, size_bytes: 999_999 })).toBe(true)
  expect(await pendingWith({ ...oversize, size_bytes: 999_999, retry_at: later })).toBe(false)
  expect(await pendingWith({ ...oversize, size_bytes: 1_000_001 })).toBe(false)
  expect(await pendingWith({ ...oversize, size_bytes: 1_000_001, retry_at: now })).toBe(false)
})

test('a deletion that was begun is left to do only while the policy wants it', async () => {
  const row = { state: 'delete_intent', stored_at: new Date(Date.now() - 1_000) }
  expect(await pendingWith(row)).toBe(false)
  await house.db.updateTable('maildrops').set({ delete_after_days: 0 }).execute()
  expect(await pendingWith(row)).toBe(true)
  await house.db.updateTable('maildrops').set({ delete_after_days: null }).execute()
})

test('of many messages that were left on the server for good, no row is read', async () => {
  await sql`insert into poststelle.maildrop_uidls (account_id, uidl, state, size_bytes, reason)
    select ${id}, 'u' || i, 'skipped', 0, 'retrieved earlier' from generate_series(1, 20000) i`.execute(house.db)
  await sql`vacuum analyze poststelle.maildrop_uidls`.execute(house.db)
  const { rows } = await sql<{ 'QUERY PLAN': readonly { Plan: object }[] }>`
    explain (analyze, buffers, format json) select ${PENDING} from poststelle.maildrops d where account_id = ${id}`.execute(
    house.db,
  )
  const [plan] = rows[0]?.['QUERY PLAN'] ?? []
  const buffers = Number(/"Shared Hit Blocks":(\d+)/.exec(JSON.stringify(plan))?.[1])
  expect(buffers).toBeLessThan(20)
})
