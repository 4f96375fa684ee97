// Workers of a queue have been seen to stop silently after an outage of their backend. Whoever sees work that is overdue, has
// free hands, and ends no job, rebuilds its workers; if that does not help either, the process is to be replaced.

import { errorText } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import type { Db } from '../db/database.ts'
import { overdueLanes } from '../db/lanes.ts'
import type { RunningWorker } from './run-worker.ts'

const LOOK_MS = 10_000
/** Due for that long, dispatched more than once meanwhile, and taken by nobody. */
const OVERDUE_SECONDS = 60
const IDLE_MS = 60_000

export interface WatchdogOptions {
  readonly db: Db
  readonly log: Logger
  readonly workers: () => readonly RunningWorker[]
  readonly rebuild: () => Promise<void>
  readonly onStuck: () => void
}

export class Watchdog {
  readonly #o: WatchdogOptions
  #timer: NodeJS.Timeout | undefined
  #rebuiltAt: number | undefined

  constructor(options: WatchdogOptions) {
    this.#o = options
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.look(performance.now()).catch((error: unknown) =>
        this.#o.log.warn(`the watchdog cannot look: ${errorText(error)}`),
      )
    }, LOOK_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async look(now: number): Promise<void> {
    const idle = this.#o
      .workers()
      .filter(({ progress }) => progress.active === 0 && now - progress.lastEndedAt > IDLE_MS)
    if (idle.length === 0) return
    const overdue = await overdueLanes(this.#o.db, OVERDUE_SECONDS)
    const stuck = idle.filter(({ kind }) => overdue.includes(kind.lane)).map(({ kind }) => kind.queue)
    if (stuck.length === 0) {
      this.#rebuiltAt = undefined
    } else if (this.#rebuiltAt === undefined) {
      this.#o.log.error({ queues: stuck }, 'work is overdue and no worker takes it: the workers are rebuilt')
      this.#rebuiltAt = now
      await this.#o.rebuild()
    } else if (now - this.#rebuiltAt > 2 * IDLE_MS) {
      this.#o.log.fatal({ queues: stuck }, 'work is overdue although the workers were rebuilt: the process ends')
      this.stop()
      this.#o.onStuck()
    }
  }
}
