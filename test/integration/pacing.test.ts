// The pace of outbound mail on a real Postgres: budgets are shared by workers and by accounts, and lie in tables alone.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DAY_MS, HOUR_MS, later, MINUTE_MS, SECOND_MS } from '../../src/base/clock.ts'
import { keepConnection } from '../../src/db/budgets.ts'
import { loadSlowDestinations } from '../../src/db/slow-destinations.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import { fitting, type Counts, type Grant } from '../../src/delivery/governor.ts'
import {
  chargeBudget,
  learnBudget,
  recordDestinations,
  refundBudget,
  reserveBudget,
} from '../../src/delivery/pacing.ts'
import { failureOf } from '../support/budgets.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { mostWithin } from '../support/manual-clock.ts'
import { mulberry32 } from '../support/random.ts'

let house: TestHouse
let now = new Date()
let id = 0
let second = 0
let clientId = 0
beforeAll(async () => {
  house = await openHouse()
})
afterAll(() => house.close())

const oauth = (email: string): object =>
  passwordAccount(email, {
    auth: {
      type: 'oauth2',
      flow: 'password',
      token_endpoint: 'https://login.example.test/token',
      client_id: 'app',
      client_secret: null,
      scope: 'mail',
      password: 'correct-horse',
    },
  })

beforeEach(async () => {
  now = new Date('2026-03-11T10:00:00Z')
  await sql`delete from poststelle.accounts`.execute(house.db)
  await sql`delete from poststelle.oauth_clients`.execute(house.db)
  const imported = await house.importAccounts([oauth('a@example.test'), oauth('b@example.test')])
  ;[id = 0, second = 0] = imported.map((account) => account.id)
  const { rows } = await sql<{ id: number }>`select id from poststelle.oauth_clients`.execute(house.db)
  clientId = rows[0]?.id ?? 0
})

const set = async (columns: object, of: 'accounts' | 'oauth_clients' = 'accounts'): Promise<void> => {
  await house.db
    .updateTable(of)
    .set(columns)
    .where('id', '=', of === 'accounts' ? id : clientId)
    .execute()
}

const each = (n: number, recipients = 1): Counts => ({
  messages: n,
  recipients: n * recipients,
  external: n * recipients,
})

interface Taken extends Grant {
  readonly taken: number
}

/** As a lane claims messages to one recipient elsewhere: reserves, takes what it gets, charges it. */
async function take(wanted: number, account = id, workerId = house.workerId): Promise<Taken> {
  return await house.db.transaction().execute(async (tx) => {
    const reservation = await reserveBudget(tx, account, { wanted, workerId, now })
    if (!reservation) throw new Error('the account is gone')
    const messages = Array.from({ length: wanted }, () => ({ recipients: 1, external: 1 }))
    const taken = fitting(reservation.grant, messages)
    await chargeBudget(tx, reservation, each(taken), now)
    return { ...reservation.grant, taken }
  })
}
const inTransaction = <T>(work: (tx: Parameters<typeof reserveBudget>[0]) => Promise<T>): Promise<T> =>
  house.db.transaction().execute(work)

test('the presets are those that docs/pacing.md tells', async () => {
  const text = readFileSync(path.join(import.meta.dirname, '../../docs/pacing.md'), 'utf8')
  const told = [...text.matchAll(/^\| `(\w+)` +\| (\d+) +\| (\d+) +\| (\d+) +\| (\d+) +\|$/gm)].map(([, ...row]) => row)
  const { rows } = await sql<Record<string, unknown>>`select * from poststelle.send_presets`.execute(house.db)
  expect(told).toEqual(rows.map((row) => Object.values(row).map(String)))
})

describe('one budget', () => {
  test('of a mailbox: many workers that reserve at once never send more than it admits', async () => {
    await set({ messages_per_minute: 30, recipients_per_day: 400 })
    const random = mulberry32(11)
    const sent: number[] = []
    for (let round = 0; round < 125; round++) {
      const at = now.getTime()
      const grants = await Promise.all(Array.from({ length: 8 }, () => take(Math.ceil(random() * 6))))
      for (const { taken } of grants) for (let i = 0; i < taken; i++) sent.push(at)
      now = later(now, random() * 20 * SECOND_MS)
    }
    expect(sent.length).toBe(400)
    expect(mostWithin(sent, MINUTE_MS)).toBeGreaterThan(20)
    expect(mostWithin(sent, MINUTE_MS)).toBeLessThanOrEqual(30)
    now = later(now, 25 * HOUR_MS)
    expect((await take(3)).taken).toBe(3)
  })

  test('of an app registration is shared by its accounts, whoever asks first', async () => {
    await set({ recipients_per_day: 100 }, 'oauth_clients')
    const grants = await Promise.all(Array.from({ length: 60 }, (_, i) => take(3, i % 2 ? id : second)))
    expect(grants.reduce((n, { taken }) => n + taken, 0)).toBe(100)
    expect(await take(1, second)).toMatchObject({ messages: 0, external: 0, rest: { for: 'day' } })
  })

  test('without limits is written once for every claim, and locked by nobody', async () => {
    await set({ messages_per_minute: 0, recipients_per_day: 0 })
    await take(5)
    await inTransaction(async (holder) => {
      await sql`select from poststelle.send_budgets where account_id = ${id} for update`.execute(holder)
      const given = await inTransaction((tx) => reserveBudget(tx, id, { wanted: 9, workerId: 1, now }))
      expect(given?.grant).toMatchObject({ messages: 9, rest: null })
    })
  })

  test('is counted as an account deleted meanwhile allows: not at all', async () => {
    await sql`delete from poststelle.accounts where id = ${id}`.execute(house.db)
    expect(await inTransaction((tx) => reserveBudget(tx, id, { wanted: 1, workerId: 1, now }))).toBeUndefined()
    expect(await inTransaction((tx) => learnBudget(tx, id, failureOf('smtp_rate_limited'), now))).toBeUndefined()
  })
})

test('what is given back may be sent again', async () => {
  await set({ messages_per_minute: 4 })
  expect(await take(3)).toMatchObject({ messages: 1, rest: { for: 'rate' } })
  expect((await take(1)).taken).toBe(0)
  await inTransaction((tx) => refundBudget(tx, id, each(1), now))
  expect((await take(1)).taken).toBe(1)
})

describe('a refusal that asks for less', () => {
  const rate = async (account = id): Promise<number | null> => {
    const { rows } = await sql<{ rate: number | null }>`select poststelle.send_rate(${account}) as rate`.execute(
      house.db,
    )
    return rows[0]?.rate ?? null
  }
  const paused = async (account = id): Promise<Date | null> => {
    const { rows } = await sql<{
      until: Date | null
    }>`select poststelle.send_paused_until(${account}) as until`.execute(house.db)
    return rows[0]?.until ?? null
  }

  test('pauses the mailbox, halves its rate, and is shown to the application', async () => {
    now = new Date()
    await set({ messages_per_minute: 40 })
    expect([await rate(), await paused()]).toEqual([40, null])
    const lesson = await inTransaction((tx) => learnBudget(tx, id, failureOf('smtp_rate_limited'), now))
    expect(lesson).toEqual({ pausedUntil: later(now, MINUTE_MS) })
    expect([await rate(), await paused()]).toEqual([20, later(now, MINUTE_MS)])
    expect(await take(5)).toMatchObject({ messages: 0, rest: { until: later(now, MINUTE_MS), for: 'pause' } })
    expect([await rate(second), await paused(second)]).toEqual([null, null])
    now = later(now, MINUTE_MS)
    expect((await take(50)).taken).toBe(5)
  })

  test('rises again for the application as it does for the lane', async () => {
    await set({ messages_per_minute: 40 })
    await inTransaction((tx) => learnBudget(tx, id, failureOf('smtp_rate_limited'), now))
    await sql`update poststelle.send_budgets set messages_per_minute_learned_at = now() - interval '16 minutes'`.execute(
      house.db,
    )
    expect(await rate()).toBe(30)
    await sql`update poststelle.send_budgets set messages_per_minute_learned_at = now() - interval '2 hours'`.execute(
      house.db,
    )
    expect(await rate()).toBe(40)
    await set({ messages_per_minute: 0 })
    await sql`update poststelle.send_budgets set messages_per_minute_learned_at = now() - interval '1 day'`.execute(
      house.db,
    )
    expect(await rate()).toBeNull()
  })

  test('that means the tenant holds all accounts of the app registration', async () => {
    now = new Date()
    const failure = failureOf('tenant_external_recipient_limit', { scope: 'tenant' })
    expect(await inTransaction((tx) => learnBudget(tx, id, failure, now))).toEqual({ pausedUntil: later(now, HOUR_MS) })
    expect(await paused(second)).toEqual(later(now, HOUR_MS))
    expect(await take(1, second)).toMatchObject({ messages: 0, rest: { for: 'pause' } })
  })

  test('of the day learns how much a day admits, and forgets it a day later', async () => {
    await set({ recipients_per_day: 1_000 })
    await take(300)
    await inTransaction((tx) => learnBudget(tx, id, failureOf('sending_quota_exceeded'), now))
    now = later(now, 2 * HOUR_MS)
    expect(await take(1)).toMatchObject({ messages: 0, rest: { for: 'day' } })
    now = later(now, DAY_MS)
    expect((await take(1_000)).taken).toBe(1_000)
  })

  test('that says nothing of our pace changes nothing', async () => {
    expect(await inTransaction((tx) => learnBudget(tx, id, failureOf('invalid_credentials'), now))).toBeUndefined()
    const { rows } = await sql`select from poststelle.send_budgets`.execute(house.db)
    expect(rows).toEqual([])
  })
})

test('an open connection of another living worker counts, until it is closed or its worker is gone', async () => {
  const other = await WorkerSession.open(house.database.url, {
    roles: 'test',
    version: '0',
    onRing: () => undefined,
    onProblem: () => undefined,
  })
  await keepConnection(house.db, id, other.workerId, later(now, MINUTE_MS))
  expect((await take(1)).connections).toBe(4)
  expect((await take(1, id, other.workerId)).connections).toBe(5)
  await keepConnection(house.db, id, house.workerId, null)
  expect((await take(1)).connections).toBe(4)
  await keepConnection(house.db, id, other.workerId, null)
  expect((await take(1)).connections).toBe(5)
  await keepConnection(house.db, id, other.workerId, later(now, MINUTE_MS))
  await other.close()
  expect((await take(1)).connections).toBe(5)
})

describe('a destination', () => {
  const say = (...outcomes: ('accepted' | 'deferred')[]): Promise<void> =>
    inTransaction((tx) =>
      recordDestinations(
        tx,
        id,
        outcomes.map((outcome) => ({ domain: 'Slow.test', outcome })),
        now,
      ),
    )
  const slow = async (): Promise<[string, Date][]> => [...(await loadSlowDestinations(house.db, id, now))]

  test('that defers three times in a row waits, alone, and for this account alone', async () => {
    await say('deferred', 'deferred')
    expect(await slow()).toEqual([])
    await say('deferred')
    expect(await slow()).toEqual([['slow.test', later(now, MINUTE_MS)]])
    expect((await loadSlowDestinations(house.db, second, now)).size).toBe(0)
    now = later(now, MINUTE_MS)
    expect(await slow()).toEqual([])
    await say('deferred')
    expect(await slow()).toEqual([['slow.test', later(now, 2 * MINUTE_MS)]])
  })

  test('that accepts once is forgotten', async () => {
    await say('deferred', 'deferred', 'deferred', 'accepted')
    await say('deferred', 'deferred')
    await say('accepted')
    await say('deferred')
    expect(await slow()).toEqual([])
    await say('accepted')
    const { rows } = await sql`select from poststelle.slow_destinations`.execute(house.db)
    expect(rows).toEqual([])
  })
})
