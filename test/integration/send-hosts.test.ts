// The breaker of a host that mail is sent to, and the lanes that rest for it.

import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { later, MINUTE_MS, SECOND_MS } from '../../src/base/clock.ts'
import type { Failure } from '../../src/base/failure.ts'
import { hostKey, listHostBreakers, probeHostsNow, type HostSide } from '../../src/db/host-breakers.ts'
import { refuse } from '../../src/failures/classify.ts'
import { recordHostFailure, recordHostSuccess } from '../../src/health/host-breaker.ts'
import { enterHost } from '../../src/health/host-entry.ts'
import { HostSlots } from '../../src/net/host-slots.ts'
import { refusedWith } from '../support/budgets.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'

const SMTP = { host: '127.0.0.1', port: 2525, security: 'none' }
const side: HostSide = { host: hostKey(SMTP), direction: 'send' }
const dead = refuse({
  provider: 'generic',
  stage: 'smtp',
  step: 'connect',
  errorCode: 'ECONNREFUSED',
  reply: 'refused',
})

let house: TestHouse
let ids: number[] = []
let now = new Date()
beforeAll(async () => {
  house = await openHouse()
})
afterAll(() => house.close())
beforeEach(async () => {
  now = new Date()
  await sql`delete from poststelle.accounts`.execute(house.db)
  await sql`delete from poststelle.host_breakers`.execute(house.db)
  const accounts = Array.from({ length: 8 }, (_, i) => passwordAccount(`u${i}@example.test`, { smtp: SMTP }))
  ids = (await house.importAccounts(accounts)).map(({ id }) => id)
})

const fail = (index: number, failure: Failure = dead): Promise<void> =>
  house.db.transaction().execute((tx) => recordHostFailure(tx, side, ids[index] ?? 0, failure, now))
const enter = (index: number, slots?: HostSlots) =>
  enterHost(house.db, side, ids[index] ?? 0, { slots, atBreaker: true, now })

test('three accounts that cannot reach it open it: the others wait, one probes, and its success wakes all', async () => {
  for (const i of [0, 1]) await fail(i)
  expect(await enter(5)).toMatchObject({ entered: true })
  await fail(2)
  expect(await enter(5)).toMatchObject({ entered: false })
  expect(await listHostBreakers(house.db)).toMatchObject([{ direction: 'send', kind: 'network', accounts: 8 }])
  await sql`
    update poststelle.lanes set due_at = now(), rests_until = now() + interval '1 hour',
      rests_for = case when account_id = ${ids[7]} then 'rate' else 'host' end where lane = 'send'`.execute(house.db)
  now = later(now, 31 * SECOND_MS)
  const entries = [await enter(5), await enter(6)]
  expect(entries.map(({ entered }) => entered)).toEqual([true, false])
  await house.db.transaction().execute((tx) => recordHostSuccess(tx, side, ids[5] ?? 0))
  expect(await enter(6)).toMatchObject({ entered: true })
  const { rows } = await sql<{ account_id: number }>`
    select account_id from poststelle.lanes where lane = 'send' and ready_at <= now() + interval '61 seconds' order by 1`.execute(
    house.db,
  )
  expect(rows.map(({ account_id }) => account_id)).toEqual(ids.slice(0, 7))
})

test.each([
  ['550 5.1.1 User unknown', 'rcpt'],
  ['535 5.7.8 wrong', 'auth'],
  ['432 4.3.2 Concurrent connections limit exceeded', 'auth'],
])('stays shut for what three accounts may have to themselves: %s', async (reply, step) => {
  for (const i of [0, 1, 2]) await fail(i, refusedWith(reply, step))
  expect(await enter(5)).toMatchObject({ entered: true })
})

test('is not that of receiving: one direction may fail while the other is well', async () => {
  for (const i of [0, 1]) await fail(i)
  await house.db.transaction().execute((tx) => recordHostSuccess(tx, { ...side, direction: 'receive' }, ids[0] ?? 0))
  await fail(2)
  expect(await enter(5)).toMatchObject({ entered: false })
  const other = { ...side, direction: 'receive' } as const
  const options = { slots: undefined, atBreaker: true, now }
  expect(await enterHost(house.db, other, ids[5] ?? 0, options)).toMatchObject({ entered: true })
})

test('lets whoever was changed by the operator probe at once', async () => {
  for (const i of [0, 1, 2]) await fail(i)
  await probeHostsNow(house.db, { accountId: ids[6] ?? 0 }, ['send'])
  now = later(new Date(), SECOND_MS)
  expect(await enter(6)).toMatchObject({ entered: true })
  expect(await enter(5)).toMatchObject({ entered: false })
})

test('a host has no more than its places, and gives them back', async () => {
  const slots = new HostSlots(2)
  const [first, second, third] = [await enter(0, slots), await enter(1, slots), await enter(2, slots)]
  expect([first.entered, second.entered, third.entered]).toEqual([true, true, false])
  expect(third.entered ? null : third.until.getTime() - now.getTime()).toBeLessThan(MINUTE_MS)
  if (first.entered) first.leave()
  expect(await enter(3, slots)).toMatchObject({ entered: true })
})
