// What an admin reads in ten seconds: the verdict and its facts, the same words in the command and on the page, in both languages.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readConfig } from '../../src/base/config.ts'
import { silentLogger } from '../../src/base/logger.ts'
import type { Installation } from '../../src/cli/installation.ts'
import { openInstallation, startService } from '../../src/compose.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import { reconcileIncidents } from '../../src/health/reconcile-incidents.ts'
import type { OverviewJson } from '../../src/contract/overview.ts'
import { askWith } from '../support/api.ts'
import { freshDatabase, type TestDatabase } from '../support/database.ts'
import { flagLanes, seedAccounts, seedClient, seedWaiting } from '../support/health-rows.ts'
import { programOn, type RunProgram } from '../support/program.ts'

let database: TestDatabase
let installation: Installation
let program: RunProgram
let worker: WorkerSession | undefined
const folder = mkdtempSync(join(tmpdir(), 'poststelle-status-'))

beforeAll(async () => {
  database = await freshDatabase()
  const keys = `k:${Buffer.alloc(32).toString('base64')}`
  program = programOn({ database, keys })
  const config = readConfig({
    DATABASE_URL: database.url,
    POSTSTELLE_KEYS: keys,
    POSTSTELLE_DATA: folder,
    POSTSTELLE_HTTP: '127.0.0.1:0',
  })
  installation = await openInstallation(config, silentLogger, { migrations: 'require' })
})
afterAll(async () => {
  await worker?.close()
  await installation.close()
  await database.drop()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(async () => {
  await sql`truncate poststelle.incidents, poststelle.accounts, poststelle.oauth_clients, poststelle.host_breakers cascade`.execute(
    database.db,
  )
})

/** What a command prints in a terminal of 80 columns. */
async function command(...words: string[]): Promise<string> {
  const { code, out, err } = await program(words, { columns: 80 })
  expect([code, err]).toEqual([0, ''])
  return out
}

async function workers(running: boolean): Promise<void> {
  await worker?.close()
  worker = running
    ? await WorkerSession.open(database.url, {
        roles: 'worker',
        version: '0',
        onRing: () => undefined,
        onProblem: () => undefined,
      })
    : undefined
}

/** Verdict and facts of the page, the title of its tab, and what else its answer holds. */
async function page(language: string): Promise<{ head: string; title: string; json: OverviewJson }> {
  // a service of its own: all that ask within a second share one reading
  const service = await startService(installation, new Set(['api']), () => undefined)
  const ask = await askWith(database.db, service.url ?? '', 'reader')
  const { json } = (await ask('GET', `/api/v1/overview?lang=${language}`)) as { json: OverviewJson }
  await service.stop()
  return { head: `${json.verdict} ${json.facts.join(' · ')}`.trim(), title: json.title, json }
}

interface Situation {
  readonly name: string
  readonly stopped?: true
  readonly seed: (db: TestDatabase['db']) => Promise<unknown>
  readonly de: string
  readonly en: string
  readonly title: string
  /** First lines of what needs attention, in German. */
  readonly causes?: readonly string[]
}

const app = { flag: 'client_secret_expired', scope: 'app', stage: 'token' }
const lost = { flag: 'server_unreachable', scope: 'network', persistence: 'transient' }
const wrong = { flag: 'invalid_credentials', scope: 'account' }
const firma = { domain: 'firma.example' }
const well = (n: number, m = n): string => `${n === m ? '' : `${n} von `}${m} ${m === 1 ? 'Konto' : 'Konten'} aktuell`
const fine = (n: number, m = n): string =>
  `${n === m ? '' : `${n} of `}${m} ${m === 1 ? 'account' : 'accounts'} up to date`
const TAIL_DE = ' · nichts wartet · seit gestern 17:00: 0 empfangen, 0 übergeben'
const TAIL_EN = ' · nothing waits · since yesterday 17:00: 0 received, 0 handed over'

const SITUATIONS: readonly Situation[] = [
  {
    name: 'no accounts yet',
    seed: async () => undefined,
    de: 'Alles läuft.',
    en: 'All is well.',
    title: '✔ Poststelle',
  },
  {
    name: 'all is well',
    seed: (db) => seedAccounts(db, 42, firma),
    de: `Alles läuft. ${well(42)}${TAIL_DE}`,
    en: `All is well. ${fine(42)}${TAIL_EN}`,
    title: '✔ Poststelle',
  },
  {
    name: 'no worker runs',
    stopped: true,
    seed: (db) => seedAccounts(db, 1, firma),
    de: `Der Dienst steht. ${well(1)}${TAIL_DE}`,
    en: `The service has stopped. ${fine(1)}${TAIL_EN}`,
    title: '✋ Poststelle',
  },
  {
    name: 'no worker runs, and accounts are blocked: nothing else matters',
    stopped: true,
    seed: async (db) => await flagLanes(db, await seedAccounts(db, 2, firma), 'send', wrong),
    de: `Der Dienst steht. ${well(0, 2)}${TAIL_DE}`,
    en: `The service has stopped. ${fine(0, 2)}${TAIL_EN}`,
    title: '✋ Poststelle',
    causes: ['Benutzername oder Kennwort falsch [invalid_credentials]: a1@firma.example,'],
  },
  {
    name: 'one account needs a human',
    seed: async (db) => await flagLanes(db, (await seedAccounts(db, 3, firma)).slice(0, 1), 'receive', wrong),
    de: `1 Konto braucht Sie. ${well(2, 3)}${TAIL_DE}`,
    en: `1 account needs you. ${fine(2, 3)}${TAIL_EN}`,
    title: '✋ 1 · Poststelle',
    causes: ['Benutzername oder Kennwort falsch [invalid_credentials]: a1@firma.example'],
  },
  {
    name: '1,200 accounts of one app registration need a human, and mail waits',
    seed: async (db) => {
      const ids = await seedAccounts(db, 1_200, { ...firma, clientId: await seedClient(db, 'bm_mail', 'common') })
      await seedWaiting(db, ids, 1)
      await flagLanes(db, ids, 'send', app)
    },
    de: '1.200 Konten brauchen Sie. 0 von 1.200 Konten aktuell · 1.200 Nachrichten warten, die älteste seit 60 Min. · seit gestern 17:00: 0 empfangen, 0 übergeben',
    en: '1,200 accounts need you. 0 of 1,200 accounts up to date · 1,200 messages wait, the oldest for 60 min · since yesterday 17:00: 0 received, 0 handed over',
    title: '✋ 1200 · Poststelle',
    causes: ['Clientschlüssel abgelaufen [client_secret_expired]: bm_mail'],
  },
  {
    name: 'an account fails for a while',
    seed: async (db) =>
      await flagLanes(db, (await seedAccounts(db, 2, firma)).slice(0, 1), 'receive', {
        flag: 'mailbox_in_use',
        scope: 'account',
        persistence: 'transient',
      }),
    de: `Läuft, mit 1 Hinweis. ${well(1, 2)}${TAIL_DE}`,
    en: `Running, with 1 note. ${fine(1, 2)}${TAIL_EN}`,
    title: '✔ Poststelle',
    causes: ['Postfach anderweitig geöffnet [mailbox_in_use]: a1@firma.example'],
  },
  {
    name: 'an account has not been polled for long',
    seed: async (db) => {
      await seedAccounts(db, 1, firma)
      await sql`update poststelle.account_health set last_ok_at = now() - interval '11 minutes' where direction = 'receive'`.execute(
        db,
      )
    },
    de: `Läuft, mit 1 Hinweis. ${well(0, 1)}${TAIL_DE}`,
    en: `Running, with 1 note. ${fine(0, 1)}${TAIL_EN}`,
    title: '✔ Poststelle',
  },
  {
    name: 'a note at two accounts',
    seed: async (db) =>
      await flagLanes(db, await seedAccounts(db, 2, firma), 'receive', {
        flag: 'uidl_not_supported',
        scope: 'account',
        stage: 'ledger',
        state: 'ok',
      }),
    de: `Läuft, mit 2 Hinweisen. ${well(2)}${TAIL_DE}`,
    en: `Running, with 2 notes. ${fine(2)}${TAIL_EN}`,
    title: '✔ Poststelle',
  },
  {
    name: 'a host with 40 accounts is out of reach: one note',
    seed: async (db) => {
      await seedAccounts(db, 2, { domain: 'andere.example' })
      await seedAccounts(db, 1, { domain: 'dritte.example' })
      await flagLanes(db, await seedAccounts(db, 40, firma), 'receive', lost)
    },
    de: `Läuft, mit 1 Hinweis. ${well(3, 43)}${TAIL_DE}`,
    en: `Running, with 1 note. ${fine(3, 43)}${TAIL_EN}`,
    title: '✔ Poststelle',
    causes: ['Server nicht erreichbar [server_unreachable]: mail.firma.example'],
  },
  {
    name: 'our network is down over five hosts: one note and a quiet list',
    seed: async (db) => {
      for (const name of ['a', 'b', 'c', 'd', 'e'])
        await flagLanes(db, await seedAccounts(db, 10, { domain: `${name}.example` }), 'receive', lost)
    },
    de: `Läuft, mit 1 Hinweis. ${well(0, 50)}${TAIL_DE}`,
    en: `Running, with 1 note. ${fine(0, 50)}${TAIL_EN}`,
    title: '✔ Poststelle',
    causes: ['Eigenes Netz gestört [network_down]: die meisten Server zugleich'],
  },
  {
    name: 'our network is down, and one account needs a human all the same',
    seed: async (db) => {
      const [one = 0, ...others] = await seedAccounts(db, 4, firma)
      const more = await seedAccounts(db, 4, { domain: 'andere.example' })
      await flagLanes(db, [one, ...others, ...more], 'receive', lost)
      await flagLanes(db, [one], 'receive', wrong)
    },
    de: `1 Konto braucht Sie. ${well(0, 8)}${TAIL_DE}`,
    en: `1 account needs you. ${fine(0, 8)}${TAIL_EN}`,
    title: '✋ 1 · Poststelle',
    causes: [
      'Eigenes Netz gestört [network_down]: die meisten Server zugleich',
      'Benutzername oder Kennwort falsch [invalid_credentials]: a1@firma.example',
    ],
  },
  {
    name: 'mail is due for some minutes',
    seed: async (db) => {
      await seedWaiting(db, await seedAccounts(db, 2, firma), 1)
      await sql`update poststelle.outbound_messages set next_attempt_at = now() - interval '150 seconds'`.execute(db)
    },
    de: `Alles läuft. ${well(2)} · nichts wartet länger als 3 Min. · seit gestern 17:00: 0 empfangen, 0 übergeben`,
    en: `All is well. ${fine(2)} · nothing has waited longer than 3 min · since yesterday 17:00: 0 received, 0 handed over`,
    title: '✔ Poststelle',
  },
  {
    name: 'mail is due for long although nothing is wrong, and much was handed over',
    seed: async (db) => {
      const ids = await seedAccounts(db, 2, firma)
      await seedWaiting(db, ids, 694)
      await sql`update poststelle.outbound_messages set state = 'sent', finished_at = now(), next_attempt_at = null`.execute(
        db,
      )
      await seedWaiting(db, ids, 1)
      await sql`update poststelle.outbound_messages set next_attempt_at = now() - interval '22 minutes' where finished_at is null`.execute(
        db,
      )
    },
    de: `Läuft, mit 1 Hinweis. ${well(2)} · die älteste fällige Nachricht wartet seit 22 Min. · seit gestern 17:00: 0 empfangen, 1.388 übergeben`,
    en: `Running, with 1 note. ${fine(2)} · the oldest due message has waited for 22 min · since yesterday 17:00: 0 received, 1,388 handed over`,
    title: '✔ Poststelle',
  },
  {
    name: 'everything is switched off',
    seed: async (db) => {
      await seedAccounts(db, 2, firma)
      await sql`update poststelle.accounts set enabled_receive = false, enabled_send = false`.execute(db)
    },
    de: `Alles läuft. Alle Konten angehalten${TAIL_DE}`,
    en: `All is well. All accounts paused${TAIL_EN}`,
    title: '✔ Poststelle',
  },
]

/** The first paragraph on one line. */
const head = (text: string): string => (text.split('\n\n')[0] ?? '').trim().replaceAll('\n', ' ')

describe('the status', () => {
  test.each(SITUATIONS)('says the same everywhere: $name', async ({ seed, stopped, de, en, title, causes = [] }) => {
    await seed(database.db)
    await reconcileIncidents(database.db)
    await workers(!stopped)
    const seen = { de: await page('de'), en: await page('en') }
    expect([seen.de.head, seen.en.head, seen.de.title]).toEqual([de, en, title])
    const texts = [await command('status', '--lang', 'de'), await command('status', '--lang', 'en')]
    const first = texts.map((text) => head(text).replace(/ (Noch keine|No) .*/, ''))
    expect(first).toEqual([de, en])
    expect(
      texts[0]
        ?.split('\n')
        .filter((line) => /^\S.*\[\w+\]: /.test(line))
        .slice(0, causes.length),
    ).toEqual(causes)
    expect(
      texts
        .join('')
        .split('\n')
        .filter((line) => line.length > 80),
    ).toEqual([])
    const json = JSON.parse(await command('status', '--json', '--lang', 'de')) as {
      verdict: string
      facts: { texts: string[] }
    }
    expect(`${json.verdict} ${json.facts.texts.join(' · ')}`.trim()).toBe(de)
  })

  test('with many accounts shows those in trouble and counts the others', async () => {
    const ids = await seedAccounts(database.db, 400, firma)
    await flagLanes(database.db, ids.slice(0, 30), 'receive', wrong)
    await reconcileIncidents(database.db)
    await workers(true)
    const text = await command('status', '--lang', 'de')
    expect(text).toContain('a1@firma.example,\na2@firma.example, a3@firma.example, 27 weitere\n')
    expect(text.match(/^a\d+@\S+ {2}/gm)).toHaveLength(20)
    expect(text).toContain('10 weitere gestört, 370 Konten ohne eigene Störung: poststelle status --all')
    expect((await command('status', '--all')).match(/^a\d+@\S+ {2}/gm)).toHaveLength(400)
    const { json } = await page('de')
    expect(json.attention).toMatchObject([
      { subject: 'a1@firma.example, a2@firma.example, a3@firma.example, 27 weitere' },
    ])
    expect(json.lamps).toMatchObject({ blocked: 30, ok: 370 })
  })

  test('a host that is out of reach leaves its accounts out of the list, on the page too', async () => {
    await seedAccounts(database.db, 300, { domain: 'andere.example' })
    await seedAccounts(database.db, 1, { domain: 'dritte.example' })
    await flagLanes(database.db, await seedAccounts(database.db, 40, firma), 'send', lost)
    await reconcileIncidents(database.db)
    expect((await command('status', '--lang', 'en')).match(/^a\d+@\S+ {2}/gm)).toBeNull()
    expect((await page('en')).json.attention).toMatchObject([{ subject: 'mail.firma.example', human: false }])
  })

  test('JSON keeps its shape and adds incidents', async () => {
    const ids = await seedAccounts(database.db, 3, {
      ...firma,
      clientId: await seedClient(database.db, 'bm_mail', 'common'),
    })
    await seedWaiting(database.db, ids, 2)
    await flagLanes(database.db, ids, 'send', app)
    await reconcileIncidents(database.db)
    const json = JSON.parse(await command('status', '--json', '--lang', 'en')) as object
    expect(Object.keys(json)).toEqual(['verdict', 'accounts', 'hosts', 'restored', 'facts', 'alarm', 'incidents'])
    expect(json).toMatchObject({
      facts: { accounts: 3, accounts_current: 0, stuck: 6, received: 0, outbox: { queued: 6 } },
      incidents: [
        {
          flag: 'client_secret_expired',
          subject_kind: 'client',
          subject: 'bm_mail',
          accounts: 3,
          waiting: { count: 6, most: 6 },
          closed_at: null,
        },
      ],
    })
  })
})
