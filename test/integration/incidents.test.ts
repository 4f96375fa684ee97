import { sql } from 'kysely'
import pg from 'pg'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { reconcileIncidents } from '../../src/health/reconcile-incidents.ts'
import { Dispatcher } from '../../src/workers/dispatcher.ts'
import { freshDatabase, type TestDatabase } from '../support/database.ts'
import {
  ageIncidents,
  flagLanes,
  handOver,
  recover,
  seedAccounts,
  seedClient,
  seedWaiting,
} from '../support/health-rows.ts'

let database: TestDatabase
let listener: pg.Client
let rung: string[] = []

beforeAll(async () => {
  database = await freshDatabase()
  listener = new pg.Client({ connectionString: database.url })
  await listener.connect()
  listener.on('notification', ({ payload = '' }) => void rung.push(payload))
  await listener.query('listen poststelle_incidents')
})
afterAll(async () => {
  await listener.end()
  await database.drop()
})
beforeEach(async () => {
  await sql`truncate poststelle.incidents, poststelle.accounts, poststelle.oauth_clients, poststelle.host_breakers cascade`.execute(
    database.db,
  )
  await listener.query('select 1') // what was rung before has come
  rung = []
})

const round = async () => (await reconcileIncidents(database.db)) ?? []
const incidents = async () => await database.db.selectFrom('incidents').selectAll().orderBy('id').execute()
const rings = async (): Promise<string[]> => {
  await listener.query('select 1')
  return rung
}

test('400 accounts of one app registration with an expired secret are one incident, one event and one notice', async () => {
  const { db } = database
  const client = await seedClient(db, 'bm_mail', 'common')
  const ids = await seedAccounts(db, 400, { domain: 'firma.example', clientId: client })
  await seedWaiting(db, ids.slice(0, 37), 1)
  for (const direction of ['receive', 'send'] as const)
    await flagLanes(db, ids, direction, { flag: 'client_secret_expired', scope: 'app', stage: 'token' })
  expect(await round()).toMatchObject([{ event: 'opened', accounts: 400, waiting: 37, subject: 'bm_mail' }])
  expect(await round()).toEqual([])
  const [incident] = await incidents()
  expect(incident).toMatchObject({
    subject_kind: 'client',
    accounts_now: 400,
    waiting_now: 37,
    flag: 'client_secret_expired',
  })
  expect(await rings()).toEqual([String(incident?.id)])
})

test('accounts that meet the cause soon after belong to its beginning; what doubles later is told once more', async () => {
  const { db } = database
  const client = await seedClient(db, 'bm_mail', 'common')
  const ids = await seedAccounts(db, 40, { domain: 'firma.example', clientId: client })
  const flag = { flag: 'client_secret_expired', scope: 'app', stage: 'token' }
  await flagLanes(db, ids.slice(0, 2), 'receive', flag)
  expect(await round()).toMatchObject([{ event: 'opened', accounts: 2 }])
  await flagLanes(db, ids.slice(0, 10), 'receive', flag)
  expect(await round()).toEqual([])
  await ageIncidents(db, 20)
  await flagLanes(db, ids.slice(0, 19), 'receive', flag)
  expect(await round()).toEqual([])
  await flagLanes(db, ids, 'receive', flag)
  expect(await round()).toMatchObject([{ event: 'grew', accounts: 40 }])
  expect(await round()).toEqual([])
  expect(await rings()).toHaveLength(2)
})

test('it is over when the flags are gone and somebody had a success: with its duration, what waited, and what went out since', async () => {
  const { db } = database
  const ids = await seedAccounts(db, 5, { domain: 'firma.example' })
  await seedWaiting(db, ids, 3)
  await flagLanes(db, ids, 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
  expect(await round()).toMatchObject([{ event: 'opened', accounts: 5, waiting: 15, subject: 'firma.example' }])
  await ageIncidents(db, 192)
  await recover(db, ids)
  expect(await round()).toEqual([])
  await handOver(db, ids.slice(0, 4))
  await flagLanes(db, ids.slice(0, 1), 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
  expect(await round()).toEqual([]) // it came back at once: still the same
  await recover(db, ids)
  expect(await round()).toEqual([])
  await sql`update poststelle.incidents set gone_at = gone_at - interval '31 seconds'`.execute(db)
  const [over] = await round()
  expect(over).toMatchObject({ event: 'closed', accounts: 5, waiting: 15, sentSince: 12 })
  expect(over?.lastedSeconds).toBeGreaterThan(191 * 60)
  expect(over?.lastedSeconds).toBeLessThan(193 * 60)
  expect(await rings()).toHaveLength(2)
  expect(await round()).toEqual([])
})

test('accounts that are switched off or deleted have no trouble any more', async () => {
  const { db } = database
  const [one = 0, other = 0] = await seedAccounts(db, 2, { domain: 'firma.example' })
  await flagLanes(db, [one, other], 'receive', { flag: 'invalid_credentials', scope: 'account' })
  expect(await round()).toMatchObject([{ event: 'opened' }, { event: 'opened' }])
  await sql`update poststelle.accounts set enabled_receive = false where id = ${one}`.execute(db)
  await sql`delete from poststelle.accounts where id = ${other}`.execute(db)
  expect(await round()).toMatchObject([{ event: 'closed' }, { event: 'closed' }])
})

test('one failure on the way is no incident; three are one for the host', async () => {
  const { db } = database
  const ids = await seedAccounts(db, 3, { domain: 'firma.example' })
  await seedAccounts(db, 1, { domain: 'andere.example' })
  const timeout = { flag: 'connect_timeout', scope: 'network', persistence: 'transient' }
  await flagLanes(db, ids, 'receive', { ...timeout, state: 'ok' })
  expect(await round()).toEqual([])
  await flagLanes(db, ids, 'receive', timeout)
  await flagLanes(db, ids, 'send', { ...timeout, flag: 'dns_failure' })
  expect(await round()).toMatchObject([
    { event: 'opened', subjectKind: 'host', subject: 'mail.firma.example', accounts: 3 },
  ])
})

test('where most hosts are out of reach it is our network: one incident, of which those of the hosts become part', async () => {
  const { db } = database
  const hosts: number[][] = []
  for (const name of ['a', 'b', 'c', 'd', 'e']) hosts.push(await seedAccounts(db, 4, { domain: `${name}.example` }))
  const told = []
  for (const ids of hosts) {
    await flagLanes(db, ids, 'receive', { flag: 'server_unreachable', scope: 'network', persistence: 'transient' })
    told.push((await round()).map(({ event, subject, accounts }) => `${event} ${subject} ${accounts}`))
  }
  expect(told).toEqual([
    ['opened mail.a.example 4'],
    ['opened mail.b.example 4'],
    ['merged mail.a.example 4', 'merged mail.b.example 4', 'opened network 12'],
    [],
    [],
  ])
  expect(await rings()).toHaveLength(3)
  expect((await incidents()).filter(({ closed_at: at }) => at === null)).toMatchObject([
    { subject_kind: 'network', accounts_now: 20 },
  ])
  await recover(db, hosts.flat())
  expect(await round()).toEqual([])
  await ageIncidents(db, 1)
  expect(await round()).toMatchObject([{ event: 'closed', flag: 'network_down', accounts: 20 }])
})

test('two processes at once: one keeps the incidents, the other goes on with its work', async () => {
  const { db } = database
  const ids = await seedAccounts(db, 50, { domain: 'firma.example' })
  await flagLanes(db, ids, 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
  const rounds = await Promise.all(Array.from({ length: 6 }, () => reconcileIncidents(db)))
  expect(rounds.flatMap((notices) => notices ?? [])).toHaveLength(1)
  expect(await incidents()).toHaveLength(1)
})

test('a dispatcher keeps the incidents by itself, with one line in the log', async () => {
  const { db } = database
  const ids = await seedAccounts(db, 3, { domain: 'firma.example' })
  await flagLanes(db, ids, 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
  const lines: string[] = []
  const log = pino({ base: null }, { write: (line) => void lines.push(line) })
  const dispatcher = new Dispatcher({ db, queues: new Map(), log, workerId: () => 0 })
  const heard = new Promise((resolve) => listener.once('notification', resolve))
  dispatcher.start()
  await heard
  await dispatcher.stop()
  expect(await incidents()).toMatchObject([{ flag: 'smtp_auth_disabled_tenant', accounts_now: 3 }])
  expect(lines.filter((line) => line.includes('incident opened: SMTP AUTH off (tenant)'))).toHaveLength(1)
})
