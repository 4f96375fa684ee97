// The worker role of a process: its presence in the database, the dispatcher, and a BullMQ worker for each kind of job.

import { setTimeout as pause } from 'node:timers/promises'
import { atMost, type Clock } from '../base/clock.ts'
import { Stopping } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import type { Database } from '../db/database.ts'
import { WorkerSession } from '../db/worker-session.ts'
import { KeptConnections } from '../delivery/kept-connections.ts'
import { LANE_JOBS, POLLS_PER_HOST, SENDS_PER_HOST } from '../jobs/lane-jobs.ts'
import { RestoreFence } from '../delivery/restore-fence.ts'
import { QUEUE_NAMES, type LaneQueue, type QueueFactory, type QueueName } from '../jobs/queues.ts'
import { ParsePool } from '../message/parse-pool.ts'
import type { Net } from '../net/net.ts'
import { HostSlots } from '../net/host-slots.ts'
import type { Vault } from '../secrets/vault.ts'
import { Notifier } from '../notify/notifier.ts'
import { Dispatcher } from './dispatcher.ts'
import { runWorker, type RunningWorker } from './run-worker.ts'
import { Watchdog } from './watchdog.ts'

const DRAIN_MS = 75_000
/** Of a process, however many lanes are parsed: each may need its heap and a core. */
const PARSE_THREADS = 2
const LOOK_MS = 20
const CLOSE_MS = 3_000

export interface WorkerOptions {
  readonly database: Database
  readonly databaseUrl: string
  readonly dataFolder: string
  /** As browsers reach the pages, for links in notices. */
  readonly publicUrl: string
  /** Programs that notices may go to, by name. */
  readonly notifyCommands: ReadonlyMap<string, string>
  readonly queues: QueueFactory
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  readonly log: Logger
  readonly version: string
  /** The workers were rebuilt once and still finish nothing: the process must be replaced. */
  readonly onStuck: () => void
}

export interface WorkerRole {
  /** Stops taking work, lets points of no return finish, and gives every lease back. */
  stop(): Promise<void>
}

export async function startWorkers(o: WorkerOptions): Promise<WorkerRole> {
  const stopping = new AbortController()
  const { db } = o.database
  const queues = new Map<QueueName, LaneQueue>(QUEUE_NAMES.map((name) => [name, o.queues.queue(name)]))
  const fence = await RestoreFence.open({ db, dataFolder: o.dataFolder, log: o.log })
  let workerId = 0
  const dispatcher = new Dispatcher({ db, queues, log: o.log, workerId: () => workerId })
  const session = await WorkerSession.open(o.databaseUrl, {
    roles: 'worker',
    version: o.version,
    onRing: (payload) => dispatcher.ring(payload),
    onProblem: (error) => o.log.warn(`the bell is out of order: ${error.message}`),
  })
  workerId = session.workerId
  const parsePool = new ParsePool({ threads: PARSE_THREADS })
  const keptConnections = new KeptConnections()
  const ctx = {
    db,
    database: o.database,
    vault: o.vault,
    net: o.net,
    clock: o.clock,
    log: o.log,
    workerId: session.workerId,
    hostSlots: new HostSlots(POLLS_PER_HOST),
    sendSlots: new HostSlots(SENDS_PER_HOST),
    parsePool,
    keptConnections,
    fence,
  }
  const build = (): RunningWorker[] => LANE_JOBS.map((kind) => runWorker(ctx, o.queues, kind, stopping.signal))
  let workers = build()
  const watchdog = new Watchdog({
    db,
    log: o.log,
    workers: () => workers,
    rebuild: async () => {
      const old = workers
      workers = build()
      await Promise.all(old.map(({ worker }) => worker.close(true)))
    },
    onStuck: o.onStuck,
  })
  const notifier = new Notifier({
    db,
    vault: o.vault,
    net: o.net,
    clock: o.clock,
    log: o.log,
    publicUrl: o.publicUrl,
    commands: o.notifyCommands,
  })
  dispatcher.start()
  notifier.start()
  watchdog.start()
  return {
    stop: async () => {
      watchdog.stop()
      await atMost(CLOSE_MS, notifier.stop())
      await dispatcher.stop()
      stopping.abort(new Stopping('the service is stopping'))
      await untilIdle(workers)
      await parsePool.close()
      await keptConnections.close()
      // the queue's own farewell: it would wait for ever for a backend that is away
      await atMost(CLOSE_MS, Promise.all(workers.map(({ worker }) => worker.close())))
      await atMost(CLOSE_MS, fence.close())
      await atMost(CLOSE_MS, session.close())
      await atMost(CLOSE_MS, Promise.all([...queues.values()].map((queue) => queue.close())))
    },
  }
}

/** What is behind its point of no return is waited for; whatever takes longer is found uncertain by the next worker. */
async function untilIdle(workers: readonly RunningWorker[]): Promise<void> {
  const end = performance.now() + DRAIN_MS
  while (workers.some(({ progress }) => progress.active > 0) && performance.now() < end) await pause(LOOK_MS)
}
