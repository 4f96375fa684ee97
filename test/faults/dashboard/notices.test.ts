// Those who are told: signed as the specification says, repeated, turned away for good, and not bothered with what heals by itself.

import { createServer, type Server } from 'node:https'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHmac } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { addDelivery, createTarget, setTargetSecret } from '../../../src/db/notify.ts'
import { WorkerSession } from '../../../src/db/worker-session.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { previousPlace, secretPlace } from '../../../src/notify/deliver.ts'
import { Notifier } from '../../../src/notify/notifier.ts'
import { newWebhookSecret, nextWaitMs, SCHEDULE_MS, signature } from '../../../src/notify/webhook.ts'
import { setUp } from '../../support/api.ts'
import { launch, logIn, openPage } from '../../support/browser.ts'
import { removeFolder, tempFolder } from '../../support/child.ts'
import { openDashboard } from '../../support/dashboard.ts'
import { row } from '../../support/figures.ts'
import { programOn } from '../../support/program.ts'
import { ageIncidents, flagLanes, recover, seedAccounts, seedClient } from '../../support/health-rows.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'
import { makePki } from '../../support/pki.ts'
import { startScriptedSmtp } from '../../support/scripted-smtp.ts'

interface Told {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

interface Sink {
  readonly url: string
  readonly told: Told[]
  status: number
  headers: Record<string, string>
}

async function withSink(work: (house: TestHouse, sink: Sink, notifier: Notifier) => Promise<string>): Promise<string> {
  const pki = await makePki()
  const house = await openHouse({ caPem: pki.ca })
  const told: Told[] = []
  const server: Server = createServer({ key: pki.key, cert: pki.cert }, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      told.push({ headers: request.headers, body: Buffer.concat(pieces).toString('utf8') })
      response.writeHead(sink.status, sink.headers).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const sink: Sink = { url: `https://localhost:${port}/hook`, told, status: 200, headers: {} }
  try {
    return await work(house, sink, new Notifier({ ...house, publicUrl: 'https://post.firma.example' }))
  } finally {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
    await house.close()
    await pki.stop()
  }
}

async function hook(
  house: TestHouse,
  url: string,
  events: string[],
  secret = newWebhookSecret(),
): Promise<{ id: number; secret: string }> {
  const id = await house.db.transaction().execute(async (tx) => {
    const about = {
      kind: 'webhook',
      label: 'ERP',
      address: url,
      settings: {},
      events,
      language: 'de',
      patienceMinutes: 5,
      digest: false,
    } as const
    const made = await createTarget(tx, about)
    await setTargetSecret(tx, made, house.vault.seal(secret, secretPlace(made)))
    return made
  })
  return { id, secret }
}

const deliveries = async (house: TestHouse) =>
  (
    await sql<{ type: string; state: string; attempts: number; last_status: number | null; last_error: string | null }>`
      select type, state, attempts, last_status, last_error from poststelle.notify_deliveries order by id`.execute(
      house.db,
    )
  ).rows
/** All is well again, and for so long that their incident is over. */
async function heal(house: TestHouse, ids: readonly number[]): Promise<void> {
  await recover(house.db, ids)
  await reconcileIncidents(house.db)
  await ageIncidents(house.db, 30)
  await reconcileIncidents(house.db)
}

const dueNow = async (house: TestHouse): Promise<unknown> =>
  await sql`update poststelle.notify_deliveries set next_attempt_at = now() where state = 'waiting'`.execute(house.db)

row(
  'S23',
  'web hooks are signed as the specification says, also while a secret is replaced; redirects are not followed',
  { fast: true },
  () =>
    withSink(async (house, sink, notifier) => {
      // the example of the specification
      expect(
        signature(
          ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
          'msg_p5jXN8AQM9LWM0D4loKWxJek',
          1614265330,
          '{"test": 2432232314}',
        ),
      ).toBe('v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
      const { id, secret } = await hook(house, sink.url, ['incident.*'])
      const newer = newWebhookSecret()
      await setTargetSecret(house.db, id, house.vault.seal(newer, secretPlace(id)), {
        old: house.vault.seal(secret, previousPlace(id)),
        until: new Date(Date.now() + 60_000),
      })
      await addDelivery(house.db, id, { type: 'test', payload: { n: 1 } })
      await notifier.work()
      const [one] = sink.told
      const messageId = String(one?.headers['webhook-id'])
      const seconds = String(one?.headers['webhook-timestamp'])
      for (const key of [newer, secret]) {
        const mac = createHmac('sha256', Buffer.from(key.slice('whsec_'.length), 'base64'))
          .update(`${messageId}.${seconds}.${one?.body}`)
          .digest('base64')
        expect(String(one?.headers['webhook-signature']).split(' ')).toContain(`v1,${mac}`)
      }
      expect(Math.abs(Date.now() / 1000 - Number(seconds))).toBeLessThan(30)
      expect(JSON.parse(one?.body ?? '')).toMatchObject({ type: 'test', data: { n: 1 } })
      sink.status = 302
      sink.headers = { location: 'https://169.254.169.254/' }
      await addDelivery(house.db, id, { type: 'test', payload: { n: 2 } })
      await notifier.work()
      expect((await deliveries(house)).at(-1)).toMatchObject({ state: 'waiting', attempts: 1, last_status: 302 })
      expect(sink.told).toHaveLength(2)
      return 'vector of the specification, two keys, redirects followed 0'
    }),
)

row(
  'S23b',
  'what fails is repeated under the same id for three days, and a receiver that is gone is asked no more',
  { fast: true },
  () =>
    withSink(async (house, sink, notifier) => {
      const { id } = await hook(house, sink.url, ['incident.*'])
      sink.status = 503
      await addDelivery(house.db, id, { type: 'test', payload: {} })
      let attempts = 0
      for (; (await deliveries(house))[0]?.state === 'waiting' && attempts < 20; attempts++) {
        await dueNow(house)
        await notifier.work()
      }
      expect(attempts).toBe(SCHEDULE_MS.length + 1)
      expect(new Set(sink.told.map(({ headers }) => headers['webhook-id'])).size).toBe(1)
      expect((await deliveries(house))[0]).toMatchObject({ state: 'failed', last_status: 503 })
      expect(SCHEDULE_MS.reduce((sum, ms) => sum + ms, 0) / 3_600_000).toBeGreaterThan(72)
      expect(nextWaitMs(1, 0)).toBeLessThan(nextWaitMs(1, 1) ?? 0)
      sink.status = 410
      await addDelivery(house.db, id, { type: 'test', payload: {} })
      await notifier.work()
      const { rows } = await sql`select enabled, disabled_reason from poststelle.notify_targets`.execute(house.db)
      expect(rows).toEqual([{ enabled: false, disabled_reason: 'it answered 410 Gone' }])
      const before = sink.told.length
      await addDelivery(house.db, id, { type: 'test', payload: {} })
      await notifier.work()
      expect(sink.told).toHaveLength(before)
      return `${attempts} attempts over ${Math.round(SCHEDULE_MS.reduce((sum, ms) => sum + ms, 0) / 3_600_000)} h, after 410 none`
    }),
)

row(
  'U6',
  '200 accounts that fail together are one notice and one recovery; what heals by itself is none',
  { fast: true },
  () =>
    withSink(async (house, sink, notifier) => {
      const client = await seedClient(house.db, 'bm_mail', 'common')
      const ids = await seedAccounts(house.db, 200, { domain: 'firma.example', clientId: client })
      await hook(house, sink.url, ['incident.opened', 'incident.closed'])
      await flagLanes(house.db, ids, 'send', { flag: 'client_secret_expired', scope: 'app', stage: 'token' })
      await reconcileIncidents(house.db)
      await notifier.work()
      await heal(house, ids)
      await notifier.work()
      const types = (): string[] => sink.told.map(({ body }) => (JSON.parse(body) as { type: string }).type)
      expect(types()).toEqual(['incident.opened', 'incident.closed'])
      expect(JSON.parse(sink.told[0]?.body ?? '')).toMatchObject({
        data: { flag: 'client_secret_expired', accounts: 200, subject: 'bm_mail' },
      })
      // a server that is away for a minute
      await flagLanes(house.db, ids.slice(0, 20), 'receive', {
        flag: 'server_unreachable',
        scope: 'network',
        persistence: 'transient',
      })
      await reconcileIncidents(house.db)
      await notifier.work()
      await heal(house, ids)
      // its end is due before the patience with its beginning has ended
      await notifier.work()
      expect(types()).toHaveLength(2)
      await dueNow(house)
      await notifier.work()
      expect(types()).toHaveLength(2)
      expect((await deliveries(house)).map(({ state }) => state)).toEqual([
        'delivered',
        'delivered',
        'dropped',
        'dropped',
      ])
      return '200 accounts: notices 1, recoveries 1; of a passing fault 0'
    }),
)

row('U6b', 'a notice by mail goes over the relay that it was given, with who must do what', { fast: true }, () =>
  withSink(async (house, _sink, notifier) => {
    const relay = await startScriptedSmtp()
    await house.db.transaction().execute(async (tx) => {
      await createTarget(tx, {
        kind: 'mail',
        label: 'Leitung',
        address: `localhost:${relay.endpoint.port}`,
        settings: { security: 'none', from: 'poststelle@firma.example', to: ['admin@firma.example'] },
        events: ['incident.opened'],
        language: 'de',
        patienceMinutes: 0,
        digest: false,
      })
    })
    const ids = await seedAccounts(house.db, 3, { domain: 'firma.example' })
    await flagLanes(house.db, ids, 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
    await reconcileIncidents(house.db)
    await notifier.work()
    expect(await deliveries(house)).toMatchObject([{ type: 'incident.opened', state: 'delivered' }])
    const [message] = relay.seen.messages
    expect(message).toMatchObject({ from: 'poststelle@firma.example', recipients: ['admin@firma.example'] })
    expect(message?.bytes.toString('utf8')).toMatch(
      /Subject: \[Poststelle\] NEU: SMTP AUTH im Mandanten aus: firma\.example/,
    )
    await relay.stop()
    return 'delivered 1'
  }),
)

row('U6c', 'a notice goes to the program that the machine names, and again where it fails', { fast: true }, () =>
  withSink(async (house) => {
    const folder = tempFolder('command')
    const program = join(folder, 'page-me')
    writeFileSync(
      program,
      `#!/bin/sh\n[ -e ${folder}/ready ] || { echo "the pager is off" >&2; exit 3; }\nenv > ${folder}/env\ncat > ${folder}/notice\n`,
      { mode: 0o755 },
    )
    await house.db.transaction().execute(async (tx) => {
      await createTarget(tx, {
        kind: 'command',
        label: 'Piepser',
        address: 'pager',
        settings: {},
        events: ['incident.opened'],
        language: 'de',
        patienceMinutes: 0,
        digest: false,
      })
    })
    const notifier = new Notifier({
      ...house,
      publicUrl: 'https://post.firma.example',
      commands: new Map([['pager', program]]),
    })
    const ids = await seedAccounts(house.db, 3, { domain: 'firma.example' })
    await flagLanes(house.db, ids, 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
    await reconcileIncidents(house.db)
    await notifier.work()
    expect(await deliveries(house)).toMatchObject([
      { state: 'waiting', attempts: 1, last_error: 'exit code 3: the pager is off' },
    ])
    writeFileSync(join(folder, 'ready'), '')
    await dueNow(house)
    await notifier.work()
    expect(await deliveries(house)).toMatchObject([{ state: 'delivered', attempts: 2 }])
    expect(JSON.parse(readFileSync(join(folder, 'notice'), 'utf8'))).toMatchObject({
      type: 'incident.opened',
      subject: '[Poststelle] NEU: SMTP AUTH im Mandanten aus: firma.example',
      data: { accounts: 3 },
    })
    // no key, no address of the database
    expect(readFileSync(join(folder, 'env'), 'utf8')).not.toMatch(/POSTSTELLE|DATABASE|KEY/)
    removeFolder(folder)
    return 'failed 1, given again 1, environment without secrets'
  }),
)

row('D24', 'the heartbeat stops when work is not being done', { fast: true }, () =>
  withSink(async (house, sink, notifier) => {
    await house.db.transaction().execute(async (tx) => {
      const about = {
        kind: 'heartbeat',
        label: 'Wacht',
        address: sink.url,
        settings: {},
        events: [],
        language: 'en',
        patienceMinutes: 0,
        digest: false,
      } as const
      return await createTarget(tx, about)
    })
    const [account = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example' })
    await sql`insert into poststelle.lanes (account_id, lane, due_at) values (${account}, 'receive', now())`.execute(
      house.db,
    )
    await notifier.work()
    await notifier.work()
    expect(sink.told).toHaveLength(1)
    await sql`update poststelle.lanes set due_at = now() - interval '10 minutes'`.execute(house.db)
    const later = new Notifier({ ...house, publicUrl: '' })
    await later.work()
    await later.work()
    expect(sink.told).toHaveLength(1)
    return 'beats while work is done 1, while it is not 0'
  }),
)

row(
  'U5',
  'that notices reach nobody is on every page, in the status and in the exit code, until one is taken',
  { fast: true },
  () =>
    withSink(async (house, sink, notifier) => {
      await seedAccounts(house.db, 2, { domain: 'firma.example' })
      const dashboard = await openDashboard(house)
      const browser = await launch()
      const worker = await WorkerSession.open(house.database.url, {
        roles: 'worker',
        version: 'test',
        onRing: () => undefined,
        onProblem: () => undefined,
      })
      try {
        await setUp(dashboard.service)
        const { page } = await openPage(browser, dashboard.base)
        await logIn(page)
        const program = programOn(house)
        const check = async () => await program(['check', '--lang', 'de'])
        expect((await check()).code).toBe(0)
        const [one, other] = [await hook(house, sink.url, ['incident.*']), await hook(house, sink.url, ['incident.*'])]
        sink.status = 500
        for (const { id } of [one, other]) await addDelivery(house.db, id, { type: 'test', payload: {} })
        await notifier.work()
        const alarm = 'Meldungen erreichen niemanden'
        const { code, out } = await check()
        expect([code, out]).toEqual([
          2,
          expect.stringMatching(/^POSTSTELLE CRITICAL: .*Meldungen erreichen niemanden.* \| accounts=2;/),
        ])
        expect((await program(['status', '--lang', 'de'])).out).toContain(alarm)
        for (const path of ['/', '/accounts', '/inbox', '/outbox', '/settings']) {
          await page.goto(path)
          await page.getByRole('alert').getByText(alarm).waitFor()
        }
        sink.status = 200
        await addDelivery(house.db, other.id, { type: 'test', payload: {} })
        await notifier.work()
        expect((await check()).code).toBe(0)
        await page.goto('/')
        await page.getByText('Nichts zu tun. Einen ruhigen Tag.').waitFor()
        await expect.poll(() => page.getByText(alarm).count(), { timeout: 10_000 }).toBe(0)
        return 'banner on 5 of 5 pages, exit code 2; after one was taken 0'
      } finally {
        await worker.close()
        await browser.close()
        await dashboard.close()
      }
    }),
)

row('U7', 'an account that comes and goes fifty times an hour is told of once', { fast: true }, () =>
  withSink(async (house, sink, notifier) => {
    const [account = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example' })
    await hook(house, sink.url, ['incident.opened', 'incident.closed', 'incident.grew', 'incident.merged'])
    const rounds = 50
    for (let round = 0; round < rounds; round += 1) {
      await flagLanes(house.db, [account], 'receive', { flag: 'invalid_credentials', scope: 'account' })
      await reconcileIncidents(house.db)
      await notifier.work()
      await ageIncidents(house.db, 0.6)
      await recover(house.db, [account])
      await reconcileIncidents(house.db)
      await notifier.work()
      await ageIncidents(house.db, 0.6)
    }
    await heal(house, [account])
    await dueNow(house)
    await notifier.work()
    const types = sink.told.map(({ body }) => (JSON.parse(body) as { type: string }).type)
    expect(types.length).toBeLessThanOrEqual(4)
    expect(types.filter((type) => type === 'incident.opened')).toHaveLength(
      types.filter((type) => type === 'incident.closed').length,
    )
    return `${rounds} changes in an hour, notices ${types.length}: ${types.join(', ')}`
  }),
)
