// What a measurement needs of an installation, outside of vitest: a Postgres of its own with fsync and synchronous_commit on,
// migrated, and a process that polls, so that its CPU time and memory are nobody else's.

import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { importAccounts } from '../../src/accounts/import.ts'
import { parseAccounts } from '../../src/accounts/settings.ts'
import { openDatabase } from '../../src/db/database.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { Vault } from '../../src/secrets/vault.ts'
import { startPostgres } from '../support/postgres.ts'
import { peakRssMb, treeCpuMs } from './machine.ts'

/** What the polling process tells of one maildrop, polled until nothing is left. */
export interface Polled {
  readonly stored: number
  readonly sessions: number
  readonly seconds: number
  readonly cpuMs: number
  /** Highest resident memory during the poll, above what it was before. */
  readonly extraMb: number
  readonly failure: string | undefined
}

export interface Measured extends Polled {
  readonly postgresCpuMs: number
  /** Of the polling process during the poll. */
  readonly peakRssMb: number
}

export interface BenchHouse {
  readonly url: string
  readonly postgresPid: number
  /** In the form of POSTSTELLE_KEYS. */
  readonly keys: string
  importAccounts(accounts: readonly object[]): Promise<Map<string, number>>
  poll(accountId: number): Promise<Measured>
  query<T extends object>(text: string): Promise<T[]>
  close(): Promise<void>
}

export async function openBenchHouse(caFile: string): Promise<BenchHouse> {
  const postgres = await startPostgres({ fsync: true })
  const database = openDatabase(postgres.url, { max: 4 })
  const { db } = database
  await migrateUp(db)
  const bytes = randomBytes(32)
  const vault = new Vault([{ id: 'bench', bytes }])
  const keys = `bench:${bytes.toString('base64')}`
  // memory as bin/poststelle has it
  const env = { ...process.env, BENCH_KEY: bytes.toString('base64'), MALLOC_ARENA_MAX: '2' }
  const poller = fork(join(import.meta.dirname, 'poller.ts'), [postgres.url, caFile], {
    env,
    execArgv: ['--max-semi-space-size=8', '--expose-gc'],
  })
  const [started] = await once(poller, 'message')
  if (started !== 'started') throw new Error('the polling process did not start')
  return {
    url: postgres.url,
    postgresPid: postgres.pid,
    keys,
    importAccounts: async (accounts) => {
      const parsed = parseAccounts(JSON.stringify(accounts), 'bench', () => undefined)
      return new Map(
        (await importAccounts({ db, vault }, parsed, { dryRun: false })).map(({ email, id }) => [email, id]),
      )
    },
    poll: async (accountId) => {
      const before = treeCpuMs(postgres.pid)
      poller.send(accountId)
      const [polled] = (await once(poller, 'message')) as [Polled]
      if (polled.failure !== undefined) throw new Error(polled.failure)
      const postgresCpuMs = treeCpuMs(postgres.pid) - before
      return { ...polled, postgresCpuMs, peakRssMb: peakRssMb(poller.pid ?? 0) }
    },
    query: async <T extends object>(text: string) => (await database.pool.query<T>(text)).rows,
    close: async () => {
      poller.disconnect()
      await once(poller, 'exit')
      await database.close()
      await postgres.stop()
    },
  }
}

export const report = (name: string, figures: Record<string, string | number>): void =>
  console.log(
    `${name}: ${Object.entries(figures)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`,
  )
