import { sql } from 'kysely'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { LANE_JOBS } from '../../src/jobs/lane-jobs.ts'
import { openQueues, type QueueFactory } from '../../src/jobs/queues.ts'
import type { RunningWorker } from '../../src/workers/run-worker.ts'
import { Watchdog } from '../../src/workers/watchdog.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'

describe('the watchdog', () => {
  let house: TestHouse
  let queues: QueueFactory
  let workers: RunningWorker[]
  const events: string[] = []
  const progress = { lastEndedAt: 0, active: 0 }

  beforeAll(async () => {
    house = await openHouse()
    await house.importAccounts([passwordAccount('a@example.test')])
    queues = await openQueues({ databaseUrl: house.database.url, redisUrl: undefined }, () => undefined)
    workers = LANE_JOBS.map((kind) => ({
      kind,
      progress,
      worker: queues.worker(kind.queue, async () => '', { concurrency: 1 }),
    }))
    await Promise.all(workers.map(({ worker }) => worker.waitUntilReady()))
  })
  afterAll(async () => {
    await Promise.all(workers.map(({ worker }) => worker.close()))
    await queues.close()
    await house.close()
  })
  beforeEach(() => {
    events.length = 0
    Object.assign(progress, { lastEndedAt: 0, active: 0 })
  })

  const newWatchdog = () =>
    new Watchdog({
      db: house.db,
      log: silentLogger,
      workers: () => workers,
      rebuild: async () => void events.push('rebuilt'),
      onStuck: () => events.push('stuck'),
    })
  const dueSince = (interval: string) =>
    sql`update poststelle.lanes set due_at = now() - ${interval}::interval`.execute(house.db)
  const MINUTE = 60_000

  test('rebuilds the workers when work is overdue and nobody takes it, and gives up when that does not help', async () => {
    await dueSince('90 seconds')
    const watchdog = newWatchdog()
    await watchdog.look(2 * MINUTE)
    expect(events).toEqual(['rebuilt'])
    await watchdog.look(3 * MINUTE)
    expect(events).toEqual(['rebuilt'])
    await watchdog.look(5 * MINUTE)
    expect(events).toEqual(['rebuilt', 'stuck'])
  })

  test('is content while jobs end or run, and where nothing is overdue', async () => {
    const watchdog = newWatchdog()
    await dueSince('5 seconds')
    await watchdog.look(2 * MINUTE)
    await dueSince('90 seconds')
    progress.active = 1
    await watchdog.look(2 * MINUTE)
    Object.assign(progress, { active: 0, lastEndedAt: 2 * MINUTE - 1_000 })
    await watchdog.look(2 * MINUTE)
    expect(events).toEqual([])
  })

  test('a queue that came to life again is given its full time before the next alarm', async () => {
    const watchdog = newWatchdog()
    await dueSince('90 seconds')
    await watchdog.look(2 * MINUTE)
    await dueSince('1 second')
    await watchdog.look(4 * MINUTE)
    await dueSince('90 seconds')
    await watchdog.look(6 * MINUTE)
    expect(events).toEqual(['rebuilt', 'rebuilt'])
  })
})
