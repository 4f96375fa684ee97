import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  claimLane,
  holdLease,
  makeDue,
  parkLane,
  releaseLane,
  takeDueLanes,
  wakeNow,
  wakeSendLanes,
} from '../../../src/db/lanes.ts'
import type { LaneKind } from '../../../src/db/schema.ts'
import { clockAheadMs } from '../../../src/db/database.ts'
import { settleQuietPoll } from '../../../src/db/maildrops.ts'
import { buryDeadWorkers, WorkerSession } from '../../../src/db/worker-session.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'

describe('lanes', () => {
  let house: TestHouse
  let accountId: number
  beforeAll(async () => {
    house = await openHouse()
    accountId = (await house.importAccounts([passwordAccount('a@example.test')]))[0]?.id ?? 0
  })
  afterAll(() => house.close())
  beforeEach(() =>
    sql`update poststelle.lanes set due_at = null, dispatched_until = null, parked_until = null, lease_token = null, lease_until = null,
      lease_worker = null`.execute(house.db),
  )

  const dueNow = () => makeDue(house.db, 'receive', [accountId])
  const ten = new Map(['receive', 'send', 'token'].map((lane) => [lane as LaneKind, 10]))
  const taken = async () => (await takeDueLanes(house.db, ten)).map(({ lane }) => lane)

  test('a due lane is taken by one of two dispatchers, and not again until its dispatch has lapsed', async () => {
    await dueNow()
    const both = await Promise.all([takeDueLanes(house.db, ten), takeDueLanes(house.db, ten)])
    expect(both.flat()).toEqual([{ accountId, lane: 'receive' }])
    expect(await taken()).toEqual([])
    await sql`update poststelle.lanes set dispatched_until = now() - interval '1 second'`.execute(house.db)
    expect(await taken()).toEqual(['receive'])
  })

  test('only one of two workers gets the lease, and only its holder can settle', async () => {
    await dueNow()
    const leases = await Promise.all([1, 2].map((id) => claimLane(house.db, { accountId, lane: 'receive' }, id)))
    const lease = leases.find((one) => one !== undefined)
    expect(leases.filter((one) => one !== undefined)).toHaveLength(1)
    if (!lease) return
    await expect(holdLease(house.db, { ...lease, token: '00000000-0000-0000-0000-000000000000' })).rejects.toThrow(
      /taken over/,
    )
    await expect(
      releaseLane(house.db, { ...lease, token: '00000000-0000-0000-0000-000000000000' }, null),
    ).rejects.toThrow(/taken over/)
    await expect(releaseLane(house.db, lease, null)).resolves.toBeUndefined()
    await expect(releaseLane(house.db, lease, null)).rejects.toThrow(/taken over/)
  })

  test('a lease that was not renewed is lost, even to its holder', async () => {
    await dueNow()
    const lease = await house.lease(accountId, 'receive')
    await sql`update poststelle.lanes set lease_until = now() - interval '1 second' where lease_token is not null`.execute(
      house.db,
    )
    await expect(holdLease(house.db, lease)).rejects.toThrow(/taken over/)
    expect(await claimLane(house.db, { accountId, lane: 'receive' }, house.workerId)).toBeDefined()
  })

  test('a parked lane and one the operator has switched off are not due', async () => {
    await dueNow()
    await parkLane(house.db, { accountId, lane: 'receive' }, new Date(Date.now() + 60_000))
    expect(await taken()).toEqual([])
    expect(await claimLane(house.db, { accountId, lane: 'receive' }, house.workerId)).toBeUndefined()
    await parkLane(house.db, { accountId, lane: 'receive' }, null)
    await sql`update poststelle.accounts set enabled_receive = false`.execute(house.db)
    expect(await taken()).toEqual([])
    await sql`update poststelle.accounts set enabled_receive = true`.execute(house.db)
    expect(await taken()).toEqual(['receive'])
  })

  test('of each kind no more are taken than there is room for, oldest first', async () => {
    await sql`update poststelle.lanes set due_at = now() - case lane when 'send' then 2 else 1 end * interval '1 minute'`.execute(
      house.db,
    )
    const room = new Map<LaneKind, number>([
      ['receive', 10],
      ['send', 10],
      ['token', 0],
    ])
    expect((await takeDueLanes(house.db, room)).map(({ lane }) => lane)).toEqual(['send', 'receive'])
    expect(await takeDueLanes(house.db, room)).toEqual([])
  })

  test('a lane is switched off with its direction, a new one at once, and that of the token never: its grant would die of disuse', async () => {
    const off = async () => {
      const { rows } = await sql<{ lane: string }>`
        select lane from poststelle.lanes where account_id = ${accountId} and switched_off order by lane`.execute(
        house.db,
      )
      return rows.map(({ lane }) => lane)
    }
    const switchTo = (receive: boolean, send: boolean) =>
      sql`update poststelle.accounts set enabled_receive = ${receive}, enabled_send = ${send}`.execute(house.db)
    const addTokenLane = () =>
      sql`insert into poststelle.lanes (account_id, lane) values (${accountId}, 'token') on conflict do nothing`.execute(
        house.db,
      )
    await addTokenLane()
    expect(await off()).toEqual([])
    await switchTo(false, true)
    expect(await off()).toEqual(['receive'])
    await switchTo(false, false)
    expect(await off()).toEqual(['receive', 'send'])
    await sql`delete from poststelle.lanes where lane = 'send'`.execute(house.db)
    await sql`insert into poststelle.lanes (account_id, lane) values (${accountId}, 'send')`.execute(house.db)
    expect(await off()).toEqual(['receive', 'send'])
    await switchTo(true, true)
    expect(await off()).toEqual([])
    await sql`delete from poststelle.lanes where lane = 'token'`.execute(house.db)
  })

  test('mail whose bell was lost wakes its lane all the same', async () => {
    await sql`select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}', 'Subject: x')`.execute(
      house.db,
    )
    expect(await taken()).toEqual([])
    expect(await wakeSendLanes(house.db)).toBe(1)
    expect(await taken()).toEqual(['send'])
  })

  test('the leases of a worker whose connection is gone are free once it has been silent; those of a living one are not', async () => {
    const options = { roles: 'worker', version: '0', onRing: () => undefined, onProblem: () => undefined }
    const dying = await WorkerSession.open(house.database.url, options)
    await dueNow()
    await claimLane(house.db, { accountId, lane: 'receive' }, dying.workerId)
    expect(await buryDeadWorkers(house.db, house.workerId)).toBe(0)
    expect(await claimLane(house.db, { accountId, lane: 'receive' }, house.workerId)).toBeUndefined()
    await dying.close()
    await sql`insert into poststelle.workers (id, host, pid, roles, version) overriding system value
      values (${dying.workerId}, 'x', 1, 'worker', '0')`.execute(house.db)
    // a connection that was only interrupted is back within seconds: its worker is not dead yet
    expect(await buryDeadWorkers(house.db, house.workerId)).toBe(0)
    await sql`update poststelle.workers set seen_at = now() - interval '8 seconds'`.execute(house.db)
    expect(await buryDeadWorkers(house.db, house.workerId)).toBe(1)
    expect(await claimLane(house.db, { accountId, lane: 'receive' }, house.workerId)).toBeDefined()
  })

  test('a bell is heard after the commit that rang it, and again after the connection was broken', async () => {
    const rings: string[] = []
    let heard = Promise.withResolvers<void>()
    const session = await WorkerSession.open(house.database.url, {
      roles: 'worker',
      version: '0',
      onRing: (payload) => {
        rings.push(payload)
        heard.resolve()
      },
      onProblem: () => undefined,
    })
    const submit = () =>
      sql`select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}', 'Subject: x')`.execute(
        house.db,
      )
    await submit()
    await heard.promise
    expect(rings).toEqual([`send:${accountId}`])
    heard = Promise.withResolvers()
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'listen%' and datname = current_database()`.execute(
      house.db,
    )
    await heard.promise // '' after the reconnect: bells may have been missed
    expect(rings.at(-1)).toBe('')
    heard = Promise.withResolvers()
    await submit()
    await heard.promise
    expect(rings.at(-1)).toBe(`send:${accountId}`)
    await session.close()
  })

  test('what was changed while a session was under way is tried at its end, whatever came of it', async () => {
    await dueNow()
    const lease = await house.lease(accountId, 'receive')
    await wakeNow(house.db, accountId, ['receive'], { again: true })
    await parkLane(house.db, lease, new Date(Date.now() + 3_600_000))
    await releaseLane(house.db, lease, new Date(Date.now() + 3_600_000))
    expect(await taken()).toEqual(['receive'])
    const second = await house.lease(accountId, 'receive')
    await wakeNow(house.db, accountId, ['receive'], { again: true })
    const quiet = { now: new Date(), nextAt: new Date(Date.now() + 3_600_000), currentSeconds: null }
    await sql`update poststelle.account_health set state = 'ok', last_ok_at = now()`.execute(house.db)
    expect(await settleQuietPoll(house.db, second, quiet)).toBe(true)
    expect(await taken()).toEqual(['receive'])
    // once, and not for ever
    const third = await house.lease(accountId, 'receive')
    await releaseLane(house.db, third, new Date(Date.now() + 3_600_000))
    expect(await taken()).toEqual([])
  })

  test('the clock of the database is known: due times are compared with it', async () => {
    expect(Math.abs(await clockAheadMs(house.database.pool))).toBeLessThan(2_000)
  })
})
