import { afterAll, beforeAll, expect, test } from 'vitest'
import { Failure } from '../../src/base/failure.ts'
import { findAccount } from '../../src/db/accounts.ts'
import { createNet } from '../../src/net/dial.ts'
import { pollNow } from '../../src/retrieval/poll-now.ts'
import { reconcile } from '../../src/retrieval/reconcile.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'

const oauth = {
  type: 'oauth2',
  flow: 'refresh_token',
  token_endpoint: 'https://localhost:8443/t/oauth2/v2.0/token',
  client_id: 'app',
  scope: 'pop',
  refresh_token: 'geheim',
}

let house: TestHouse
/** Of a shell in which POSTSTELLE_EGRESS_ALLOW is not set. */
const net = createNet({ allowPrivate: [] })
beforeAll(async () => {
  house = await openHouse()
  await house.importAccounts([
    passwordAccount('kennwort@example.test'),
    passwordAccount('token@example.test', { auth: oauth }),
  ])
})
afterAll(async () => {
  await net.close()
  await house.close()
})

test.each(['kennwort@example.test', 'token@example.test'])(
  'what the settings of a command refuse is told, and not held against %s',
  async (email) => {
    const account = await findAccount(house.db, email)
    const { failure } = await pollNow({ ...house, net }, account)
    expect(failure).toMatchObject({ flag: 'egress_refused' })
    const reconciled = await reconcile({ ...house, net }, account, { verify: false }).catch((error: unknown) => error)
    expect(reconciled).toBeInstanceOf(Failure)
    expect(await house.db.selectFrom('health_flags').selectAll().execute()).toEqual([])
    const lanes = await house.db.selectFrom('lanes').selectAll().where('account_id', '=', account.id).execute()
    const stopped = lanes.filter((lane) => lane.parked_until !== null || lane.lease_token !== null)
    expect(stopped.map(({ lane }) => lane)).toEqual([])
  },
)
