// Polls the maildrops it is told to, each until nothing is left, and tells what that took. Its parent is test/bench/house.ts.

import { readFileSync } from 'node:fs'
import { systemClock } from '../../src/base/clock.ts'
import { errorText } from '../../src/base/failure.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { openDatabase } from '../../src/db/database.ts'
import { claimLane } from '../../src/db/lanes.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import { createNet } from '../../src/net/dial.ts'
import { pollMaildrop } from '../../src/retrieval/poll-maildrop.ts'
import { Vault } from '../../src/secrets/vault.ts'
import type { Polled } from './house.ts'
import { forgetPeakRss, peakRssMb } from './machine.ts'

const LIMIT_MS = 600_000

const [databaseUrl = '', caFile = ''] = process.argv.slice(2)
const database = openDatabase(databaseUrl, { max: 12 })
const { db } = database
const vault = new Vault([{ id: 'bench', bytes: Buffer.from(process.env['BENCH_KEY'] ?? '', 'base64') }])
const net = createNet({ allowPrivate: ['127.0.0.0/8', '::1'], extraCaPem: readFileSync(caFile, 'utf8') })
const session = await WorkerSession.open(databaseUrl, {
  roles: 'bench',
  version: '0',
  onRing: () => undefined,
  onProblem: () => undefined,
})
const ctx = { db, database, vault, net, clock: systemClock, log: silentLogger, workerId: session.workerId }

process.on('message', (accountId: number) => {
  void poll(accountId)
    .catch((error: unknown): Polled => ({ ...NOTHING, failure: errorText(error) }))
    .then((polled) => process.send?.(polled))
})
process.once('disconnect', () => void end())
process.send?.('started')

const NOTHING: Polled = { stored: 0, sessions: 0, seconds: 0, cpuMs: 0, extraMb: 0, failure: undefined }

async function poll(accountId: number): Promise<Polled> {
  globalThis.gc?.()
  const before = process.memoryUsage.rss()
  forgetPeakRss()
  const cpu = process.cpuUsage()
  const begun = performance.now()
  let [stored, sessions] = [0, 0]
  for (let more = true; more; sessions += 1) {
    const lease = await claimLane(db, { accountId, lane: 'receive' }, session.workerId, { force: true })
    if (!lease) throw new Error('the lane is under lease')
    const result = await pollMaildrop(ctx, lease, AbortSignal.timeout(LIMIT_MS))
    if (result.failure) throw result.failure
    stored += result.stored
    more = result.more
  }
  const seconds = (performance.now() - begun) / 1000
  const { user, system } = process.cpuUsage(cpu)
  const extraMb = Math.max(0, peakRssMb(process.pid) - Math.round(before / 1e6))
  return { stored, sessions, seconds, cpuMs: (user + system) / 1000, extraMb, failure: undefined }
}

async function end(): Promise<void> {
  await session.close()
  await net.close()
  await database.close()
}
