// One installation inside a test: a database of its own, a key ring, a network that may reach this machine, and a worker's
// presence, so that operations can be called as jobs call them.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { importAccounts, type ImportedAccount } from '../../src/accounts/import.ts'
import { parseAccounts } from '../../src/accounts/settings.ts'
import { systemClock, type Clock } from '../../src/base/clock.ts'
import { silentLogger, type Logger } from '../../src/base/logger.ts'
import { claimLane, type Lease } from '../../src/db/lanes.ts'
import type { LaneKind } from '../../src/db/schema.ts'
import { KeptConnections } from '../../src/delivery/kept-connections.ts'
import { RestoreFence } from '../../src/delivery/restore-fence.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import type { LaneContext } from '../../src/jobs/lane-jobs.ts'
import { ParsePool } from '../../src/message/parse-pool.ts'
import { createNet } from '../../src/net/dial.ts'
import { Vault } from '../../src/secrets/vault.ts'
import { freshDatabase, type TestDatabase } from './database.ts'

export interface TestHouse extends LaneContext {
  readonly database: TestDatabase
  /** POSTSTELLE_KEYS of commands on this installation. */
  readonly keys: string
  importAccounts(accounts: object[]): Promise<ImportedAccount[]>
  /** Claims a lane whether it is due or not; throws where somebody else has it. */
  lease(accountId: number, lane: LaneKind): Promise<Lease>
  close(): Promise<void>
}

export async function openHouse(
  options: { caPem?: string; clock?: Clock; log?: Logger; parsePool?: ParsePool } = {},
): Promise<TestHouse> {
  const database = await freshDatabase()
  const { db } = database
  const key = randomBytes(32)
  const vault = new Vault([{ id: 'test', bytes: key }])
  const net = createNet({
    allowPrivate: ['127.0.0.0/8', '::1'],
    ...(options.caPem !== undefined && { extraCaPem: options.caPem }),
  })
  const session = await WorkerSession.open(database.url, {
    roles: 'test',
    version: '0',
    onRing: () => undefined,
    onProblem: () => undefined,
  })
  const keptConnections = new KeptConnections()
  const dataFolder = mkdtempSync(join(tmpdir(), 'poststelle-house-'))
  const log = options.log ?? silentLogger
  const fence = await RestoreFence.open({ db, dataFolder, log })
  const parsePool = options.parsePool ?? new ParsePool({ threads: 2 })
  return {
    db,
    database,
    keys: `test:${key.toString('base64')}`,
    parsePool,
    keptConnections,
    vault,
    net,
    clock: options.clock ?? systemClock,
    log,
    fence,
    workerId: session.workerId,
    importAccounts: (accounts) =>
      importAccounts(
        { db, vault },
        parseAccounts(JSON.stringify(accounts), 'test', () => undefined),
        { dryRun: false },
      ),
    lease: async (accountId, lane) => {
      const lease = await claimLane(db, { accountId, lane }, session.workerId, { force: true })
      if (!lease) throw new Error(`the ${lane} lane of account ${accountId} is under lease`)
      return lease
    },
    close: async () => {
      await parsePool.close()
      await keptConnections.close()
      await fence.close()
      rmSync(dataFolder, { recursive: true, force: true })
      await session.close()
      await net.close()
      await database.drop()
    },
  }
}

/** An account for import: password logins, both servers on this machine; override what the test is about. */
export const passwordAccount = (email: string, over: object = {}): object => ({
  email,
  pop3: { host: 'localhost', port: 995, security: 'tls' },
  smtp: { host: 'localhost', port: 587, security: 'starttls' },
  auth: { type: 'password', password: 'correct-horse' },
  poll_interval_seconds: 60,
  ...over,
})
