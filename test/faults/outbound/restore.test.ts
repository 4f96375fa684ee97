// Row C25 of the fault matrix: yesterday's backup is restored, and what was sent since is not sent again. Real dumps, real copies of
// a cluster, real services; the SMTP server counts.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { removeFolder, tempFolder } from '../../support/child.ts'
import { runCommand, startCommand } from '../../support/command.ts'
import { row, sized } from '../../support/figures.ts'
import { outgoingMessage } from '../../support/mail-world.ts'
import { makePki, type Pki } from '../../support/pki.ts'
import { createDatabase, dropDatabase, postgresBin, startPostgres, type TestPostgres } from '../../support/postgres.ts'
import { startScriptedSmtp, type ScriptedSmtp } from '../../support/scripted-smtp.ts'

const US = 'wir@example.test'
const SENT = sized(60, 500)
/** Waited when the backup was made, and waits still: nobody has sent it. */
const LATER = 3

describe('a database that was restored', () => {
  const folder = tempFolder('restore')
  const yesterday = { dump: join(folder, 'dump'), state: join(folder, 'state-then') }
  /** As it is now, after all was sent. */
  const state = join(folder, 'state')
  const keys = `k:${randomBytes(32).toString('base64')}`
  let pki: Pki
  let smtp: ScriptedSmtp
  /** Its files are those of yesterday. */
  let halted: TestPostgres
  let live: TestPostgres
  const others: TestPostgres[] = []
  let news = 0

  const env = (url: string, data: string): Record<string, string> => ({
    DATABASE_URL: url,
    POSTSTELLE_KEYS: keys,
    POSTSTELLE_DATA: data,
    POSTSTELLE_CA_FILE: pki.caFile,
    POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1',
    POSTSTELLE_HTTP: '127.0.0.1:0',
  })
  async function must(args: string[], url: string, data: string, input?: string): Promise<string> {
    const { code, out, err } = await runCommand(args, { env: env(url, data), ...(input !== undefined && { input }) })
    if (code !== 0) throw new Error(err)
    return out
  }
  async function query<T extends pg.QueryResultRow>(url: string, text: string, values: unknown[] = []): Promise<T[]> {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query<T>(text, values)).rows
    } finally {
      await client.end()
    }
  }
  async function submit(url: string, ids: readonly string[], sendAfter: string | null = null): Promise<void> {
    for (const id of ids)
      await query(url, 'select poststelle.submit_message($1, $1, $2, $3, send_after => now() + $4::interval)', [
        US,
        ['kunde@there.example'],
        outgoingMessage(US, 'kunde@there.example', id),
        sendAfter,
      ])
  }
  const arrived = (id: string): number =>
    smtp.seen.messages.filter(({ bytes }) => bytes.includes(`<${id}@out.example.test>`)).length
  const numbers = Array.from({ length: SENT }, (_, i) => `nr-${i}`)
  /** How often mail arrived more than once. */
  const resent = (): number => numbers.reduce((sum, id) => sum + arrived(id) - 1, 0)

  /** Runs the service until `work` is done. */
  async function serving(url: string, data: string, work: () => Promise<unknown>): Promise<void> {
    const service = startCommand(['start', '--roles', 'worker', '--json'], { env: env(url, data) })
    try {
      await service.until(/"queues"/)
      await work()
    } finally {
      service.child.kill('SIGTERM')
      await service.ended()
    }
  }

  /** The service has had its turn: mail that is submitted now arrives, and that from before does not. */
  async function sendsOnlyNews(url: string, data: string): Promise<string> {
    const before = resent()
    await serving(url, data, async () => {
      const id = `news-${++news}`
      await submit(url, [id])
      await smtp.waitFor(() => arrived(id) > 0)
    })
    const [held] = await query<{ n: string }>(
      url,
      `select count(*) as n from poststelle.outbox where state = 'held' and hold_reason = 'after_restore'`,
    )
    expect(Number(held?.n)).toBe(SENT + LATER)
    const status = await must(['status', '--lang', 'de'], url, data)
    expect(status).toMatch(`${SENT + LATER} Nachrichten sind angehalten`)
    const again = resent() - before
    expect(again).toBe(0)
    return `re-sent ${again} of ${SENT}, held ${SENT + LATER}`
  }

  const restore = (url: string, ...options: string[]): void =>
    void execFileSync(join(postgresBin(), 'pg_restore'), ['--no-owner', ...options, '-d', url, yesterday.dump])
  /** Yesterday's files under a running server. */
  async function physicalCopy(): Promise<string> {
    const server = await startPostgres({ from: halted.cluster })
    others.push(server)
    return databaseOf(server)
  }
  const databaseOf = (server: TestPostgres): string => server.url.replace(/postgres$/, 'house')
  /** The folder of another machine, or of this one after its disk was lost. */
  const emptyFolder = (): string => tempFolder('restore-state')

  beforeAll(async () => {
    pki = await makePki()
    smtp = await startScriptedSmtp({ security: 'tls', tls: pki })
    halted = await startPostgres()
    const url = await createDatabase(halted.url, 'house')
    await must(['migrate', 'up'], url, state)
    const account = {
      email: US,
      smtp: { host: 'localhost', port: smtp.endpoint.port, security: 'tls' },
      auth: { type: 'password', password: 'correct-horse' },
    }
    await must(['account', 'import', '-'], url, state, JSON.stringify([account]))
    await serving(url, state, async () => {
      await submit(url, ['first'])
      await smtp.waitFor(() => arrived('first') > 0)
    })
    await submit(url, numbers)
    await submit(
      url,
      Array.from({ length: LATER }, (_, i) => `later-${i}`),
      '2 days',
    )
    execFileSync(join(postgresBin(), 'pg_dump'), ['-Fc', '-f', yesterday.dump, url])
    cpSync(state, yesterday.state, { recursive: true })
    await halted.halt()

    live = await startPostgres({ from: halted.cluster })
    await serving(databaseOf(live), state, async () => {
      await smtp.waitFor(() => numbers.every((id) => arrived(id) > 0))
    })
    expect(resent()).toBe(0)
  }, 240_000)
  afterAll(async () => {
    for (const server of [...others, live, halted]) await server.stop()
    await smtp.stop()
    await pki.stop()
    removeFolder(folder)
  })

  row('C25', 'a dump in a new database of the same server, the data folder lost', { fast: true }, async () => {
    const url = await createDatabase(live.url, 'copy')
    restore(url)
    return await sendsOnlyNews(url, emptyFolder())
  })

  row('C25', 'a dump on another server, on a machine that never saw the first', { fast: false }, async () => {
    const server = await startPostgres()
    others.push(server)
    const url = await createDatabase(server.url, 'house')
    await query(url, 'create role poststelle_app nologin')
    restore(url)
    return await sendsOnlyNews(url, emptyFolder())
  })

  row('C25', 'a dump under the name of the database that was dropped', { fast: false }, async () => {
    const url = databaseOf(live)
    await dropDatabase(live.url, 'house')
    await createDatabase(live.url, 'house')
    restore(url)
    return await sendsOnlyNews(url, emptyFolder())
  })

  row('C25', 'a dump into the very database it came from', { fast: true }, async () => {
    const server = await startPostgres({ from: halted.cluster })
    others.push(server)
    restore(databaseOf(server), '--clean')
    return await sendsOnlyNews(databaseOf(server), state)
  })

  row('C25', 'a physical copy of the cluster, the data folder as it is', { fast: true }, async () => {
    return await sendsOnlyNews(await physicalCopy(), state)
  })

  row('C25', 'two machines: the one that knows nothing starts after the one that does', { fast: false }, async () => {
    const url = await physicalCopy()
    const [one, two] = [join(folder, 'one'), emptyFolder()]
    cpSync(state, one, { recursive: true })
    await sendsOnlyNews(url, one)
    return await sendsOnlyNews(url, two)
  })

  row('C25', 'a physical copy and no data folder, fenced by hand', { fast: false }, async () => {
    const url = await physicalCopy()
    const data = emptyFolder()
    rmSync(join(data, 'epoch'), { force: true })
    expect(JSON.parse(await must(['outbox', 'fence', '--json'], url, data))).toEqual({ held: SENT + LATER })
    return await sendsOnlyNews(url, data)
  })

  row(
    'C25',
    'a service that is only started again holds nothing and sends what waits, once',
    { fast: true },
    async () => {
      const url = await physicalCopy()
      const before = smtp.seen.messages.length
      await serving(url, yesterday.state, async () => {
        await smtp.waitFor(() => smtp.seen.messages.length >= before + SENT)
      })
      const states = await query(url, 'select distinct state from poststelle.outbox order by state')
      expect(states).toEqual([{ state: 'scheduled' }, { state: 'sent' }])
      return `${smtp.seen.messages.length - before} of ${SENT} sent`
    },
  )
})
