// Those who are told: signed as the specification says, repeated, turned away for good, and not bothered with what heals by itself.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createHmac } from 'node:crypto'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { addDelivery, createTarget, setTargetSecret } from '../../../src/db/notify.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { previousPlace, secretPlace } from '../../../src/notify/deliver.ts'
import { Notifier } from '../../../src/notify/notifier.ts'
import { newWebhookSecret, nextWaitMs, SCHEDULE_MS, signature } from '../../../src/notify/webhook.ts'
import { removeFolder, tempFolder } from '../../support/child.ts'
import { row } from '../../support/figures.ts'
import { flagLanes, seedAccounts } from '../../support/health-rows.ts'
import { deliveries, dueNow, hook, withSink } from '../../support/notice-sink.ts'
import { startScriptedSmtp } from '../../support/scripted-smtp.ts'

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
