// The last step of a connection test: mail from an account to itself, carried by the service, between the simulator's servers.

import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { probeAccount } from '../../src/accounts/probe.ts'
import type { StepReport } from '../../src/accounts/probe-steps.ts'
import { readConfig } from '../../src/base/config.ts'
import type { Service } from '../../src/cli/installation.ts'
import { startService } from '../../src/compose.ts'
import { findAccount } from '../../src/db/accounts.ts'
import { startSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts'
import { removeFolder, tempFolder } from '../support/child.ts'
import { openHouse, type TestHouse } from '../support/house.ts'

const EMAIL = 'info@muster.example'
let sandbox: Sandbox
let house: TestHouse
let service: Service | undefined
const data = tempFolder('round-trip')

beforeAll(async () => {
  sandbox = await startSandbox({ mailsPerAccount: 0, pollIntervalSeconds: 3_600 })
  house = await openHouse({ caPem: sandbox.caPem })
  await house.importAccounts(sandbox.accounts.filter(({ email }) => email === EMAIL))
})
afterAll(async () => {
  await service?.stop()
  await house.close()
  await sandbox.close()
  removeFolder(data)
})

async function roundTrip(): Promise<StepReport | undefined> {
  const steps: StepReport[] = []
  for await (const step of probeAccount(house, await findAccount(house.db, EMAIL), { roundTrip: true }))
    steps.push(step)
  expect(steps.filter(({ state }) => state === 'failed')).toEqual([])
  return steps.at(-1)
}

test('without the service nothing is sent', async () => {
  expect(await roundTrip()).toMatchObject({
    name: 'round_trip',
    state: 'skipped',
    evidence: 'the service does not run',
  })
  expect(sandbox.accepted.count).toBe(0)
})

test('it arrives, the way is measured, and the application is not bothered with it', async () => {
  const config = { ...readConfig({ POSTSTELLE_HTTP: '127.0.0.1:0', POSTSTELLE_DATA: data }), redisUrl: undefined }
  service = await startService(
    {
      ...house,
      config,
      databaseUrl: house.database.url,
      version: 'test',
      databaseGone: new Promise<never>(() => undefined),
    },
    new Set(['worker']),
    () => undefined,
  )
  expect(await roundTrip()).toMatchObject({
    name: 'round_trip',
    state: 'ok',
    evidence: expect.stringMatching(/^message \d+ handed over after \d+\.\d s, arrived after \d+\.\d s$/),
  })
  expect(sandbox.accepted.count).toBe(1)
  const { rows } = await sql`
    select kind, acknowledged_at is not null as acknowledged, (select count(*) from poststelle.inbox_since(0)) as offered
    from poststelle.inbox`.execute(house.db)
  expect(rows).toEqual([{ kind: 'round_trip', acknowledged: true, offered: 0 }])
})

test('mail of others that only looks like it is mail', async () => {
  sandbox.deliver(EMAIL, Buffer.from('Subject: Poststelle round trip 0\r\n\r\nHallo\r\n'))
  await sql`update poststelle.lanes set due_at = now() where lane = 'receive'`.execute(house.db)
  const offered = async () =>
    (await sql<{ subject: string }>`select subject, kind from poststelle.inbox_since(0)`.execute(house.db)).rows
  await expect
    .poll(offered, { timeout: 30_000, interval: 100 })
    .toEqual([{ subject: 'Poststelle round trip 0', kind: 'mail' }])
})
