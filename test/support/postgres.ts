// A private PostgreSQL out of the system's own packages, the oldest version we promise to work with, and databases in
// it: one per test file, copied from a template.

import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { isRoot, removeFolder, runOnce, startProgram, systemUser, tempFolder, untilListening } from './child.ts'
import { freePort } from './ports.ts'

export interface TestPostgres {
  /** Of the superuser, to the database `postgres`. */
  readonly url: string
  readonly port: number
  readonly pid: number
  /** Folder of its cluster. */
  readonly cluster: string
  /** Returns the new database's url. */
  createDatabase(name: string, template?: string): Promise<string>
  /** Stops it in good order and leaves its files, to be copied. */
  halt(): Promise<void>
  stop(): Promise<void>
}

/**
 * `fsync`: as in production, for tests that kill the server; otherwise it is off, for speed. `from`: begins with a copy of the cluster of
 * a server that was halted.
 */
export async function startPostgres(o: { fsync?: boolean; from?: string } = {}): Promise<TestPostgres> {
  const bin = postgresBin()
  const folder = tempFolder('postgres')
  const cluster = join(folder, 'cluster')
  const user = isRoot() ? systemUser('postgres') : null
  mkdirSync(cluster, { mode: 0o700 })
  if (user) chownSync(cluster, user.uid, user.gid)
  const words = ['-D', cluster, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync']
  if (o.from === undefined) runOnce(join(bin, 'initdb'), words, user)
  else runOnce('cp', ['-a', `${o.from}/.`, cluster])
  const port = await freePort()
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: 300,
    shared_buffers: '128MB',
    wal_level: 'minimal',
    max_wal_senders: 0,
    jit: 'off',
    timezone: 'UTC',
    ...(o.fsync
      ? {}
      : { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off', autovacuum_naptime: '5min' }),
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const program = startProgram(join(bin, 'postgres'), ['-D', cluster, ...args], { user, stopSignal: 'SIGINT' })
  await untilListening(program, port)
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  await untilAccepting(url)
  return {
    url,
    port,
    pid: program.pid,
    cluster,
    createDatabase: (name, template) => createDatabase(url, name, template),
    halt: () => program.stop(),
    async stop() {
      await program.stop()
      removeFolder(folder)
    },
  }
}

/** Makes a database on the server behind `adminUrl`, as a copy of `template` if given, and returns its url. */
export async function createDatabase(adminUrl: string, name: string, template = 'template0'): Promise<string> {
  await withClient(adminUrl, (client) =>
    client.query(`CREATE DATABASE ${client.escapeIdentifier(name)} TEMPLATE ${client.escapeIdentifier(template)}`),
  )
  const url = new URL(adminUrl)
  url.pathname = `/${encodeURIComponent(name)}`
  return url.href
}

/** Removes it even while somebody is connected. */
export async function dropDatabase(adminUrl: string, name: string): Promise<void> {
  await withClient(adminUrl, (client) =>
    client.query(`DROP DATABASE IF EXISTS ${client.escapeIdentifier(name)} WITH (FORCE)`),
  )
}

/** The newest server's folder of programs: postgres, initdb, pg_dump. */
export function postgresBin(): string {
  const root = '/usr/lib/postgresql'
  const versions = existsSync(root)
    ? readdirSync(root)
        .map(Number)
        .filter((version) => version >= 15)
    : []
  if (versions.length === 0)
    throw new Error('No PostgreSQL 15 or newer under /usr/lib/postgresql; see scripts/test-tools.mjs.')
  return join(root, String(Math.max(...versions)), 'bin')
}

/** A port answers a moment before the server takes connections. */
async function untilAccepting(url: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await withClient(url, (client) => client.query('SELECT 1'))
      return
    } catch (error) {
      const starting = error instanceof Error && 'code' in error && error.code === '57P03'
      if (!starting || attempt > 200) throw error
    }
  }
}

async function withClient(url: string, work: (client: Client) => Promise<unknown>): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await work(client)
  } finally {
    await client.end()
  }
}
