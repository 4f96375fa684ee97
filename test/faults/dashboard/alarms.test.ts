// Who is told how often, and what is said where nobody can be told.

import { expect } from 'vitest'
import { addDelivery } from '../../../src/db/notify.ts'
import { WorkerSession } from '../../../src/db/worker-session.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { setUp } from '../../support/api.ts'
import { launch, logIn, openPage } from '../../support/browser.ts'
import { openDashboard } from '../../support/dashboard.ts'
import { row } from '../../support/figures.ts'
import { programOn } from '../../support/program.ts'
import { ageIncidents, flagLanes, recover, seedAccounts, seedClient } from '../../support/health-rows.ts'
import { deliveries, dueNow, heal, hook, withSink } from '../../support/notice-sink.ts'

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
