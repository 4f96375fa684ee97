// Retention as people and programs set it: the command, and the interface of the page.

import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { setUp, type Ask } from '../support/api.ts'
import { openDashboard, type Dashboard } from '../support/dashboard.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { insertMessage } from '../support/inbox-rows.ts'
import { programOn, type RunProgram } from '../support/program.ts'

let house: TestHouse
let dashboard: Dashboard
let program: RunProgram
let admin: Ask
beforeAll(async () => {
  house = await openHouse()
  dashboard = await openDashboard(house)
  program = programOn(house, {})
  admin = await setUp(dashboard.service)
  const [account] = await house.importAccounts([passwordAccount('a@example.test')])
  for (const subject of ['eins', 'zwei']) await insertMessage(house.db, { accountId: account?.id ?? 0, subject })
  await sql`update poststelle.messages set acknowledged_at = now() - interval '100 days'`.execute(house.db)
})
afterAll(async () => {
  await dashboard.close()
  await house.close()
})

const daysNow = async () =>
  JSON.parse((await program(['retention', 'show', '--json'])).out) as Record<string, { days: number }>

test('a command that would remove mail says how much, and does nothing without --yes', async () => {
  const refused = await program(['retention', 'set', '--received', '90'])
  expect([refused.code, refused.err]).toEqual([
    2,
    'poststelle: would be removed for ever: received, acknowledged: 2; --yes does it, nothing was changed\n',
  ])
  expect((await daysNow())['received']?.days).toBeNull()
  const done = await program(['retention', 'set', '--received', '90', '--yes', '--lang', 'de'])
  expect(done.code).toBe(0)
  expect(done.out).toMatch(/Eingang, abgeholt +90 Tage/)
  // nothing more goes than before: nothing to ask
  expect((await program(['retention', 'set', '--received', 'forever', '--sent', '365'])).out).toMatch(
    /received, acknowledged +for ever[^]*outgoing, finished +365 days/,
  )
})

test('what cannot be set is refused by name', async () => {
  for (const [args, message] of [
    [['--received', '29'], '--received: is less than 30'],
    [['--audit', '7'], '--audit: is less than 90'],
    [['--sent', 'ever'], '--sent: is not a whole number'],
    [[], 'nothing is to be changed'],
  ] as const) {
    const { code, err } = await program(['retention', 'set', ...args, '--yes'])
    expect([args, code, err]).toEqual([args, 2, expect.stringContaining(message)])
  }
})

test('a legal hold is shown with its reason until it is lifted', async () => {
  expect((await program(['retention', 'hold', 'Az. 12/26', '--lang', 'de'])).out).toMatch(
    /Löschsperre seit .*Az\. 12\/26/,
  )
  expect((await program(['retention', 'show', '--lang', 'en'])).out).toContain('legal hold since')
  expect((await program(['retention', 'lift', '--lang', 'en'])).out).not.toContain('legal hold')
})

test('the interface counts before, changes what it is given, and does not write over what somebody else has changed', async () => {
  const before = await admin('GET', '/api/v1/retention')
  expect((await admin('POST', '/api/v1/retention/preview', { days: { received: 30 } })).json).toMatchObject({
    received: 2,
  })
  const tag = { 'if-match': `"${before.json.etag}"` }
  const changed = await admin('PATCH', '/api/v1/retention', { days: { received: 3_650 } }, tag)
  expect(changed.json).toMatchObject({ received: { days: 3_650 }, sent: { days: 365 } })
  expect((await admin('PATCH', '/api/v1/retention', { hold: { reason: 'x' } }, tag)).status).toBe(412)
  const small = await admin('PATCH', '/api/v1/retention?lang=de', { days: { audit: 89 } })
  expect([small.status, small.json.errors]).toEqual([400, [{ field: 'days.audit', message: 'ist kleiner als 90' }]])
})
