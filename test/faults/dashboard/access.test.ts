// Who gets in, and who may what: forged requests, guessed passwords, stolen cookies, and every route for every role.

import fastify, { type RouteOptions } from 'fastify'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { buildApp } from '../../../src/api/server.ts'
import { Live } from '../../../src/api/live.ts'
import { openQueues, QUEUE_NAMES } from '../../../src/jobs/queues.ts'
import { readConfig } from '../../../src/base/config.ts'
import { ADMIN, askAs, askWith, cookieOf, setUp } from '../../support/api.ts'
import { knownRoutes, openDashboard, type KnownRoute } from '../../support/dashboard.ts'
import { row } from '../../support/figures.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'
import { insertMessage } from '../../support/inbox-rows.ts'
import { seedAccounts, seedWaiting } from '../../support/health-rows.ts'

const SAME = { 'sec-fetch-site': 'same-origin' }

async function withHouse(work: (house: TestHouse) => Promise<string>): Promise<string> {
  const house = await openHouse()
  try {
    return await work(house)
  } finally {
    await house.close()
  }
}

/** Every route, as it is registered. */
async function routesOf(house: TestHouse): Promise<KnownRoute[]> {
  const queues = await openQueues({ databaseUrl: house.database.url, redisUrl: undefined }, () => undefined)
  const laneQueues = QUEUE_NAMES.map((name) => queues.queue(name))
  const told: RouteOptions[] = []
  const raw = fastify()
  raw.addHook('onRoute', (route) => void told.push(route))
  const app = await buildApp(raw, {
    ...house,
    config: readConfig({}),
    databaseUrl: house.database.url,
    version: 'test',
    queues,
    laneQueues,
    live: new Live(house.db, house.log),
    publicUrl: 'http://localhost:1',
  })
  await app.ready()
  await app.close()
  await Promise.all(laneQueues.map((queue) => queue.close()))
  await queues.close()
  return knownRoutes(told)
}

const RANK: Readonly<Record<string, number>> = { public: 0, reader: 1, operator: 2, admin: 3 }

row('S16', 'every route refuses whoever may not, and lets in whoever may', { fast: true }, () =>
  withHouse(async (house) => {
    const routes = await routesOf(house)
    const [account = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example' })
    await seedWaiting(house.db, [account], 1)
    await insertMessage(house.db, { accountId: account })
    const dashboard = await openDashboard(house)
    try {
      const who = {
        nobody: askAs(dashboard.base, { 'x-forwarded-for': '192.0.2.1' }),
        reader: await askWith(house.db, dashboard.base, 'reader'),
        operator: await askWith(house.db, dashboard.base, 'operator'),
        admin: await askWith(house.db, dashboard.base, 'admin'),
        'admin who may read mail': await askWith(house.db, dashboard.base, 'admin', { mayReadMail: true }),
        'program that may send': await askWith(house.db, dashboard.base, 'reader', { maySend: true }),
      }
      const wrong: string[] = []
      let asked = 0
      const own = routes.filter(
        ({ url }) => url.startsWith('/api/') && !url.endsWith('/events') && !url.startsWith('/api/v1/me'),
      )
      expect(own.length).toBeGreaterThan(60)
      for (const route of own) {
        const path = route.url.replace(/:(\w+)/g, (_, name: string) =>
          name === 'name' ? 'token-refresh' : '999999999',
        )
        for (const [name, ask] of Object.entries(who)) {
          const rank = name === 'nobody' ? 0 : name.startsWith('admin') ? 3 : name === 'operator' ? 2 : 1
          const may =
            route.role === 'public' ||
            ((rank >= (RANK[route.role] ?? 9) || (route.send && name === 'program that may send')) &&
              (!route.mail || name === 'admin who may read mail'))
          // an empty body is refused by its schema, and only once somebody may
          const { status } = await ask(route.method, path, route.method === 'GET' ? undefined : {})
          const refused = status === 401 || status === 403
          asked += 1
          if (route.role !== 'public' && refused === may) wrong.push(`${name}: ${route.method} ${route.url}: ${status}`)
        }
      }
      expect(wrong).toEqual([])
      return `${own.length} routes x ${Object.keys(who).length} people, ${asked} requests, violations 0`
    } finally {
      await dashboard.close()
    }
  }),
)

row('S16b', 'no route is there that does not say who may, and none of the pages shows data', { fast: true }, () =>
  withHouse(async (house) => {
    const routes = await routesOf(house)
    expect(
      routes.filter(({ role, url }) => role === 'none' && !url.startsWith('/assets/')).map(({ url }) => url),
    ).toEqual([])
    const open = routes.filter(({ role, url }) => role === 'public' && url.startsWith('/api/'))
    expect(open.map(({ method, url }) => `${method} ${url}`).toSorted()).toEqual([
      'DELETE /api/v1/session',
      'GET /api/v1/invitations/:token',
      'GET /api/v1/session',
      'POST /api/v1/invitations/:token',
      'POST /api/v1/session',
    ])
    return `${routes.length} routes, ${open.length} of the interface open to everybody`
  }),
)

row('S12', 'what another site makes a browser send changes nothing', { fast: true }, () =>
  withHouse(async (house) => {
    const [account = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example' })
    const dashboard = await openDashboard(house)
    try {
      await setUp(dashboard.service)
      const login = await askAs(dashboard.base, SAME)('POST', '/api/v1/session', ADMIN)
      const cookie = cookieOf(login)
      const path = `/api/v1/accounts/${account}/pause`
      const body = { direction: 'send' }
      const { host } = new URL(dashboard.base)
      const attacks: Record<string, string>[] = [
        { 'sec-fetch-site': 'cross-site' },
        { 'sec-fetch-site': 'same-site' },
        { 'sec-fetch-site': 'none' },
        { origin: 'https://evil.example' },
        { origin: 'null' },
        {}, // an old browser that says nothing
        { 'content-type': 'text/plain', 'sec-fetch-site': 'cross-site' },
      ]
      const paused = async () =>
        (
          await sql<{ n: number }>`select count(*)::int as n from poststelle.accounts where not enabled_send`.execute(
            house.db,
          )
        ).rows[0]?.n
      for (const headers of attacks) {
        const { status } = await askAs(dashboard.base, { cookie })('POST', path, body, headers)
        expect([403, 415]).toContain(status)
      }
      expect(await paused()).toBe(0)
      // a form of another site, which can be no JSON
      const form = await askAs(dashboard.base, { cookie })('POST', path, 'direction=send', {
        'content-type': 'application/x-www-form-urlencoded',
        'sec-fetch-site': 'same-origin',
      })
      expect(form.status).toBeGreaterThanOrEqual(400)
      expect(await paused()).toBe(0)
      // logging somebody in as somebody else
      expect(
        (await askAs(dashboard.base, { 'sec-fetch-site': 'cross-site' })('POST', '/api/v1/session', ADMIN)).status,
      ).toBe(403)
      expect((await askAs(dashboard.base, { cookie })('POST', path, body, SAME)).status).toBe(200)
      expect(
        (
          await askAs(dashboard.base, { cookie })('POST', path.replace('pause', 'resume'), body, {
            origin: `http://${host}`,
          })
        ).status,
      ).toBe(200)
      return `${attacks.length + 2} forged requests, state changes 0`
    } finally {
      await dashboard.close()
    }
  }),
)

row('S13', 'every answer says what a browser must not do with it', { fast: true }, () =>
  withHouse(async (house) => {
    const dashboard = await openDashboard(house)
    try {
      const admin = await setUp(dashboard.service)
      const paths = [
        '/',
        '/accounts',
        '/api/v1/overview',
        '/api/v1/nothing',
        '/livez',
        '/sign-in/x',
        '/oauth/callback',
        '/queues',
        '/api/openapi.json',
        '/nowhere',
      ]
      const missing: string[] = []
      for (const path of paths) {
        const { headers } = await admin('GET', path)
        for (const name of [
          'content-security-policy',
          'x-content-type-options',
          'referrer-policy',
          'cross-origin-opener-policy',
          'cache-control',
        ])
          if (!headers.has(name)) missing.push(`${path}: ${name}`)
        const policy = headers.get('content-security-policy') ?? ''
        if (!policy.includes('frame-ancestors')) missing.push(`${path}: frame-ancestors`)
        if (path !== '/queues' && /script-src[^;]*'unsafe/.test(policy)) missing.push(`${path}: ${policy}`)
      }
      expect(missing).toEqual([])
      const login = await askAs(dashboard.base, SAME)('POST', '/api/v1/session', ADMIN)
      expect(login.headers.get('set-cookie')).toMatch(
        /^__Host-poststelle=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
      )
      return `${paths.length} answers, missing headers 0`
    } finally {
      await dashboard.close()
    }
  }),
)

row('S15', 'guessing a password gets slow, and no old session lives on', { fast: true }, () =>
  withHouse(async (house) => {
    const dashboard = await openDashboard(house)
    try {
      await setUp(dashboard.service)
      const visitor = askAs(dashboard.base, SAME)
      const statuses: number[] = []
      for (let i = 0; i < 12; i++)
        statuses.push(
          (await visitor('POST', '/api/v1/session', { name: ADMIN.name, password: `guess number ${i}` })).status,
        )
      expect(statuses.filter((status) => status === 200)).toEqual([])
      expect(statuses.slice(0, 5)).toEqual([401, 401, 401, 401, 401])
      expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(3)
      const blocked = await visitor('POST', '/api/v1/session', ADMIN)
      expect(blocked.status).toBe(429)
      expect(Number(blocked.headers.get('retry-after'))).toBeGreaterThan(0)
      // a name that does not exist is answered alike
      const unknown = await visitor('POST', '/api/v1/session', { name: 'nobody', password: 'x' })
      expect([401, 429]).toContain(unknown.status)
      await sql`delete from poststelle.login_failures`.execute(house.db)

      const log = async () => cookieOf(await visitor('POST', '/api/v1/session', ADMIN))
      const me = async (cookie: string) =>
        (await askAs(dashboard.base, { cookie, ...SAME })('GET', '/api/v1/overview')).status
      // a cookie that was there before does not become a session
      const fixed = '__Host-poststelle=chosen-by-somebody-else-chosen-by-somebody'
      const answer = await askAs(dashboard.base, { cookie: fixed, ...SAME })('POST', '/api/v1/session', ADMIN)
      expect(cookieOf(answer)).not.toBe(fixed)
      expect(await me(fixed)).toBe(401)
      // after the logout
      const first = await log()
      expect(await me(first)).toBe(200)
      await askAs(dashboard.base, { cookie: first, ...SAME })('DELETE', '/api/v1/session')
      expect(await me(first)).toBe(401)
      // after the password was changed elsewhere
      const [old, other] = [await log(), await log()]
      const changed = await askAs(dashboard.base, { cookie: other, ...SAME })('POST', '/api/v1/me/password', {
        current: ADMIN.password,
        password: 'another whole sentence',
      })
      expect(changed.status).toBe(200)
      expect([await me(old), await me(other), await me(cookieOf(changed))]).toEqual([401, 401, 200])
      // long unused, and for ever
      const cookie = cookieOf(changed)
      await sql`update poststelle.sessions set seen_at = now() - interval '13 hours'`.execute(house.db)
      expect(await me(cookie)).toBe(401)
      return `12 guesses: ${statuses.join(' ')}; accepted 0`
    } finally {
      await dashboard.close()
    }
  }),
)

row('S15b', 'a session loses what its operator loses', { fast: true }, () =>
  withHouse(async (house) => {
    const dashboard = await openDashboard(house)
    try {
      const admin = await setUp(dashboard.service)
      const made = await admin('POST', '/api/v1/operators', { name: 'kim', role: 'admin', may_read_mail: true })
      const link = String(made.json.url).split('#')[1]
      const visitor = askAs(dashboard.base, SAME)
      const accepted = await visitor('POST', `/api/v1/invitations/${link}`, { password: 'kim has a sentence' })
      expect((await visitor('POST', `/api/v1/invitations/${link}`, { password: 'somebody else too' })).status).toBe(410)
      const kim = askAs(dashboard.base, { cookie: cookieOf(accepted), ...SAME })
      expect((await kim('GET', '/api/v1/operators')).status).toBe(200)
      const { json } = await kim('GET', '/api/v1/operators')
      const own = json.find(({ name }: { name: string }) => name === 'kim').id
      expect((await admin('PATCH', `/api/v1/operators/${own}`, { role: 'reader' })).status).toBe(200)
      expect((await kim('GET', '/api/v1/operators')).status).toBe(401)
      const again = await visitor('POST', '/api/v1/session', { name: 'KIM', password: 'kim has a sentence' })
      const reader = askAs(dashboard.base, { cookie: cookieOf(again), ...SAME })
      expect((await reader('GET', '/api/v1/operators')).status).toBe(403)
      await admin('PATCH', `/api/v1/operators/${own}`, { disabled: true })
      expect((await reader('GET', '/api/v1/overview')).status).toBe(401)
      expect((await visitor('POST', '/api/v1/session', { name: 'kim', password: 'kim has a sentence' })).status).toBe(
        401,
      )
      // the last administrator stays one
      const me = (await admin('GET', '/api/v1/operators')).json.find(
        ({ name }: { name: string }) => name === 'admin',
      ).id
      for (const change of [{ role: 'reader' }, { disabled: true }])
        expect((await admin('PATCH', `/api/v1/operators/${me}`, change)).status).toBe(422)
      return 'rights changed, locked out: sessions that lived on 0'
    } finally {
      await dashboard.close()
    }
  }),
)

row('S14', 'a token that may send can do that, and nothing else', { fast: true }, () =>
  withHouse(async (house) => {
    const [account = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example' })
    const dashboard = await openDashboard(house)
    try {
      const thief = await askWith(house.db, dashboard.base, 'reader', { maySend: true })
      const message = { account: 'a1@firma.example', to: ['kunde@example.test'], subject: 'x', text: 'x' }
      expect((await thief('POST', '/api/v1/messages', message)).status).toBe(400) // without a key
      const first = await thief('POST', '/api/v1/messages', message, { 'idempotency-key': 'k1' })
      const again = await thief('POST', '/api/v1/messages', message, { 'idempotency-key': 'k1' })
      expect([first.status, again.status, again.json]).toEqual([201, 201, first.json])
      expect(
        (await thief('POST', '/api/v1/messages', { ...message, text: 'y' }, { 'idempotency-key': 'k1' })).status,
      ).toBe(422)
      // the sender is the account: no field takes another
      expect(
        (
          await thief(
            'POST',
            '/api/v1/messages',
            { ...message, from: 'chef@firma.example' },
            { 'idempotency-key': 'k2' },
          )
        ).status,
      ).toBe(400)
      expect((await thief('POST', `/api/v1/accounts/${account}/pause`, { direction: 'send' })).status).toBe(403)
      expect((await thief('GET', '/api/v1/operators')).status).toBe(403)
      await sql`update poststelle.api_tokens set revoked_at = now()`.execute(house.db)
      expect((await thief('POST', '/api/v1/messages', message, { 'idempotency-key': 'k3' })).status).toBe(401)
      return 'other senders 0, other rights 0, after it was revoked 0'
    } finally {
      await dashboard.close()
    }
  }),
)

row('S22', 'an audit entry that was changed or taken out is found', { fast: true }, () =>
  withHouse(async (house) => {
    const dashboard = await openDashboard(house)
    try {
      const admin = await setUp(dashboard.service)
      for (let i = 0; i < 20; i++) await admin('POST', '/api/v1/tokens', { label: `t${i}`, role: 'reader' })
      expect((await admin('POST', '/api/v1/audit/check', {})).json).toMatchObject({ broken: [] })
      await expect(
        sql`update poststelle.audit_log set actor = 'nobody' where id = 5`.execute(house.db),
      ).rejects.toThrow('append-only')
      await expect(sql`delete from poststelle.audit_log where id = 5`.execute(house.db)).rejects.toThrow('append-only')
      // by somebody who may do everything
      await sql`alter table poststelle.audit_log disable trigger append_only`.execute(house.db)
      await sql`update poststelle.audit_log set actor = 'nobody' where id = 5`.execute(house.db)
      await sql`delete from poststelle.audit_log where id = 9`.execute(house.db)
      expect((await admin('POST', '/api/v1/audit/check', {})).json.broken).toEqual([5, 10])
      return 'changed 1, taken out 1, found 2'
    } finally {
      await dashboard.close()
    }
  }),
)
