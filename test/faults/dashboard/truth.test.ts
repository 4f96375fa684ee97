// Whether the pages tell the truth: the verdict is that of the command, every figure that of the tables, every counter that of the list
// it leads to, and every cause is on the page within moments of its beginning and its end.

import { sql } from 'kysely'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect } from 'vitest'
import type { OverviewJson } from '../../../src/contract/overview.ts'
import type { AttentionGroupJson } from '../../../src/contract/system.ts'
import { OUTBOUND_STATES } from '../../../src/db/outbox.ts'
import { explain, flags } from '../../../src/failures/catalogue.ts'
import { WorkerSession } from '../../../src/db/worker-session.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { yesterdayEvening } from '../../../src/health/phrases.ts'
import { askWith, setUp, type Ask } from '../../support/api.ts'
import { launch, logIn, openPage, type Watched } from '../../support/browser.ts'
import { openDashboard, type Dashboard } from '../../support/dashboard.ts'
import { row, sized } from '../../support/figures.ts'
import {
  ageIncidents,
  flagLanes,
  recover,
  removeAccounts,
  seedAccounts,
  seedClient,
  seedWaiting,
} from '../../support/health-rows.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'
import { programOn, type RunProgram } from '../../support/program.ts'
import { mulberry32 } from '../../support/random.ts'

let house: TestHouse
let dashboard: Dashboard
let browser: Browser
let watched: Watched
let ask: Ask
let program: RunProgram
let worker: WorkerSession

beforeAll(async () => {
  house = await openHouse()
  dashboard = await openDashboard(house)
  await setUp(dashboard.service)
  ask = await askWith(house.db, dashboard.base, 'admin')
  program = programOn(house)
  worker = await startWorking()
  browser = await launch()
  watched = await openPage(browser, dashboard.base)
  await logIn(watched.page)
})
afterAll(async () => {
  await worker.close()
  await browser.close()
  await dashboard.close()
  await house.close()
})
beforeEach(async () => {
  await removeAccounts(house.db)
})

const startWorking = async (): Promise<WorkerSession> =>
  await WorkerSession.open(house.database.url, {
    roles: 'worker',
    version: 'test',
    onRing: () => undefined,
    onProblem: (error) => {
      throw error
    },
  })

/** Not the reading of the moment before, which tabs share for a second. */
async function freshOverview(language = 'de'): Promise<OverviewJson> {
  const { at } = (await ask('GET', '/api/v1/overview')).json as OverviewJson
  let found: OverviewJson | undefined
  await expect
    .poll(async () => (found = (await ask('GET', `/api/v1/overview?lang=${language}`)).json as OverviewJson).at, {
      timeout: 10_000,
      interval: 100,
    })
    .not.toBe(at)
  if (!found) throw new Error('there is no overview')
  return found
}

const SITUATIONS: readonly (readonly [name: string, arrange: () => Promise<unknown>, kind: OverviewJson['kind']])[] = [
  ['no account yet', async () => undefined, 'well'],
  ['all is well', async () => await seedAccounts(house.db, 42, { domain: 'firma.example' }), 'well'],
  [
    'one account is blocked',
    async () => {
      const [one = 0] = await seedAccounts(house.db, 3, { domain: 'firma.example' })
      await flagLanes(house.db, [one], 'receive', { flag: 'invalid_credentials', scope: 'account' })
    },
    'blocked',
  ],
  [
    'a secret has expired for 400 accounts',
    async () => {
      const client = await seedClient(house.db, 'bm_mail', 'common')
      const ids = await seedAccounts(house.db, 400, { domain: 'firma.example', clientId: client })
      await seedWaiting(house.db, ids.slice(0, 37), 1)
      await flagLanes(house.db, ids, 'send', { flag: 'client_secret_expired', scope: 'app', stage: 'token' })
    },
    'blocked',
  ],
  [
    'a server is away for everybody',
    async () => {
      const ids = await seedAccounts(house.db, 20, { domain: 'firma.example' })
      await flagLanes(house.db, ids, 'receive', { flag: 'server_unreachable', scope: 'host', persistence: 'transient' })
    },
    'notes',
  ],
  [
    'one account fails',
    async () => {
      const ids = await seedAccounts(house.db, 5, { domain: 'firma.example' })
      await flagLanes(house.db, ids.slice(0, 1), 'send', {
        flag: 'mailbox_busy',
        scope: 'account',
        persistence: 'transient',
      })
    },
    'notes',
  ],
  [
    'an account is late',
    async () => {
      const [one = 0] = await seedAccounts(house.db, 5, { domain: 'firma.example' })
      await sql`update poststelle.account_health set last_ok_at = now() - interval '3 hours' where account_id = ${one}`.execute(
        house.db,
      )
    },
    'notes',
  ],
  [
    'everything is paused',
    async () => {
      await seedAccounts(house.db, 2, { domain: 'firma.example' })
      await sql`update poststelle.accounts set enabled_receive = false, enabled_send = false`.execute(house.db)
    },
    'well',
  ],
  [
    'mail is due for long',
    async () => {
      const ids = await seedAccounts(house.db, 2, { domain: 'firma.example' })
      await seedWaiting(house.db, ids, 3)
      await sql`update poststelle.outbound_messages set next_attempt_at = now() - interval '22 minutes'`.execute(
        house.db,
      )
    },
    'notes',
  ],
  [
    'nobody works',
    async () => {
      await seedAccounts(house.db, 2, { domain: 'firma.example' })
      await worker.close()
    },
    'stopped',
  ],
  [
    'somebody works again',
    async () => {
      await seedAccounts(house.db, 2, { domain: 'firma.example' })
      await sql`update poststelle.account_health set state = 'new', last_ok_at = null`.execute(house.db)
    },
    'well',
  ],
  [
    'several causes at once',
    async () => {
      const client = await seedClient(house.db, 'bm_mail', 'common')
      const ids = await seedAccounts(house.db, 12, { domain: 'firma.example', clientId: client })
      await flagLanes(house.db, ids.slice(0, 4), 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
      await flagLanes(house.db, ids.slice(6, 7), 'receive', { flag: 'invalid_credentials', scope: 'account' })
      await flagLanes(house.db, ids.slice(8, 9), 'send', { flag: 'send_as_denied', scope: 'account' })
    },
    'blocked',
  ],
]

row('A1', 'verdict and facts of the page are those of the command, in both languages', { fast: true }, async () => {
  for (const [name, arrange, kind] of SITUATIONS) {
    if (name === 'somebody works again') worker = await startWorking()
    await removeAccounts(house.db)
    await arrange()
    await reconcileIncidents(house.db)
    for (const language of ['de', 'en']) {
      const { verdict, facts, kind: is } = await freshOverview(language)
      const { out } = await program(['status', '--lang', language], { columns: 400 })
      expect([name, is]).toEqual([name, kind])
      expect([name, out.startsWith(verdict)]).toEqual([name, true])
      expect([name, facts.filter((fact) => !out.replace(/\s+/g, ' ').includes(fact))]).toEqual([name, []])
      expect([name, facts.length > 0]).toEqual([name, name !== 'no account yet'])
    }
    const { verdict, title } = await freshOverview('de')
    await watched.page.goto('/')
    await expect.poll(() => watched.page.locator('#verdict').textContent(), { timeout: 10_000 }).toContain(verdict)
    await expect.poll(() => watched.page.title(), { timeout: 10_000 }).toBe(title)
  }
  return `${SITUATIONS.length} situations x 2 languages, different 0`
})

const [OPEN, FINAL] = [OUTBOUND_STATES.slice(0, 6), OUTBOUND_STATES.slice(6)]
const LAMPS = ['ok', 'new', 'failing', 'blocked']

/** Accounts, mail and causes as chance has it. */
async function anything(seed: number): Promise<void> {
  const { db } = house
  const next = mulberry32(seed)
  const one = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T
  const ids = await seedAccounts(db, 5 + Math.floor(next() * 20), { domain: 'firma.example' })
  for (const id of ids) {
    const switches = { receive: next() < 0.8, send: next() < 0.8 }
    await sql`update poststelle.accounts set enabled_receive = ${switches.receive}, enabled_send = ${switches.send} where id = ${id}`.execute(
      db,
    )
    for (const direction of ['receive', 'send'] as const) {
      const state = next() < 0.5 ? 'ok' : one(LAMPS)
      await sql`update poststelle.account_health set state = ${state}, last_ok_at = now() - ${Math.floor(next() * 60)} * interval '1 minute'
        where account_id = ${id} and direction = ${direction}`.execute(db)
    }
    if (next() < 0.3)
      await sql`update poststelle.lanes set parked_until = now() + interval '1 hour' where account_id = ${id} and lane = 'send'`.execute(
        db,
      )
  }
  for (let n = 0; n < 150; n += 1) {
    const state = one(OUTBOUND_STATES)
    const final = FINAL.includes(state)
    const hours = Math.floor(next() * 24 * (next() < 0.8 ? 2 : 40))
    const flag = final && next() < 0.7 ? one(['recipient_unknown', 'message_too_large']) : null
    const { rows } = await sql<{ id: number }>`
      insert into poststelle.outbound_messages (account_id, envelope_from, internet_message_id, subject, request_sha256, state, hold_reason, last_flag,
        created_at, finished_at, next_attempt_at, expires_at, attempts)
      values (${one(ids)}, '', ${`<${seed}-${n}@x>`}, 'Rechnung', '', ${state}, ${state === 'held' ? one(['manual', 'after_restore']) : null}, ${flag},
        now() - ${hours + 0.5} * interval '1 hour', case when ${final} then now() - ${hours} * interval '1 hour' end,
        case when ${!final && state !== 'held' && state !== 'sending'} then now() + ${Math.floor(next() * 120) - 60} * interval '1 minute' end,
        now() + interval '5 days', ${state === 'queued' ? 0 : 1}) returning id`.execute(db)
    await sql`insert into poststelle.outbound_recipients (message_id, ordinal, address, state, flag)
      values (${rows[0]?.id ?? 0}, 1, 'kunde@kunde.example', 'pending', ${next() < 0.2 ? 'mailbox_full' : null})`.execute(
      db,
    )
  }
  for (let n = 0; n < 60; n += 1) {
    const state = next() < 0.2 ? 'quarantined' : 'parsed'
    await sql`with m as (insert into poststelle.messages (account_id, size_bytes, sha256, received_at, complete)
      values (${one(ids)}, 1, '', now() - ${Math.floor(next() * 60)} * interval '1 hour', ${next() < 0.9}) returning id, account_id)
      insert into poststelle.message_contents (message_id, account_id, position, state, reason)
      select id, account_id, id, ${state}, ${state === 'quarantined' ? one(['nested too deeply', 'too many parts']) : null} from m`.execute(
      db,
    )
  }
}

/** So many rows a list has, page by page. */
async function lengthOf(path: string, filter: string): Promise<number> {
  let found = 0
  for (let cursor: string | null = ''; cursor !== null;) {
    const query = new URLSearchParams({ filter, limit: '37', ...(cursor !== '' && { cursor }) })
    const { json, status, text } = await ask('GET', `/api/v1/${path}?${query.toString()}`)
    if (status !== 200) throw new Error(`${path} ${filter}: ${text}`)
    const page = json as { items: unknown[]; next: string | null }
    found += page.items.length
    cursor = page.next
  }
  return found
}

const one = async <T>(query: ReturnType<typeof sql<T>>): Promise<T | undefined> =>
  (await query.execute(house.db)).rows[0]

row(
  'U3',
  'every figure is that of the tables, and every counter that of the list it leads to (A2, A3)',
  { fast: true },
  async () => {
    const rounds = sized(3, 40)
    let compared = 0
    for (let seed = 1; seed <= rounds; seed += 1) {
      await removeAccounts(house.db)
      await anything(seed)
      const overview = await freshOverview()
      const since = yesterdayEvening(new Date(overview.at))
      const base = await one(sql<Record<string, number>>`select
      (select count(*)::int from poststelle.messages where received_at >= ${since}) as received,
      (select count(*)::int from poststelle.outbound_messages where state in ('sent', 'partial', 'bounced') and finished_at >= ${since}) as handed_over,
      (select count(*)::int from poststelle.outbound_messages m join poststelle.account_health h on h.account_id = m.account_id and h.direction = 'send'
        join poststelle.accounts a on a.id = m.account_id where a.enabled_send and h.state in ('failing', 'blocked') and m.finished_at is null
        and m.next_attempt_at <= now() and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')) as stuck`)
      expect([seed, { received: overview.received, handed_over: overview.handed_over, stuck: overview.stuck }]).toEqual(
        [seed, base],
      )
      const hours = await one(sql<{ received: number; rejected: number }>`select
      (select count(*)::int from poststelle.messages where received_at >= date_trunc('hour', now()) - interval '23 hours') as received,
      (select count(*)::int from poststelle.outbound_messages where state in ('failed', 'expired')
        and finished_at >= date_trunc('hour', now()) - interval '23 hours') as rejected`)
      const sum = (of: 'received' | 'rejected'): number => overview.hours.reduce((total, hour) => total + hour[of], 0)
      expect([seed, { received: sum('received'), rejected: sum('rejected') }]).toEqual([seed, hours])
      for (const state of ['ok', 'new', 'late', 'failing', 'blocked', 'paused'])
        expect([seed, state, overview.lamps[state] ?? 0]).toEqual([
          seed,
          state,
          await lengthOf('accounts', `status:${state}`),
        ])
      for (const state of OPEN)
        expect([seed, state, overview.outbox[state] ?? 0]).toEqual([
          seed,
          state,
          await lengthOf('outbox', `status:${state}`),
        ])
      expect([seed, await lengthOf('inbox', `since:${overview.since}`)]).toEqual([seed, overview.received])
      const groups = (await ask('GET', '/api/v1/attention')).json as AttentionGroupJson[]
      for (const { kind, filter, count } of groups) {
        const path = ['quarantined', 'oversize'].includes(kind) ? 'inbox' : 'outbox'
        expect([seed, filter, await lengthOf(path, filter)]).toEqual([seed, filter, count])
      }
      const due = await one(sql<{
        at: Date | null
      }>`select min(m.next_attempt_at) as at from poststelle.outbound_messages m
      join poststelle.account_health h on h.account_id = m.account_id and h.direction = 'send' and h.state not in ('failing', 'blocked')
      join poststelle.accounts a on a.id = m.account_id and a.enabled_send where m.finished_at is null and m.next_attempt_at <= now()
      and m.state in ('scheduled', 'queued', 'deferred', 'uncertain')`)
      expect([seed, overview.oldest_due_at]).toEqual([seed, due?.at?.toISOString() ?? null])
      compared += 20 + groups.length
    }
    return `${rounds} random installations, ${compared} figures, mismatches 0`
  },
)

const SCOPES: Readonly<Record<string, string>> = { message: 'account', recipient: 'account' }

row(
  'U1',
  'every cause is on the page within moments of its beginning, in the words of the catalogue, and gone after its end',
  { fast: true },
  async () => {
    const { page } = watched
    const client = await seedClient(house.db, 'bm_mail', 'firma.example')
    const [id = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example', clientId: client })
    const all = flags().filter(({ scope }) => !(scope in SCOPES))
    const chosen = all.filter((_, at) => at % Math.ceil(all.length / sized(6, all.length)) === 0)
    await page.goto('/')
    let slowest = 0
    for (const { flag, scope, blocks } of chosen) {
      const seen = await shownFor(page, explain(flag, 'de').label, async () => {
        await flagLanes(house.db, [id], blocks === 'stage' || blocks.includes('send') ? 'send' : 'receive', {
          flag,
          scope,
          persistence: 'human',
        })
        await reconcileIncidents(house.db)
      })
      slowest = Math.max(slowest, seen)
      await recover(house.db, [id])
      await reconcileIncidents(house.db)
      await ageIncidents(house.db, 60)
      await reconcileIncidents(house.db)
      await page.getByText('Nichts zu tun. Einen ruhigen Tag.').waitFor({ timeout: 15_000 })
    }
    expect(watched.errors).toEqual([])
    return `${chosen.length} causes, visible after at most ${(slowest / 1000).toFixed(1)} s`
  },
)

async function shownFor(page: Page, label: string, begin: () => Promise<unknown>): Promise<number> {
  await begin()
  const begun = performance.now()
  await page.getByText(label, { exact: false }).first().waitFor({ timeout: 15_000 })
  return performance.now() - begun
}
