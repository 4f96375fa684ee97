import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LaneJobKind } from '../../src/jobs/lane-jobs.ts'
import { runUnderLease } from '../../src/workers/run-worker.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'

let house: TestHouse
let accountId: number
beforeAll(async () => {
  house = await openHouse()
  const [account] = await house.importAccounts([passwordAccount('a@example.test')])
  accountId = account?.id ?? 0
})
afterAll(async () => {
  await house.close()
})

test('a lease that the database refuses to take back is given back as soon as it does: no lane lies still for ever', async () => {
  await sql`create sequence poststelle.tries`.execute(house.db)
  await sql`create function poststelle.refuse() returns trigger language plpgsql as $$ begin
    if new.lease_token is null and nextval('poststelle.tries') < 3 then raise exception 'away' using errcode = '57P01'; end if;
    return new; end $$`.execute(house.db)
  await sql`create trigger refuse before update on poststelle.lanes for each row execute function poststelle.refuse()`.execute(
    house.db,
  )
  const broken: LaneJobKind = {
    queue: 'message-parse',
    lane: 'parse',
    concurrency: 1,
    deadlineMs: 60_000,
    run: async () => {
      throw new Error('the connection was cut')
    },
  }
  const lease = await house.lease(accountId, 'parse')
  await expect(runUnderLease(house, broken, lease, new AbortController().signal)).rejects.toThrow('was cut')
  const { rows } =
    await sql`select lease_token, due_at > now() as rests from poststelle.lanes where lane = 'parse'`.execute(house.db)
  expect(rows).toEqual([{ lease_token: null, rests: true }])
})
