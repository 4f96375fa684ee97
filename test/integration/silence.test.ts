// Mailboxes that are connected and silent: noted by habit, by what the operator expects, and by mail to themselves.

import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, later, MINUTE_MS } from '../../src/base/clock.ts'
import { watchSilence } from '../../src/health/watch-silence.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { flagLanes, recover } from '../support/health-rows.ts'

let house: TestHouse
beforeAll(async () => {
  house = await openHouse()
})
afterAll(() => house.close())
beforeEach(async () => {
  await sql`truncate poststelle.accounts, poststelle.messages cascade`.execute(house.db)
})

/** A Thursday, 15:30 UTC. */
const NOW = new Date('2026-11-26T15:30:00Z')

async function account(email: string, settings: object = {}): Promise<number> {
  const [made] = await house.importAccounts([passwordAccount(email, settings)])
  const id = made?.id ?? 0
  await recover(house.db, [id])
  return id
}

/** Every 20 minutes from 8 to 18 o'clock on working days for four weeks, until `last`. */
async function habit(accountId: number, last: Date): Promise<void> {
  await sql`
    insert into poststelle.messages (account_id, size_bytes, sha256, received_at)
    select ${accountId}, 1, sha256(at::text::bytea), at
    from generate_series(${later(NOW, -28 * DAY_MS)}::timestamptz, ${last}::timestamptz, interval '20 minutes') at
    where extract(hour from at at time zone 'UTC') between 8 and 17 and extract(isodow from at at time zone 'UTC') < 6`.execute(
    house.db,
  )
}

const notes = async () =>
  (
    await sql<{ account_id: number; evidence: string }>`
      select account_id, evidence from poststelle.health_flags where flag = 'mailbox_silent' and cleared_at is null`.execute(
      house.db,
    )
  ).rows

test('a mailbox that has mail every 20 minutes is noted after hours without, and the note goes with the next mail', async () => {
  const [silent, lively] = [await account('silent@firma.example'), await account('lively@firma.example')]
  await habit(silent, new Date('2026-11-26T09:00:00Z'))
  await habit(lively, NOW)
  expect(await watchSilence(house.db, NOW)).toBe(1)
  expect(await notes()).toEqual([
    {
      account_id: silent,
      evidence: 'connected, yet nothing arrives: usual 20 min, silent 7 h (last mail 2026-11-26T08:50Z)',
    },
  ])
  await sql`insert into poststelle.messages (account_id, size_bytes, sha256, received_at) values (${silent}, 1, '\\x00', ${NOW})`.execute(
    house.db,
  )
  expect(await watchSilence(house.db, NOW)).toBe(0)
  expect(await notes()).toEqual([])
})

test('nights and weekends are quiet, and whoever is in trouble is silent for another reason', async () => {
  const id = await account('office@firma.example')
  await habit(id, new Date('2026-11-20T17:40:00Z')) // the last of a Friday
  expect(await watchSilence(house.db, new Date('2026-11-22T20:00:00Z'))).toBe(0)
  expect(await watchSilence(house.db, NOW)).toBe(1)
  await flagLanes(house.db, [id], 'receive', { flag: 'invalid_credentials', scope: 'account' })
  expect(await watchSilence(house.db, NOW)).toBe(0)
})

test('where the operator says how fresh a mailbox has to be, that counts, also without any habit', async () => {
  const id = await account('orders@firma.example', { freshness_minutes: 120 })
  await sql`update poststelle.account_health set since = ${later(NOW, -3 * HOUR_MS)}`.execute(house.db)
  expect(await watchSilence(house.db, later(NOW, -90 * MINUTE_MS))).toBe(0)
  expect(await watchSilence(house.db, NOW)).toBe(1)
  expect((await notes())[0]).toMatchObject({
    account_id: id,
    evidence: expect.stringMatching(/expected every 2 h, silent 3 h/),
  })
})

test('mail to itself goes out as often as asked for; not arriving within an hour is noted', async () => {
  const id = await account('canary@firma.example', {
    canary_minutes: 60,
    smtp: { host: 'localhost', port: 587, security: 'starttls' },
    freshness_minutes: 1440,
  })
  await recover(house.db, [id])
  expect(await watchSilence(house.db, NOW)).toBe(0)
  const outbox = async () =>
    (
      await sql<{ id: number; recipients: string[] }>`select id from poststelle.outbound_messages order by id`.execute(
        house.db,
      )
    ).rows
  expect(await outbox()).toHaveLength(1)
  await watchSilence(house.db, later(NOW, 2 * HOUR_MS)) // the first one has not gone yet: no second one behind it
  expect(await outbox()).toHaveLength(1)
  await sql`update poststelle.outbound_messages set state = 'sent', finished_at = ${NOW}`.execute(house.db)
  expect(await watchSilence(house.db, later(NOW, 50 * MINUTE_MS))).toBe(0)
  expect(await watchSilence(house.db, later(NOW, 61 * MINUTE_MS))).toBe(1)
  expect((await notes())[0]).toMatchObject({
    evidence: expect.stringMatching(/to itself, handed over 2026-11-26T15:30Z, has not arrived/),
  })
})

test('an account that cannot send to itself is not asked to', async () => {
  const account = passwordAccount('a@firma.example', { canary_minutes: 60, smtp: null })
  await expect(async () => await house.importAccounts([account])).rejects.toThrow(
    /canary_minutes: needs both pop3 and smtp/,
  )
})
