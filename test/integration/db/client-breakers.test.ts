import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { later, MINUTE_MS } from '../../../src/base/clock.ts'
import { enterClient, openClientBreaker } from '../../../src/db/client-breakers.ts'
import { claimLane } from '../../../src/db/lanes.ts'
import { buryDeadWorkers } from '../../../src/db/worker-session.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'

describe('requests of one app registration, and workers that die over them', () => {
  let house: TestHouse
  let accounts: number[]
  let clientId: number
  beforeEach(async () => {
    house = await openHouse()
    const auth = {
      type: 'oauth2',
      flow: 'password',
      token_endpoint: 'https://localhost/token',
      client_id: 'app',
      scope: 'mail',
      password: 'correct-horse',
    }
    const imported = await house.importAccounts(
      [1, 2, 3, 4, 5].map((n) => passwordAccount(`oauth${n}@example.test`, { auth })),
    )
    accounts = imported.map(({ id }) => id)
    const { rows } = await sql<{ id: number }>`select id from poststelle.oauth_clients`.execute(house.db)
    clientId = rows[0]?.id ?? 0
  })
  afterEach(() => house.close())

  const DEAD = 4_711
  const enter = async (n: number) => {
    const now = new Date()
    return (await enterClient(house.db, clientId, accounts[n - 1] ?? 0, now, later(now, 2 * MINUTE_MS))).kind
  }
  const askAs = async (n: number, workerId: number) => {
    await claimLane(house.db, { accountId: accounts[n - 1] ?? 0, lane: 'token' }, workerId, { force: true })
    return await enter(n)
  }

  test('what dead workers asked keeps nobody waiting once they are buried', async () => {
    expect(await Promise.all([1, 2, 3].map((n) => askAs(n, DEAD)))).toEqual(['ask', 'ask', 'ask'])
    expect(await enter(4)).toBe('busy')
    await buryDeadWorkers(house.db, house.workerId)
    expect(await enter(4)).toBe('ask')
  })

  test('what living workers asked still counts', async () => {
    expect([await askAs(1, DEAD), await askAs(2, house.workerId), await askAs(3, house.workerId)]).toEqual([
      'ask',
      'ask',
      'ask',
    ])
    await buryDeadWorkers(house.db, house.workerId)
    expect([await enter(4), await enter(5)]).toEqual(['ask', 'busy'])
  })

  test('a probe past an open breaker that died with its worker is taken over by the next account', async () => {
    const passed = later(new Date(), -MINUTE_MS)
    expect(await askAs(1, DEAD)).toBe('ask')
    await house.db.transaction().execute((tx) =>
      openClientBreaker(tx, clientId, {
        openedAt: passed,
        openUntil: passed,
        probes: 0,
        flag: 'client_secret_expired',
        scope: 'app',
        persistence: 'human',
        evidence: 'AADSTS7000222',
      }),
    )
    expect([await askAs(1, DEAD), await enter(2)]).toEqual(['ask', 'open'])
    await buryDeadWorkers(house.db, house.workerId)
    expect([await enter(2), await enter(3)]).toEqual(['ask', 'open'])
  })
})
