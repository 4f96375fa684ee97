// Which lamp the views show: what is recorded of a lane, and how fresh its last success is.

import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freshDatabase, type TestDatabase } from '../../support/database.ts'
import { seedAccounts } from '../../support/health-rows.ts'

let database: TestDatabase
let id = 0
beforeAll(async () => {
  database = await freshDatabase()
  id = (await seedAccounts(database.db, 1, { domain: 'firma.example' }))[0] ?? 0
})
afterAll(() => database.drop())

const POLL = { every: 60, adapted: null, loginDelay: 0 }

test.each<
  [string, typeof POLL | { every: number; adapted: number | null; loginDelay: number }, number, boolean, string]
>([
  // recorded, intervals in seconds, minutes since the last success, switched on, lamp
  ['ok', POLL, 9, true, 'ok'],
  ['ok', POLL, 11, true, 'late'],
  ['ok', { ...POLL, every: 1_800 }, 59, true, 'ok'],
  ['ok', { ...POLL, every: 1_800 }, 61, true, 'late'],
  ['ok', { ...POLL, adapted: 3_600 }, 119, true, 'ok'],
  ['ok', { ...POLL, adapted: 3_600 }, 121, true, 'late'],
  ['ok', { ...POLL, loginDelay: 900 }, 29, true, 'ok'],
  ['new', POLL, 9, true, 'new'],
  ['new', POLL, 11, true, 'late'],
  ['failing', POLL, 600, true, 'failing'],
  ['blocked', POLL, 600, true, 'blocked'],
  ['blocked', POLL, 600, false, 'paused'],
])(
  '%s, with %o and %i minutes since the last success, switched on %s: %s',
  async (state, poll, minutes, enabled, lamp) => {
    const { db } = database
    await sql`update poststelle.accounts set enabled_receive = ${enabled} where id = ${id}`.execute(db)
    await sql`update poststelle.maildrops set poll_interval_seconds = ${poll.every}, current_interval_seconds = ${poll.adapted},
    login_delay_seconds = ${poll.loginDelay} where account_id = ${id}`.execute(db)
    await sql`update poststelle.account_health set state = ${state}, since = now() - ${minutes} * interval '1 minute',
    last_ok_at = case when ${state} <> 'new' then now() - ${minutes} * interval '1 minute' end where account_id = ${id}`.execute(
      db,
    )
    const { rows } = await sql`select receive_state as lamp from poststelle.account_status where id = ${id}`.execute(db)
    expect(rows).toEqual([{ lamp }])
  },
)
