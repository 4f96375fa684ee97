import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { statusJson } from '../../src/contract/status.ts'
import { listHostBreakers } from '../../src/db/host-breakers.ts'
import { wakeNow } from '../../src/db/lanes.ts'
import { pollMaildrop, type PollResult } from '../../src/retrieval/poll-maildrop.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { startScriptedPop3, type ScriptedPop3 } from '../support/scripted-pop3.ts'

const MINUTE = 60_000

let house: TestHouse
let server: ScriptedPop3
let refusing = true
const time = { at: new Date(Date.now() - 24 * 60 * MINUTE), now: () => time.at }
const ids: number[] = []

beforeAll(async () => {
  server = await startScriptedPop3({
    answer: (command) => (refusing && command.startsWith('PASS') ? '-ERR [AUTH] no' : undefined),
  })
  house = await openHouse({ clock: time })
  const pop3 = { host: '127.0.0.1', port: server.target.port, security: 'none' }
  const accounts = Array.from({ length: 12 }, (_, i) => passwordAccount(`u${i}@example.test`, { pop3, smtp: null }))
  for (const { id } of await house.importAccounts(accounts)) ids.push(id)
})
afterAll(async () => {
  await house.close()
  await server.stop()
})

const logins = (): number => server.seen.commands.filter((line) => line.startsWith('PASS')).length
const poll = async (index: number): Promise<PollResult> =>
  await pollMaildrop(house, await house.lease(ids[index] ?? 0, 'receive'), AbortSignal.timeout(10_000))
const dueAt = async (index: number): Promise<Date> => {
  const { rows } = await sql<{
    due_at: Date
  }>`select due_at from poststelle.lanes where account_id = ${ids[index]} and lane = 'receive'`.execute(house.db)
  return rows[0]?.due_at ?? new Date(0)
}

test('when five accounts are refused at one host, the others wait, and one probes for all', async () => {
  for (let i = 0; i < 5; i++) expect((await poll(i)).failure?.step).toBe('auth')
  expect(logins()).toBe(5)
  for (let i = 5; i < 12; i++) expect(await poll(i)).toMatchObject({ waitsForHost: true })
  expect(logins()).toBe(5)
  const [breaker] = await listHostBreakers(house.db)
  expect(breaker).toMatchObject({ kind: 'login', accounts: 12, probes: 0 })
  expect(statusJson('', [], await listHostBreakers(house.db))).toMatchObject({
    hosts: [{ accounts: 12, kind: 'login' }],
  })
  expect((await dueAt(11)).getTime()).toBeGreaterThanOrEqual(time.at.getTime() + 15 * MINUTE)
})

test('a probe that fails makes the next one later: after an hour, then every four', async () => {
  const seen: number[] = []
  for (const minutes of [16, 61, 241, 241]) {
    time.at = new Date(time.at.getTime() + minutes * MINUTE)
    const before = logins()
    for (let i = 5; i < 12; i++) await poll(i)
    seen.push(logins() - before)
  }
  expect(seen).toEqual([1, 1, 1, 1])
})

test('whoever is changed by the operator may try at once; when that goes well all others go on', async () => {
  refusing = false
  expect(await poll(7)).toMatchObject({ waitsForHost: true })
  await wakeNow(house.db, ids[6] ?? 0, ['receive'])
  time.at = new Date(Date.now() + 1_000)
  expect((await poll(6)).failure).toBeUndefined()
  expect(await listHostBreakers(house.db)).toEqual([])
  expect((await dueAt(9)).getTime()).toBeLessThan(Date.now() + 61_000)
  expect((await poll(9)).failure).toBeUndefined()
})

test('a few wrong passwords among good accounts are the accounts own: nobody waits for them', async () => {
  refusing = true
  const before = logins()
  for (let i = 0; i < 5; i++) await poll(i)
  expect(logins() - before).toBe(5)
  expect(await listHostBreakers(house.db)).toEqual([])
})
