// The Postgres server of an installation that brings none: made, started, found again and stopped in a data folder. It
// listens on 127.0.0.1 only, and on Linux it shuts down when the process that started it dies, however that happens.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from 'pg'
import { errorCode, UserError } from '../base/failure.ts'
import { findPrograms, libraryPath } from './binaries.ts'
import {
  clusterFolder,
  ensureCluster,
  explainSpawn,
  makeDataFolder,
  readPassword,
  serverEnv,
  SUPERUSER,
  type Runner,
} from './cluster.ts'
import { runningServer } from './running-server.ts'
import { launcher, neededCapability, serverUser } from './server-user.ts'
import { withStartLock } from './start-lock.ts'

export interface EmbeddedPostgres {
  readonly url: string
  /** false: another process runs the server, and stops it when it likes. */
  readonly startedHere: boolean
  readonly serverPid: number
  /** Resolves when the server started here has gone, asked or not; never for a server of another process. */
  readonly exited: Promise<void>
  /** Fast shutdown of the server started here; resolves when it has gone. Does nothing to a server of another process. */
  stop(): Promise<void>
}

export interface OpenOptions {
  /** Gets the server's own log, line by line. */
  readonly log?: (line: string) => void
  /** How long to wait for a live server of another process to go away before joining it. Default 0: join at once. */
  readonly waitForOtherMs?: number
}

const DATABASE = 'poststelle'
const TOO_MANY_CONNECTIONS = '53300'
/** Longest wait for a server of another process that is neither ready nor gone: it may be recovering or shutting down. */
const PATIENCE_MS = 60_000
/** After this a fast shutdown has become an immediate one; the next start then recovers from the log. */
const STOP_MS = 20_000

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  max_connections: '200',
  shared_buffers: '128MB',
  synchronous_commit: 'on',
  wal_level: 'minimal',
  max_wal_senders: '0',
  jit: 'off',
  timezone: 'UTC',
  log_line_prefix: '',
  log_checkpoints: 'off',
  // Statements and details may quote mail and secrets.
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
}

/**
 * Starts the server of `dataFolder`, or joins the one that already runs there. The folder and the cluster in it are
 * made when absent. Call it on the main thread: the server dies with the thread that started it.
 */
export async function openEmbeddedPostgres(dataFolder: string, o: OpenOptions = {}): Promise<EmbeddedPostgres> {
  const log = o.log ?? (() => {})
  const user = serverUser(clusterFolder(dataFolder))
  const programs = findPrograms()
  const folder = makeDataFolder(dataFolder, user)
  const binaries = { ...programs, env: libraryPath(programs.root, join(folder, 'postgres-lib')) }
  const runner: Runner = { binaries, user, capability: neededCapability(user, binaries.root, folder) }
  const joinFrom = Date.now() + (o.waitForOtherMs ?? 0)
  for (;;) {
    const opened = await withStartLock(folder, PATIENCE_MS, async () => {
      const other = runningServer(clusterFolder(folder))
      if (!other) return start(folder, runner, log)
      return other.status === 'ready' && Date.now() >= joinFrom ? joinRunning(folder, other.pid, other.port) : null
    })
    if (opened) return opened
    if (Date.now() > joinFrom + PATIENCE_MS)
      throw new UserError(`Another process runs Postgres in ${folder}, and it neither answers nor ends.`)
    await delay(25)
  }
}

/** null: it does not take connections, or does not any more. */
async function joinRunning(folder: string, serverPid: number, port: number): Promise<EmbeddedPostgres | null> {
  const url = urlOf(readPassword(folder), port)
  try {
    await ensureDatabase(url)
  } catch (error) {
    const code = errorCode(error)
    if (code.startsWith('28'))
      throw new UserError(`The server running in ${folder} does not take the password kept there.`, { cause: error })
    if (code !== TOO_MANY_CONNECTIONS) return null
  }
  return { url, startedHere: false, serverPid, exited: new Promise(() => {}), stop: () => Promise.resolve() }
}

async function start(folder: string, runner: Runner, log: (line: string) => void): Promise<EmbeddedPostgres> {
  await ensureCluster(folder, runner, log)
  const password = readPassword(folder)
  // Nobody lives behind this file: it names a dead server, a zombie, or a pid that another program has by now.
  rmSync(join(clusterFolder(folder), 'postmaster.pid'), { force: true })
  const portFile = join(folder, 'postgres-port')
  const kept = existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : 0
  for (let attempt = 1; ; attempt++) {
    const port = attempt === 1 && kept > 0 && kept < 65_536 ? kept : await freePort()
    const { child, failure } = await launch(folder, port, runner, log)
    if (failure === null) {
      if (port !== kept) writeFileSync(portFile, `${port}\n`, { mode: 0o600 })
      return own(child, urlOf(password, port))
    }
    if (attempt === 5 || !failure.includes('Address already in use'))
      throw new UserError(`Postgres did not start in ${folder}: ${failure}`)
  }
}

async function launch(
  folder: string,
  port: number,
  { binaries, user, capability }: Runner,
  log: (line: string) => void,
) {
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const words = [...launcher('INT', user, capability), binaries.postgres, '-D', clusterFolder(folder)]
  // No socket file: after a crash its lock would be stale.
  const [program = '', ...args] = [...words, '-p', String(port), '-k', '', ...settings]
  // Detached: Ctrl-C goes to the whole process group, and the server must live until we have drained.
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    cwd: '/',
    env: serverEnv(binaries),
  })
  const last: string[] = []
  const ready = new Promise<null>((resolve) => {
    createInterface(child.stderr).on('line', (line) => {
      log(line)
      if (last.push(line) > 12) last.shift()
      if (line.includes('database system is ready to accept connections')) resolve(null)
    })
  })
  const failed = once(child, 'close').then(() => last.join('; ') || 'it said nothing', explainSpawn)
  return { child, failure: await Promise.race([ready, failed]) }
}

async function own(child: ChildProcess, url: string): Promise<EmbeddedPostgres> {
  const exited =
    child.exitCode === null && child.signalCode === null ? once(child, 'exit').then(() => {}) : Promise.resolve()
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => {
    stopping ??= shutDown(child, exited)
    return stopping
  }
  try {
    await ensureDatabase(url)
  } catch (error) {
    await stop()
    throw error
  }
  // The server alone is no reason for the process to go on.
  child.unref()
  if (child.stderr instanceof Socket) child.stderr.unref()
  return { url, startedHere: true, serverPid: child.pid ?? 0, exited, stop }
}

async function shutDown(child: ChildProcess, exited: Promise<void>): Promise<void> {
  child.ref()
  child.kill('SIGINT')
  const hurry = setTimeout(() => child.kill('SIGQUIT'), STOP_MS)
  await exited
  clearTimeout(hurry)
}

async function ensureDatabase(url: string): Promise<void> {
  const maintenance = new URL(url)
  maintenance.pathname = '/postgres'
  const client = new Client({ connectionString: maintenance.href, connectionTimeoutMillis: 10_000 })
  // A server that goes away under an idle client must not end our process.
  client.on('error', () => {})
  try {
    await client.connect()
    const found = await client.query('SELECT FROM pg_database WHERE datname = $1', [DATABASE])
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`)
  } finally {
    await client.end()
  }
}

function urlOf(password: string, port: number): string {
  return `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${DATABASE}`
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  server.close()
  await once(server, 'close')
  return port
}
