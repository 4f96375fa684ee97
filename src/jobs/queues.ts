// The queues, on either BullMQ backend: Redis where REDIS_URL is set, Postgres otherwise. Everything above sees one factory.
// A queue decides who works and how many at once; what is due stands in the tables, so a queue may be flushed at any moment.

import {
  createPostgresBackend,
  createRedisBackend,
  runMigrations,
  withBackend,
  type PostgresConnectionOptions,
  type Processor,
  type Queue,
  type Worker,
} from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { errorText, UserError } from '../base/failure.ts'
import { surviveBrokenConnections } from '../db/database.ts'

export const QUEUE_NAMES = ['token-refresh', 'maildrop-poll', 'outbox-drain', 'message-parse'] as const
export type QueueName = (typeof QUEUE_NAMES)[number]

/** Ids only: a job's data is kept in clear by the queue. */
export interface LaneJob {
  readonly accountId: number
}

export type LaneQueue = Queue<LaneJob, string>
export type LaneWorker = Worker<LaneJob, string>
export type LaneProcessor = Processor<LaneJob, string>

export interface WorkerSettings {
  readonly concurrency: number
}

export interface QueueFactory {
  readonly backend: 'redis' | 'postgres'
  queue(name: QueueName): LaneQueue
  worker(name: QueueName, processor: LaneProcessor, settings: WorkerSettings): LaneWorker
  close(): Promise<void>
}

/** A worker that stands still this long loses its job to another; the lane's lease keeps the two apart. */
const LOCK_MS = 30_000
const STALLED_CHECK_MS = 15_000
const KEPT = { removeOnComplete: { age: 3_600, count: 200 }, removeOnFail: { age: 7 * 86_400, count: 1_000 } }
/** Postgres sorts what is kept whenever a job ends, which costs more than the job: what is done leaves at once. */
const KEPT_IN_POSTGRES = { ...KEPT, removeOnComplete: true }
const workerTimes = { lockDuration: LOCK_MS, stalledInterval: STALLED_CHECK_MS, maxStalledCount: 1 }

export async function openQueues(
  urls: { databaseUrl: string; redisUrl: string | undefined },
  onError: (error: Error) => void,
): Promise<QueueFactory> {
  return urls.redisUrl === undefined
    ? await onPostgres(urls.databaseUrl, onError)
    : await onRedis(urls.redisUrl, onError)
}

async function onPostgres(connectionString: string, onError: (error: Error) => void): Promise<QueueFactory> {
  const client = new pg.Client({ connectionString })
  await client.connect()
  try {
    await runMigrations(client)
  } finally {
    await client.end()
  }
  const { Queue, Worker } = withBackend(createPostgresBackend)
  // one pool for all: a listening connection for every queue and worker of this process, and some for their statements
  const pool = new pg.Pool({ connectionString, keepAlive: true, max: 24, options: '-c search_path=bullmq,public' })
  surviveBrokenConnections(pool, onError)
  pool.setMaxListeners(0) // every queue and every worker listens for its errors
  const connection = pool as unknown as PostgresConnectionOptions // its own type of a pool asks for an index signature
  const open = new Set<unknown>()
  return {
    backend: 'postgres',
    queue: (name) => {
      const queue = new Queue<LaneJob, string>(name, { connection, defaultJobOptions: KEPT_IN_POSTGRES })
      queue.on('error', onError)
      return queue as unknown as LaneQueue
    },
    worker: (name, processor, { concurrency }) => {
      const settings = { ...workerTimes, concurrency, connection, autorun: false }
      const worker = new Worker<LaneJob, string>(name, processor, settings)
      worker.on('error', onError)
      // whether the connection is ready is asked once and remembered: a worker that ran on a "no" would ask for jobs without pause, and
      // nothing else of the process would have its turn. One that never ran is replaced by the watchdog.
      void worker
        .waitUntilReady()
        .then(() => (worker.closing ? undefined : worker.run())) // one that was closed meanwhile would never end
        .catch(onError)
      open.add(worker)
      worker.once('closed', () => open.delete(worker))
      return worker as unknown as LaneWorker
    },
    close: async () => {
      // a worker that could not say goodbye, because the database is away, would spin on an ended pool without pause
      if (open.size === 0) await pool.end()
    },
  }
}

async function onRedis(url: string, onError: (error: Error) => void): Promise<QueueFactory> {
  const redis = new Redis(url, {
    maxRetriesPerRequest: null,
    lazyConnect: true,
    retryStrategy: (times) => Math.min(times * 200, 2_000),
  })
  redis.on('error', onError)
  await checkRedis(redis, url)
  const { Queue, Worker } = withBackend(createRedisBackend)
  return {
    backend: 'redis',
    queue: (name) => {
      const queue = new Queue<LaneJob, string>(name, { connection: redis, defaultJobOptions: KEPT })
      queue.on('error', onError)
      return queue
    },
    worker: (name, processor, { concurrency }) => {
      const worker = new Worker<LaneJob, string>(name, processor, { ...workerTimes, concurrency, connection: redis })
      worker.on('error', onError)
      return worker
    },
    close: async () => redis.disconnect(),
  }
}

/** A Redis that evicts keys under memory pressure loses jobs and locks: it is refused before anything is started. */
async function checkRedis(redis: Redis, url: string): Promise<void> {
  const where = `REDIS_URL (${new URL(url).host})`
  try {
    const probe = new Redis(url, {
      maxRetriesPerRequest: 0,
      lazyConnect: true,
      retryStrategy: () => null,
      connectTimeout: 5_000,
    })
    probe.on('error', () => undefined) // the command below reports it
    let policy: string | undefined
    try {
      await probe.connect()
      policy = /^maxmemory_policy:(\S+)/m.exec(await probe.info('memory'))?.[1]
    } finally {
      probe.disconnect()
    }
    if (policy !== undefined && policy !== 'noeviction') {
      throw new UserError(
        `${where}: its maxmemory-policy is "${policy}", which may throw jobs away; set it to "noeviction"`,
      )
    }
    await redis.connect()
  } catch (error) {
    redis.disconnect()
    if (error instanceof UserError) throw error
    throw new UserError(`${where}: Redis cannot be used: ${errorText(error)}`, { cause: error })
  }
}
