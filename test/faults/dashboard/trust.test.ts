// What must not be believed: an application that wants more than its role, and a job that somebody else put into a queue.

import { createServer } from 'node:net'
import { once } from 'node:events'
import { sql } from 'kysely'
import pg from 'pg'
import { expect } from 'vitest'
import { openQueues, QUEUE_NAMES, type LaneJob } from '../../../src/jobs/queues.ts'
import { openDashboard } from '../../support/dashboard.ts'
import { row } from '../../support/figures.ts'
import { openHouse, passwordAccount } from '../../support/house.ts'

/** Each either fails, or leaves the application with what it had. */
const ATTEMPTS = [
  'select * from poststelle.accounts',
  'select * from poststelle.oauth_clients',
  'select * from poststelle.operators',
  'select * from poststelle.sessions',
  'select * from poststelle.api_tokens',
  'select * from poststelle.audit_log',
  'update poststelle.accounts set enabled_send = false',
  'delete from poststelle.outbound_messages',
  `insert into poststelle.operators (name, role) values ('mallory', 'admin')`,
  `select poststelle.change_message(1, 'cancel')`,
  `select poststelle.audit_hash(a) from poststelle.audit_log a`,
  'create or replace function poststelle.submit_message() returns int language sql as $$select 1$$',
  'alter function poststelle.ack_inbound(bigint) owner to current_user',
  'alter table poststelle.accounts disable trigger all',
  'create trigger mine before insert on poststelle.outbound_messages for each row execute function suppress_redundant_updates_trigger()',
  'grant select on poststelle.accounts to current_user',
  'set session authorization postgres',
  'set role postgres',
  `copy poststelle.accounts to program 'cat'`,
  `select pg_read_file('/etc/passwd')`,
  'create schema mine',
  `load 'plpython3u'`,
]

/** Our own functions, called where names mean something else. */
const TRAPS = [
  'create function pg_temp.now() returns timestamptz language plpgsql as $$begin perform 1 from poststelle.accounts; return null; end$$',
  'create temp table accounts (id bigint, email text)',
  'create temp table outbound_messages (id bigint)',
  'create function pg_temp.lower(text) returns text language plpgsql as $$begin delete from poststelle.outbound_messages; return $1; end$$',
  'set search_path = pg_temp, poststelle, public',
]

row(
  'S20',
  'an application does not become more than its role, whatever names it puts in the way',
  { fast: true },
  async () => {
    const house = await openHouse()
    const login = `mallory_${process.pid}`
    await house.importAccounts([passwordAccount('a@example.test', { default: true })])
    await sql`create role ${sql.id(login)} login in role poststelle_app`.execute(house.db)
    const url = new URL(house.database.url)
    url.username = login
    const app = new pg.Client(url.href)
    await app.connect()
    try {
      let escalations = 0
      for (const attempt of ATTEMPTS) {
        const done = await app.query(attempt).then(
          () => true,
          () => false,
        )
        if (done) escalations += 1
        expect([attempt, done]).toEqual([attempt, false])
      }
      for (const trap of TRAPS) await app.query(trap)
      const raw = Buffer.from('Subject: x\r\n\r\nx\r\n')
      const { rows } = await app.query<{ id: string }>(
        `select poststelle.submit_message('a@example.test', 'a@example.test', '{b@example.test}'::text[], $1, 'k') as id`,
        [raw],
      )
      await app.query('select * from poststelle.outbox_since(0, 10)')
      await app.query('select * from poststelle.inbox_since(0, 10)')
      await app.query('select poststelle.cancel_message($1)', [rows[0]?.id])
      const { rows: left } = await sql<{
        n: number
      }>`select count(*)::int as n from poststelle.outbound_messages`.execute(house.db)
      expect(left[0]?.n).toBe(1)
      return `${ATTEMPTS.length} attempts, ${TRAPS.length} traps, escalations ${escalations}`
    } finally {
      await app.end()
      await sql`drop role ${sql.id(login)}`.execute(house.db)
      await house.close()
    }
  },
)

row(
  'S21',
  'a forged job does nothing but ask whether a lane is due, and says nothing to an address that it names',
  { fast: true },
  async () => {
    let connections = 0
    const sink = createServer((socket) => {
      connections += 1
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(sink, 'listening')
    const { port } = sink.address() as { port: number }
    const at = { host: '127.0.0.1', port, security: 'none' }
    const house = await openHouse()
    const imported = await house.importAccounts([
      passwordAccount('a@example.test', { pop3: { ...at }, smtp: { ...at } }),
      passwordAccount('b@example.test', { pop3: { ...at }, smtp: { ...at } }),
    ])
    const ids = imported.map(({ id }) => id)
    // nothing is due for an hour
    await sql`update poststelle.lanes set due_at = now() + interval '1 hour'`.execute(house.db)
    const lanes = async () =>
      (
        await sql`select account_id, lane, due_at, lease_token, parked_until from poststelle.lanes order by 1, 2`.execute(
          house.db,
        )
      ).rows
    const before = await lanes()
    const service = await openDashboard(house, ['worker'])
    const queues = await openQueues({ databaseUrl: house.database.url, redisUrl: undefined }, () => undefined)
    const forged: unknown[] = [
      { accountId: ids[0] },
      { accountId: ids[1], url: `http://127.0.0.1:${port}/`, host: '127.0.0.1', port, due: true, lease: 'mine' },
      { accountId: 999_999 },
      { accountId: -1 },
      { accountId: '1; drop table poststelle.accounts' },
      { accountId: { $gt: 0 } },
      {},
      null,
      [ids[0]],
      { accountId: ids[0], constructor: { prototype: { accountId: ids[1] } } },
    ]
    try {
      const put: { getState: () => Promise<string> }[] = []
      for (const name of QUEUE_NAMES)
        for (const data of forged) put.push(await queues.queue(name).add('forged', data as LaneJob))
      const ended = async (): Promise<number> => {
        const states = await Promise.all(put.map(async (job) => await job.getState()))
        return states.filter((state) => ['completed', 'failed', 'unknown'].includes(state)).length
      }
      await expect.poll(ended, { timeout: 60_000, interval: 100 }).toBe(put.length)
      expect(await lanes()).toEqual(before)
      expect(connections).toBe(0)
      const { rows } = await sql<{ n: number }>`select count(*)::int as n from poststelle.accounts`.execute(house.db)
      expect(rows[0]?.n).toBe(2)
      return `${put.length} forged jobs, lanes changed 0, connections 0`
    } finally {
      await Promise.all(QUEUE_NAMES.map((name) => queues.queue(name).close()))
      await queues.close()
      await service.close()
      await house.close()
      sink.close()
    }
  },
)
