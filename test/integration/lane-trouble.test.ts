// A send lane with mail in it that cannot go as it stands: damaged, taken back, put off. The other mail goes, and the server is not
// bothered more than needed.

import { sql } from 'kysely'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HOUR_MS, shiftedClock } from '../../src/base/clock.ts'
import { changeMessages } from '../../src/db/outbox-changes.ts'
import { drainLane } from '../../src/delivery/drain-lane.ts'
import { passwordAccount } from '../support/house.ts'
import { openOutgoing, SENDER, type Outgoing } from '../support/outgoing.ts'
import { outgoingMessage } from '../support/mail-world.ts'
import { waitingMail } from '../support/outbox-rows.ts'
import { startScriptedSmtp, type SmtpScript } from '../support/scripted-smtp.ts'

let o: Outgoing
let script: SmtpScript = {}
beforeEach(async () => {
  script = {}
  o = await openOutgoing({
    answer: (line, secured, connection) => script.answer?.(line, secured, connection),
    before: (line) => script.before?.(line),
  })
})
afterEach(() => o.close())

const submit = (name: string, to = 'kunde@example.test') =>
  o.raw(outgoingMessage(SENDER, to, name), { recipients: [to] })
const account = async () => {
  const { rows } = await sql<{ id: number }>`select id from poststelle.accounts`.execute(o.house.db)
  return rows[0]?.id ?? 0
}
const message = async (id: number) =>
  (
    await sql<{ state: string; attempts: number; repeated: boolean; last_flag: string | null }>`
      select state, attempts, repeated, last_flag from poststelle.outbox where id = ${id}`.execute(o.house.db)
  ).rows[0]
const count = async (state: string) =>
  (
    await sql<{
      n: number
    }>`select count(*)::int as n from poststelle.outbound_messages where state = ${state}`.execute(o.house.db)
  ).rows[0]?.n
const logins = () => o.server.seen.commands.filter((line) => line.startsWith('AUTH')).length

test('a message that has lost a piece is not sent shorter, waits on the schedule, and holds up no other', async () => {
  const damaged = await submit('damaged')
  for (let i = 0; i < 5; i++) await submit(`fine-${i}`)
  await sql`delete from poststelle.outbound_bodies where message_id = ${damaged}`.execute(o.house.db)
  expect(await o.drain()).toEqual({ attempted: 6 })
  expect(await message(damaged)).toMatchObject({ state: 'deferred', attempts: 1, last_flag: 'storage_failure' })
  expect(await count('sent')).toBe(5)
  expect(o.server.seen.messages).toHaveLength(5)
})

test('what we cannot make into a message says nothing of the server: a refused login stays on record', async () => {
  script = { answer: (line) => (line.startsWith('AUTH') ? '535 5.7.8 authentication failed' : undefined) }
  const refused = await submit('refused')
  expect((await o.drain()).failure?.step).toBe('auth')
  const flags = async () =>
    (await sql`select flag from poststelle.health_flags where cleared_at is null`.execute(o.house.db)).rows
  expect(await flags()).toHaveLength(1)
  await changeMessages(o.house.db, 'hold', [refused])
  const empty = await submit('empty')
  await sql`update poststelle.outbound_messages set size_bytes = null, sha256 = null where id = ${empty}`.execute(
    o.house.db,
  )
  expect(await o.drain()).toEqual({ attempted: 1 })
  expect(await message(empty)).toMatchObject({ attempts: 1, last_flag: 'storage_failure' })
  expect(await flags()).toHaveLength(1)
})

test('a lot of mail for a slow destination is put off at once, and the lane goes on', async () => {
  const id = await account()
  await waitingMail(o.house.db, id, 20_000)
  await sql`insert into poststelle.slow_destinations (account_id, domain, failures, until)
    values (${id}, 'example.test', 7, now() + interval '50 minutes')`.execute(o.house.db)
  const other = await submit('other', 'kunde@elsewhere.test')
  const began = performance.now()
  let turns = 0
  while ((await message(other))?.state !== 'sent') {
    await o.drain()
    turns += 1
  }
  expect(turns).toBeLessThan(10)
  expect(performance.now() - began).toBeLessThan(15_000)
  expect(await count('queued')).toBe(20_000)
  expect(o.server.seen.messages).toHaveLength(1)
})

test('messages that are cancelled by the batch while it is sent cost no login each', async () => {
  const ids: number[] = []
  for (let i = 0; i < 120; i++) ids.push(await submit(`bulk-${i}`))
  await sql`update poststelle.accounts set max_connections = 1`.execute(o.house.db)
  let cancelled = 0
  script = {
    before: async (line) => {
      // by then a good number of them is claimed
      if (line !== '.' || o.server.seen.messages.length !== 40) return
      const results = await changeMessages(o.house.db, 'cancel', ids)
      cancelled = results.filter(({ refusal }) => refusal === undefined).length
    },
  }
  await o.drain()
  expect(cancelled).toBeGreaterThan(50)
  expect(await count('cancelled')).toBe(cancelled)
  expect(await count('sent')).toBe(120 - cancelled)
  expect(o.server.seen.messages).toHaveLength(120 - cancelled)
  expect(logins()).toBeLessThanOrEqual(2)
})

test('a message that somebody keeps locked does not make the lane run in circles, and the others go', async () => {
  const locked = await submit('locked')
  const other = await submit('other')
  await o.house.db.transaction().execute(async (tx) => {
    await sql`select poststelle.cancel_message(${locked})`.execute(tx)
    expect(await o.drain()).toEqual({ attempted: 1 })
    expect(await message(other)).toMatchObject({ state: 'sent' })
    const { rows } = await sql<{ rests: boolean }>`select due_at > now() as rests from poststelle.lanes
      where lane = 'send'`.execute(o.house.db)
    expect(rows).toEqual([{ rests: true }])
  })
  expect(await message(locked)).toMatchObject({ state: 'cancelled' })
})

test('a clock of ours that is ahead of the database does not make the lane run in circles', async () => {
  script = { answer: (line) => (line.startsWith('RCPT') ? '451 4.3.0 later' : undefined) }
  await submit('deferred')
  await o.drain()
  const bells: string[] = []
  const { pool } = o.house.database
  const client = await pool.connect()
  try {
    client.on('notification', ({ payload }) => bells.push(payload ?? ''))
    await client.query('listen poststelle_bell')
    const lease = await o.house.lease(await account(), 'send')
    await drainLane({ ...o.house, clock: shiftedClock(HOUR_MS) }, lease, AbortSignal.timeout(60_000))
    await client.query('select')
    expect(bells).toEqual([])
  } finally {
    client.release(true)
  }
})

describe('while much mail goes out', () => {
  const COUNT = 150
  /** Once so many were taken. */
  const atThe = (nth: number, act: () => Promise<unknown>): SmtpScript => ({
    before: async (line) => {
      if (line === '.' && o.server.seen.messages.length === nth) await act()
    },
  })

  test('the operator switches sending off: what is claimed goes, and no more', async () => {
    for (let i = 0; i < COUNT; i++) await submit(`bulk-${i}`)
    script = atThe(4, () => sql`update poststelle.accounts set enabled_send = false`.execute(o.house.db))
    await o.drain()
    expect(o.server.seen.messages.length).toBeLessThan(COUNT / 3)
  })

  test('the account gets another server: the rest goes there', async () => {
    const other = await startScriptedSmtp()
    try {
      for (let i = 0; i < COUNT; i++) await submit(`bulk-${i}`)
      const smtp = { host: 'localhost', port: other.endpoint.port, security: 'none' }
      script = atThe(4, () => o.house.importAccounts([passwordAccount(SENDER, { smtp })]))
      await o.drain()
      await o.drain()
      expect(await count('sent')).toBe(COUNT)
      expect(o.server.seen.messages.length).toBeLessThan(COUNT / 3)
      expect(other.seen.messages).toHaveLength(COUNT - o.server.seen.messages.length)
    } finally {
      await other.stop()
    }
  })
})

test('a message that somebody keeps locked beyond its time holds up no other', async () => {
  script = { answer: (line) => (line === 'RCPT TO:<late@example.test>' ? '451 4.3.0 later' : undefined) }
  const late = await submit('late', 'late@example.test')
  await o.drain()
  await sql`update poststelle.outbound_messages set attempts = 5, next_attempt_at = now(), expires_at = now()`.execute(
    o.house.db,
  )
  const other = await submit('other')
  await o.house.db.transaction().execute(async (tx) => {
    await sql`select poststelle.cancel_message(${late})`.execute(tx)
    await o.drain()
    expect(await message(other)).toMatchObject({ state: 'sent' })
  })
  expect(await message(late)).toMatchObject({ state: 'cancelled' })
})
