// What a measurement needs of an installation, outside of vitest: a Postgres of its own with fsync on, migrated, and a worker.

import { randomBytes } from 'node:crypto'
import { importAccounts } from '../../src/accounts/import.ts'
import { parseAccounts } from '../../src/accounts/settings.ts'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { openDatabase } from '../../src/db/database.ts'
import { claimLane } from '../../src/db/lanes.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import { createNet } from '../../src/net/dial.ts'
import { pollMaildrop, type PollResult } from '../../src/retrieval/poll-maildrop.ts'
import { Vault } from '../../src/secrets/vault.ts'
import { startPostgres } from '../support/postgres.ts'

export interface BenchHouse {
  readonly url: string
  importAccounts(accounts: readonly object[]): Promise<Map<string, number>>
  poll(accountId: number): Promise<PollResult>
  query<T extends object>(text: string): Promise<T[]>
  close(): Promise<void>
}

export async function openBenchHouse(caPem: string): Promise<BenchHouse> {
  const postgres = await startPostgres({ fsync: true })
  const database = openDatabase(postgres.url, { max: 12 })
  const { db } = database
  await migrateUp(db)
  const vault = new Vault([{ id: 'bench', bytes: randomBytes(32) }])
  const net = createNet({ allowPrivate: ['127.0.0.0/8', '::1'], extraCaPem: caPem })
  const session = await WorkerSession.open(postgres.url, {
    roles: 'bench',
    version: '0',
    onRing: () => undefined,
    onProblem: () => undefined,
  })
  const ctx = { db, database, vault, net, clock: systemClock, log: silentLogger, workerId: session.workerId }
  return {
    url: postgres.url,
    importAccounts: async (accounts) => {
      const parsed = parseAccounts(JSON.stringify(accounts), 'bench', () => undefined)
      return new Map(
        (await importAccounts({ db, vault }, parsed, { dryRun: false })).map(({ email, id }) => [email, id]),
      )
    },
    poll: async (accountId) => {
      const lease = await claimLane(db, { accountId, lane: 'receive' }, session.workerId, { force: true })
      if (!lease) throw new Error('the lane is under lease')
      return await pollMaildrop(ctx, lease, AbortSignal.timeout(600_000))
    },
    query: async <T extends object>(text: string) => (await database.pool.query<T>(text)).rows,
    close: async () => {
      await session.close()
      await net.close()
      await database.close()
      await postgres.stop()
    },
  }
}

/** Highest resident memory of this process while the work runs, above what it was before, in MB. */
export async function extraMemory<T>(work: () => Promise<T>): Promise<{ result: T; extraMb: number }> {
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  let peak = before
  const timer = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 10)
  try {
    const result = await work()
    peak = Math.max(peak, process.memoryUsage.rss())
    return { result, extraMb: Math.round((peak - before) / 1e6) }
  } finally {
    clearInterval(timer)
  }
}

export const report = (name: string, figures: Record<string, string | number>): void =>
  console.log(
    `${name}: ${Object.entries(figures)
      .map(([key, value]) => `${key} ${value}`)
      .join(', ')}`,
  )
