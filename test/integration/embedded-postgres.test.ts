// The database of an installation that brings none: what an operator may do to it, and what it survives.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Client } from 'pg'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openEmbeddedPostgres, type EmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { isAlive, removeFolder, tempFolder } from '../support/child.ts'
import { answers } from '../support/ports.ts'

let parent: string
let folder: string
const opened: EmbeddedPostgres[] = []
const apps: ChildProcess[] = []

beforeEach(() => {
  parent = tempFolder('embedded')
  folder = join(parent, 'data')
})

afterEach(async () => {
  for (const app of apps.splice(0)) await killApp(app)
  for (const server of opened.splice(0)) await server.stop()
  removeFolder(parent)
})

async function open(waitForOtherMs = 0): Promise<EmbeddedPostgres> {
  const server = await openEmbeddedPostgres(folder, { waitForOtherMs })
  opened.push(server)
  return server
}

interface App {
  readonly child: ChildProcess
  readonly url: string
  readonly startedHere: boolean
  readonly serverPid: number
}

async function startApp(): Promise<App> {
  const script = join(import.meta.dirname, '..', 'support', 'embedded-app.ts')
  const child = spawn(process.execPath, [script, folder], { stdio: ['pipe', 'pipe', 'inherit'] })
  apps.push(child)
  for await (const line of createInterface(child.stdout)) return { child, ...JSON.parse(line) }
  throw new Error('The app ended at once.')
}

async function killApp(app: ChildProcess): Promise<void> {
  if (app.exitCode !== null || app.signalCode !== null) return
  app.kill('SIGKILL')
  await once(app, 'exit')
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url })
  client.on('error', () => {})
  try {
    await client.connect()
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

const portOf = (server: { url: string }): number => Number(new URL(server.url).port)

test('the first start makes a database in UTF-8 with checksums, which its password alone opens', async () => {
  const server = await open()
  expect(server).toMatchObject({ startedHere: true })
  const settings = `SELECT current_database() AS database, current_setting('server_encoding') AS encoding,
    current_setting('data_checksums') AS checksums, current_setting('max_connections') AS connections,
    current_setting('synchronous_commit') AS commit, current_setting('jit') AS jit,
    (SELECT datcollate FROM pg_database WHERE datname = current_database()) AS collation`
  expect(await query(server.url, settings)).toEqual([
    {
      database: 'poststelle',
      encoding: 'UTF8',
      checksums: 'on',
      connections: '200',
      commit: 'on',
      jit: 'off',
      collation: 'C',
    },
  ])
  const guessed = new URL(server.url)
  guessed.password = 'guessed'
  await expect(query(guessed.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/)
})

test('nobody else on the machine can read the data folder, its password, or reach the server by another address', async () => {
  const server = await open()
  expect(statSync(folder).mode & 0o007).toBe(0)
  expect(statSync(join(folder, 'postgres-password')).mode & 0o777).toBe(0o600)
  expect(statSync(join(folder, 'postgres')).mode & 0o777).toBe(0o700)
  const [row] = await query(
    server.url,
    "SELECT current_setting('listen_addresses') || current_setting('unix_socket_directories') AS at",
  )
  expect(row).toEqual({ at: '127.0.0.1' })
})

test('the data and the port stay when it is stopped and started again', async () => {
  const first = await open()
  await query(first.url, 'CREATE TABLE letter AS SELECT 7 AS id')
  await first.stop()
  await first.exited
  expect(await answers(portOf(first))).toBe(false)
  const second = await open()
  expect(second.url).toBe(first.url)
  expect(await query(second.url, 'SELECT id FROM letter')).toEqual([{ id: 7 }])
})

test('it works below a folder that only root may enter, and the server is not root', async () => {
  const closed = join(parent, 'closed')
  mkdirSync(closed, { mode: 0o700 })
  folder = join(closed, 'data')
  const server = await open()
  await query(server.url, 'CREATE TABLE letter (id int)')
  const uids = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${server.serverPid}/status`, 'utf8'))
  expect(Number(uids?.[1])).toBeGreaterThan(0)
  await server.stop()
  expect(await query((await open()).url, 'SELECT count(*)::int AS n FROM letter')).toEqual([{ n: 0 }])
})

test('the server goes when its app is killed, and the next app finds everything that was committed', async () => {
  const app = await startApp()
  await query(app.url, 'CREATE TABLE letter AS SELECT 7 AS id')
  await killApp(app.child)
  // At once: the server may be in the middle of its shutdown.
  const next = await open()
  expect(next.startedHere).toBe(true)
  expect(await query(next.url, 'SELECT id FROM letter')).toEqual([{ id: 7 }])
  expect(isAlive(app.serverPid)).toBe(false)
})

test('it recovers when the server itself was killed in the middle of work', async () => {
  const server = await open()
  await query(server.url, 'CREATE TABLE letter AS SELECT generate_series(1, 1000) AS id')
  process.kill(server.serverPid, 'SIGKILL')
  await server.exited
  const next = await open()
  expect(next.startedHere).toBe(true)
  expect(await query(next.url, 'SELECT count(*)::int AS n FROM letter')).toEqual([{ n: 1000 }])
})

test('a second command joins the running server, and its stop leaves that alone', async () => {
  const first = await open()
  const app = await startApp()
  expect(app).toMatchObject({ startedHere: false, url: first.url, serverPid: first.serverPid })
  const joined = await open()
  await joined.stop()
  expect(await query(first.url, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
})

test('who waits for the other server to go takes its place', async () => {
  const app = await startApp()
  const waiting = open(60_000)
  await killApp(app.child)
  expect((await waiting).startedHere).toBe(true)
})

test('two first starts in the same moment end with one server', async () => {
  const servers = await Promise.all([open(), open(), startApp()])
  expect(servers.filter((server) => server.startedHere)).toHaveLength(1)
  expect(new Set(servers.map((server) => server.url)).size).toBe(1)
})

test('a pid file left behind, whose pid another program has now, does not keep it from starting', async () => {
  const first = await open()
  const pidFile = join(folder, 'postgres', 'postmaster.pid')
  const text = readFileSync(pidFile, 'utf8')
  await first.stop()
  writeFileSync(pidFile, text.replace(/^\d+/, String(process.pid)))
  expect((await open()).startedHere).toBe(true)
})

test('a port that somebody else took is replaced by another one', async () => {
  const first = await open()
  await first.stop()
  const squatter = createServer().listen(portOf(first), '127.0.0.1')
  await once(squatter, 'listening')
  try {
    const second = await open()
    expect(portOf(second)).not.toBe(portOf(first))
    expect(readFileSync(join(folder, 'postgres-port'), 'utf8')).toBe(`${portOf(second)}\n`)
  } finally {
    squatter.close()
  }
})

test('an interrupted first start is done again', async () => {
  const app = spawn(process.execPath, [join(import.meta.dirname, '..', 'support', 'embedded-app.ts'), folder], {
    stdio: 'ignore',
  })
  apps.push(app)
  const half = (): string[] =>
    existsSync(folder) ? readdirSync(folder).filter((name) => name.startsWith('postgres.new-')) : []
  await vi.waitFor(() => expect(half()).toHaveLength(1), { timeout: 10_000, interval: 5 })
  await killApp(app)
  expect(half()).toHaveLength(1)
  const server = await open()
  expect(server.startedHere).toBe(true)
  expect(half()).toEqual([])
})

test('a folder that holds something else than a whole cluster is left as it is, and named', async () => {
  mkdirSync(join(folder, 'postgres'), { recursive: true })
  writeFileSync(join(folder, 'postgres', 'letter.txt'), 'mine')
  await expect(open()).rejects.toThrow(/postgres does not hold a whole database cluster/)
  expect(readFileSync(join(folder, 'postgres', 'letter.txt'), 'utf8')).toBe('mine')
})

test('without its password file it says what to put back', async () => {
  await (await open()).stop()
  const file = join(folder, 'postgres-password')
  renameSync(file, `${file}.lost`)
  await expect(open()).rejects.toThrow(/postgres-password is gone/)
  renameSync(`${file}.lost`, file)
  expect((await open()).startedHere).toBe(true)
})

test('a server that cannot start says why in its own words', async () => {
  await (await open()).stop()
  rmSync(join(folder, 'postgres', 'PG_VERSION'))
  await expect(open()).rejects.toThrow(/did not start.*not a valid data directory/)
})
