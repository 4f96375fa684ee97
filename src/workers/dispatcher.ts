// Ticks: asks Postgres several times a second what is due, at once when a bell rings, and does the slower upkeep. The tick is
// a timer of the process, not a job of the queue: a flushed queue would lose it.

import { atMost } from '../base/clock.ts'
import { errorText } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import { WOKEN_PER_SECOND } from '../credentials/settle.ts'
import { sweepBlobs } from '../db/blobs.ts'
import { wakeAnsweredClients } from '../db/client-breakers.ts'
import type { Db } from '../db/database.ts'
import { wakeSendLanes, type Lane } from '../db/lanes.ts'
import { sweepSpools } from '../db/messages.ts'
import { recoverAbandoned } from '../db/outbound.ts'
import { EventNumbering } from '../db/outbound-events.ts'
import { wakeParseLanes } from '../db/parsing.ts'
import { RETAINED, sweepRetention } from '../db/retention.ts'
import { buryDeadWorkers } from '../db/worker-session.ts'
import { logNotices, reconcileIncidents } from '../health/reconcile-incidents.ts'
import { watchSilence } from '../health/watch-silence.ts'
import { warnRunway } from '../health/warn-runway.ts'
import { dispatchDue } from '../jobs/dispatch-due.ts'
import type { LaneQueue, QueueName } from '../jobs/queues.ts'

const TICK_MS = 150
const UPKEEP_MS = 5_000
/** Bells are heard, or known to be missed: this is for what neither says. */
const WAKE_SEND_MS = 15_000
const SWEEP_MS = 3_600_000
const WATCH_SILENCE_MS = 900_000
/** A queue that does not answer must not stop the clock. */
const TICK_LIMIT_MS = 15_000

export interface DispatcherOptions {
  readonly db: Db
  readonly queues: ReadonlyMap<QueueName, LaneQueue>
  readonly log: Logger
  /** Known once the process has its presence in the database. */
  readonly workerId: () => number
}

export class Dispatcher {
  readonly #o: DispatcherOptions
  readonly #numbering: EventNumbering
  /** By payload: a bell that rings twice is one. */
  readonly #rung = new Map<string, Lane>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #again = false
  #stopped = false
  #upkeepAt = 0
  #wakeSendAt = 0
  #sweepAt = 0
  #incidentsAt = 0
  #silenceAt = 0
  #reconciling: Promise<void> | undefined
  #removing: Promise<void> | undefined
  #lastProblem = ''
  #incidentsProblem = ''
  #hanging: Promise<void> | undefined

  constructor(options: DispatcherOptions) {
    this.#o = options
    this.#numbering = new EventNumbering(options.db)
  }

  start(): void {
    this.#tick()
  }

  /** Payload of a bell: `send:<account id>` or `parse:<account id>`; '' says that bells may have been missed. */
  ring(payload: string): void {
    const [, lane, id] = /^(send|parse):(\d{1,15})$/.exec(payload) ?? []
    if (lane === 'send' || lane === 'parse') this.#rung.set(payload, { lane, accountId: Number(id) })
    else this.#upkeepAt = this.#wakeSendAt = 0
    this.#tick()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
    if (this.#reconciling) await atMost(TICK_LIMIT_MS, this.#reconciling)
    if (this.#removing) await atMost(TICK_LIMIT_MS, this.#removing)
  }

  #tick(): void {
    if (this.#stopped) return
    if (this.#running) {
      this.#again = true
      return
    }
    clearTimeout(this.#timer)
    this.#running = this.#once().finally(() => {
      this.#running = undefined
      if (this.#stopped) return
      const soon = this.#again
      this.#again = false
      if (soon) this.#tick()
      else this.#timer = setTimeout(() => this.#tick(), TICK_MS)
    })
  }

  async #once(): Promise<void> {
    const rung = new Map(this.#rung)
    this.#rung.clear()
    try {
      // a tick that was given up may still hang in the queue's connection: no second one behind it
      if (this.#hanging) throw new Error('the last tick has not ended yet')
      this.#hanging = this.#work([...rung.values()]).finally(() => {
        this.#hanging = undefined
      })
      await withLimit(this.#hanging)
      if (this.#lastProblem) this.#o.log.info('dispatching again')
      this.#lastProblem = ''
    } catch (error) {
      for (const [payload, lane] of rung) this.#rung.set(payload, lane)
      const problem = errorText(error)
      if (problem !== this.#lastProblem) this.#o.log.error(`nothing can be dispatched: ${problem}`)
      this.#lastProblem = problem
    }
  }

  async #work(rung: readonly Lane[]): Promise<void> {
    const { db, queues, log } = this.#o
    const now = performance.now()
    if (now >= this.#upkeepAt) {
      this.#upkeepAt = now + UPKEEP_MS
      const dead = await buryDeadWorkers(db, this.#o.workerId())
      if (dead > 0) log.warn({ workers: dead }, 'a worker ended without saying so; its work is taken over')
      await wakeParseLanes(db)
      await wakeAnsweredClients(db, WOKEN_PER_SECOND)
    }
    if (now >= this.#wakeSendAt) {
      this.#wakeSendAt = now + WAKE_SEND_MS
      const { uncertain, returned } = await recoverAbandoned(db)
      if (uncertain + returned > 0) log.warn({ uncertain, returned }, 'messages of a lost worker recovered')
      await wakeSendLanes(db)
    }
    if (now >= this.#sweepAt) {
      this.#sweepAt = now + SWEEP_MS
      await sweepSpools(db)
      await warnRunway(db, log, new Date())
      await sweepBlobs(db)
      this.#removing ??= this.#removeOld().finally(() => {
        this.#removing = undefined
      })
    }
    await dispatchDue(db, queues, rung)
    await this.#numbering.tick()
    if (now >= this.#incidentsAt && !this.#reconciling) {
      this.#incidentsAt = now + UPKEEP_MS
      this.#reconciling = this.#reconcileIncidents().finally(() => {
        this.#reconciling = undefined
      })
    }
  }

  /** Beside the ticks: there may be much of it. */
  async #removeOld(): Promise<void> {
    const { db, log } = this.#o
    try {
      const removed = await sweepRetention(db, new Date(), () => this.#stopped)
      if (RETAINED.some((of) => removed[of] > 0)) log.info(removed, 'removed what was older than is to be kept')
    } catch (error) {
      log.error(`what is older than is to be kept was not removed: ${errorText(error)}`)
    }
  }

  /** Beside the ticks: what is told of the trouble must neither stop nor delay the work. */
  async #reconcileIncidents(): Promise<void> {
    const { db, log } = this.#o
    try {
      logNotices(log, (await reconcileIncidents(db)) ?? [])
      if (performance.now() >= this.#silenceAt) {
        this.#silenceAt = performance.now() + WATCH_SILENCE_MS
        await watchSilence(db)
      }
      this.#incidentsProblem = ''
    } catch (error) {
      const problem = errorText(error)
      if (problem !== this.#incidentsProblem) log.error(`incidents are not kept: ${problem}`)
      this.#incidentsProblem = problem
    }
  }
}

async function withLimit(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`a tick took longer than ${TICK_LIMIT_MS / 1000} s`)), TICK_LIMIT_MS)
  })
  try {
    await Promise.race([work, limit])
  } finally {
    clearTimeout(timer)
  }
}
