import { afterAll, beforeAll, expect, test } from 'vitest'
import { reconcileIncidents } from '../../src/health/reconcile-incidents.ts'
import { ageIncidents, flagLanes, handOver, recover, seedAccounts, seedWaiting } from '../support/health-rows.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { programOn, type RunProgram } from '../support/program.ts'

let house: TestHouse
let program: RunProgram
beforeAll(async () => {
  house = await openHouse()
  program = programOn(house)
  const { db } = house
  const ids = await seedAccounts(db, 412, { domain: 'firma.example' })
  await seedWaiting(db, ids, 1)
  await flagLanes(db, ids, 'send', {
    flag: 'smtp_auth_disabled_tenant',
    scope: 'tenant',
    evidence: '535 5.7.139 off\u001b[2J',
  })
  await reconcileIncidents(db)
  await ageIncidents(db, 191.5)
  await recover(db, ids)
  await handOver(db, ids)
  await reconcileIncidents(db)
  await ageIncidents(db, 0.6)
  await reconcileIncidents(db)
  await flagLanes(db, ids.slice(0, 1), 'receive', { flag: 'invalid_credentials', scope: 'account' })
  await reconcileIncidents(db)
})
afterAll(() => house.close())

const print = async (...words: string[]): Promise<string> => {
  const { code, out, err } = await program(['incident', ...words])
  expect([code, err]).toEqual([0, ''])
  return out
}

test('incidents that are open are listed, and those that are over on demand', async () => {
  const [open, over] = [await print('list', '--lang', 'de'), await print('list', '--closed', '--lang', 'en')]
  expect(open).toMatch(
    /^2 +\d+ Sek\. +1 +0 +Benutzername oder Kennwort falsch \[invalid_credentials\]: a1@firma\.example$/m,
  )
  expect(over).toMatch(
    /^1 +3 h 11 min +412 +412 +SMTP AUTH off \(tenant\) \[smtp_auth_disabled_tenant\]: firma\.example$/m,
  )
  expect(open.split('\n')).toHaveLength(3)
  expect(JSON.parse(await print('list', '--json'))).toMatchObject({
    incidents: [{ id: 2, accounts: 1, closed_at: null }],
  })
})

test('an incident says how long it lasted and how much mail waited, in both languages', async () => {
  const [german, english] = [await print('show', '1', '--lang', 'de'), await print('show', '1', '--lang', 'en')]
  expect(german).toContain('behoben nach 3 Std. 11 Min.: 412 Konten, 412 Nachrichten warteten, 412 seither übergeben\n')
  expect(english).toContain('recovered after 3 h 11 min: 412 accounts, 412 messages waited, 412 handed over since\n')
  expect(german).toContain('begonnen: 412 Konten, 412 Nachrichten warten\n')
  expect(german).toContain('und 362 weitere (--json zeigt alle)\n')
  expect(english).toContain("The server's answer: 535 5.7.139 off?[2J\n")
  expect(JSON.parse(await print('show', '1', '--json'))).toMatchObject({
    merged_into: null,
    events: [{ event: 'opened' }, { event: 'closed', accounts: 412, waiting: 412, sent_since: 412 }],
  })
})

test('a number that is none, or of no incident, is refused', async () => {
  expect(await program(['incident', 'show', '99'])).toMatchObject({
    code: 1,
    err: expect.stringContaining('there is no incident 99'),
  })
  expect(await program(['incident', 'show', 'x'])).toMatchObject({ code: 2 })
})
