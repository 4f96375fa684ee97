// A hundred thousand maildrops in the table: what it costs to find what is due, and how late jobs begin. The dispatcher and the
// queue are the real ones; a job claims its lane and settles it.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { openDatabase, type Database } from '../../src/db/database.ts'
import { claimLane, releaseLane } from '../../src/db/lanes.ts'
import { migrateUp } from '../../src/db/migrate.ts'
import { WorkerSession } from '../../src/db/worker-session.ts'
import { LANE_JOBS } from '../../src/jobs/lane-jobs.ts'
import { openQueues } from '../../src/jobs/queues.ts'
import { startPostgres, type TestPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { report } from './house.ts'
import { cpuMs, percentile, treeCpuMs } from './machine.ts'

const WARM_MS = 10_000

export async function dispatch(args: readonly string[]): Promise<void> {
  const [accounts = 100_000, seconds = 30] = args.filter((arg) => /^\d+$/.test(arg)).map(Number)
  const postgres = await startPostgres({ fsync: true })
  const redis = await startRedis()
  const database = openDatabase(postgres.url, { max: 16 })
  try {
    await migrateUp(database.db)
    const begun = performance.now()
    await seed(database, accounts)
    report(`dispatch, ${accounts} maildrops`, {
      'seconds to make them': ((performance.now() - begun) / 1000).toFixed(1),
    })
    await measure('Redis', postgres, database, seconds, redis)
    await measure('Postgres', postgres, database, seconds)
  } finally {
    await database.close()
    await redis.stop()
    await postgres.stop()
  }
}

/** Polled every 300 to 600 seconds; one in fifty is parked, one in fifty switched off, one in ten has mail that waits. */
async function seed({ pool }: Database, accounts: number): Promise<void> {
  await pool.query(`
    insert into poststelle.accounts (email, provider, auth_type, pop3_host, pop3_port, pop3_security, enabled_receive)
    select 'a' || i || '@example.test', 'generic', 'password', 'localhost', 995, 'tls', i % 50 <> 1
    from generate_series(1, ${accounts}) i;
    insert into poststelle.maildrops (account_id) select id from poststelle.accounts;
    insert into poststelle.lanes (account_id, lane, due_at, parked_until)
    select id, lane, case lane when 'receive' then now() + random() * interval '450 seconds' when 'token' then now() + random() * interval '1 hour' end,
      case when id % 50 = 2 then now() + interval '4 hours' end
    from poststelle.accounts, unnest(array['receive', 'send', 'token', 'parse']) lane;
    insert into poststelle.outbound_messages (account_id, state, envelope_from, internet_message_id, size_bytes, sha256, request_sha256,
      next_attempt_at, expires_at)
    select id, 'deferred', 'a', 'b', 1, '', '', now() + interval '1 hour' * (1 + random()), now() + interval '5 days'
    from poststelle.accounts where id % 10 = 0;`)
  await pool.query('vacuum analyze')
}

async function measure(
  name: 'Redis' | 'Postgres',
  postgres: TestPostgres,
  database: Database,
  seconds: number,
  redis?: { url: string; pid: number },
): Promise<void> {
  // what waited while nothing ran is spread anew: a backlog is another matter
  await database.pool.query(
    `update poststelle.lanes set due_at = now() + random() * interval '450 seconds', dispatched_until = null where lane = 'receive'`,
  )
  const lags: number[] = []
  const closeWorkers = await settle(postgres.url, redis?.url, database, lags)
  const url = `${postgres.url}?application_name=dispatcher`
  const child = fork(join(import.meta.dirname, 'dispatch-child.ts'), [url, ...(redis ? [redis.url] : [])])
  try {
    await once(child, 'message')
    await pause(WARM_MS)
    const { rows } = await database.pool.query<{ pid: number }>(
      `select pid from pg_stat_activity where application_name = 'dispatcher'`,
    )
    const costs = (): Record<string, number> => ({
      node: cpuMs(child.pid ?? 0),
      'its Postgres backends': rows.reduce((sum, { pid }) => sum + cpuMs(pid), 0),
      'all of Postgres, with claims and settlements': treeCpuMs(postgres.pid),
      ...(redis && { Redis: cpuMs(redis.pid) }),
    })
    lags.length = 0
    const [before, from] = [costs(), performance.now()]
    await pause(seconds * 1000)
    const [after, elapsed] = [costs(), performance.now() - from]
    const share = (key: string): string =>
      `${((((after[key] ?? 0) - (before[key] ?? 0)) / elapsed) * 100).toFixed(1)} %`
    const own = ['node', 'its Postgres backends'].reduce((sum, key) => sum + (after[key] ?? 0) - (before[key] ?? 0), 0)
    report(`dispatch on ${name}`, {
      'jobs/s': Math.round((lags.length / elapsed) * 1000),
      'of one core': `${((own / elapsed) * 100).toFixed(1)} % (goal 5)`,
      ...Object.fromEntries(Object.keys(after).map((key) => [key, share(key)])),
      'lag p50 ms': Math.round(percentile(lags, 0.5)),
      'lag p99 ms': `${Math.round(percentile(lags, 0.99))} (goal 250)`,
    })
  } finally {
    child.send('stop')
    await once(child, 'exit')
    await closeWorkers()
  }
}

/** Jobs that claim and settle, and note how late they began. */
async function settle(
  databaseUrl: string,
  redisUrl: string | undefined,
  { db, pool }: Database,
  lags: number[],
): Promise<() => Promise<void>> {
  const fail = (error: Error): void => console.error(error.message)
  const session = await WorkerSession.open(databaseUrl, {
    roles: 'bench',
    version: '0',
    onRing: () => undefined,
    onProblem: fail,
  })
  const queues = await openQueues({ databaseUrl, redisUrl }, fail)
  const workers = LANE_JOBS.map(({ queue, lane, concurrency }) =>
    queues.worker(
      queue,
      async ({ data: { accountId } }) => {
        const begun = Date.now()
        const { rows } = await pool.query<{ due_at: Date }>(
          'select due_at from poststelle.lanes where account_id = $1 and lane = $2',
          [accountId, lane],
        )
        const lease = await claimLane(db, { accountId, lane }, session.workerId)
        if (!lease) return 'not due'
        lags.push(begun - (rows[0]?.due_at.getTime() ?? begun))
        await releaseLane(db, lease, new Date(begun + (300 + Math.random() * 300) * 1000))
        return 'done'
      },
      { concurrency },
    ),
  )
  return async () => {
    await Promise.all(workers.map((worker) => worker.close()))
    await queues.close()
    await session.close()
  }
}
