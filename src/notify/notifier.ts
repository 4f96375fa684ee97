// Tells others what happens: reads on in the feeds for every target, delivers what is due, sends the digest of the morning, and a heartbeat
// while work goes on. One process at a time.

import { MINUTE_MS, later } from '../base/clock.ts'
import { errorText } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import {
  addDelivery,
  advance,
  claimDeliveries,
  listTargets,
  markDigest,
  nextOfFeed,
  settleDelivery,
  sweepDeliveries,
  type Delivery,
  type Feed,
  type FeedRow,
  type NotifyTarget,
} from '../db/notify.ts'
import { alone } from '../db/incidents.ts'
import { readRunway } from '../db/runway.ts'
import { readStatus } from '../db/status.ts'
import { dueLanes } from '../db/system.ts'
import { overviewOf } from '../health/overview.ts'
import { yesterdayEvening } from '../health/phrases.ts'
import { runwayLine, runwayOf } from '../health/runway.ts'
import { deliver, type NotifyContext } from './deliver.ts'
import { digestText } from './texts.ts'

const PERIOD_MS = 2_000
const HEARTBEAT_MS = MINUTE_MS
/** Work that is due for longer than this is not being done. */
const STUCK_MS = 5 * MINUTE_MS
const AT_ONCE = 8
const FEED_ROWS = 200
const DIGEST_FROM = 7 * 60 + 30
const SWEEP_MS = 60 * MINUTE_MS

export class Notifier {
  readonly #ctx: NotifyContext
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #stopped = false
  #beatAt = 0
  #sweepAt = 0
  #problem = ''

  constructor(ctx: NotifyContext & { readonly log: Logger }) {
    this.#ctx = ctx
    this.#log = ctx.log
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#tick(), PERIOD_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  async #tick(): Promise<void> {
    this.#running = this.#round()
    await this.#running
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#tick(), PERIOD_MS)
  }

  async #round(): Promise<void> {
    try {
      await this.work()
      this.#problem = ''
    } catch (error) {
      const problem = errorText(error)
      if (problem !== this.#problem) this.#log.error(`nobody is told of anything: ${problem}`)
      this.#problem = problem
    }
  }

  /** One round: what came is noted for those who want it, what is due is delivered. */
  async work(): Promise<void> {
    const { db, clock } = this.#ctx
    const targets = (await listTargets(db)).filter(({ enabled }) => enabled)
    if (targets.length === 0) return
    for (const target of targets) {
      for (const feed of feedsOf(target)) while (await this.#readOn(target, feed));
      if (target.digest) await this.#digest(target)
    }
    await this.#deliverDue(targets)
    if (performance.now() >= this.#beatAt) {
      this.#beatAt = performance.now() + HEARTBEAT_MS
      await this.#beat(targets, clock.now())
    }
    if (performance.now() >= this.#sweepAt) {
      this.#sweepAt = performance.now() + SWEEP_MS
      await sweepDeliveries(db)
    }
  }

  /** Noted and read on in one transaction: nothing is told twice, or never. Returns whether there may be more. */
  async #readOn(target: NotifyTarget, feed: Feed): Promise<boolean> {
    const more = await alone(this.#ctx.db, async (tx) => {
      const rows = await nextOfFeed(tx, target.id, feed, FEED_ROWS)
      for (const row of rows) if (wants(target, row.type)) await addDelivery(tx, target.id, deliveryOf(target, row))
      const last = rows.at(-1)
      if (last) await advance(tx, target.id, feed, last.place)
      return rows.length === FEED_ROWS
    })
    return more ?? false
  }

  async #deliverDue(targets: readonly NotifyTarget[]): Promise<void> {
    const { db } = this.#ctx
    const byId = new Map(targets.map((target) => [target.id, target]))
    const due = await claimDeliveries(db, AT_ONCE * 4)
    const threads = [...Map.groupBy(due, threadOf).values()]
    for (let at = 0; at < threads.length; at += AT_ONCE)
      await Promise.all(threads.slice(at, at + AT_ONCE).map((thread) => this.#deliverInOrder(byId, thread)))
  }

  async #deliverInOrder(targets: ReadonlyMap<number, NotifyTarget>, thread: readonly Delivery[]): Promise<void> {
    for (const delivery of thread) {
      const target = targets.get(delivery.targetId)
      if (target) await deliver(this.#ctx, target, delivery)
      else await settleDelivery(this.#ctx.db, delivery, { state: 'waiting' })
    }
  }

  /** Missing, it wakes somebody: it is sent only while work is being done. */
  async #beat(targets: readonly NotifyTarget[], now: Date): Promise<void> {
    const hearts = targets.filter(({ kind }) => kind === 'heartbeat')
    if (hearts.length === 0) return
    const oldest = [...(await dueLanes(this.#ctx.db)).values()].map(({ oldestAt }) => oldestAt?.getTime() ?? Infinity)
    if (now.getTime() - Math.min(Infinity, ...oldest) > STUCK_MS) return
    for (const target of hearts) await addDelivery(this.#ctx.db, target.id, { type: 'heartbeat', payload: {} })
  }

  async #digest(target: NotifyTarget): Promise<void> {
    const { db, clock, publicUrl } = this.#ctx
    const now = clock.now()
    const day = `${now.getFullYear()}-${String(now.getMonth() + 1).padStart(2, '0')}-${String(now.getDate()).padStart(2, '0')}`
    if (now.getHours() * 60 + now.getMinutes() < DIGEST_FROM || target.digestOn === day) return
    const overview = overviewOf(await readStatus(db, yesterdayEvening(now)), target.language, now)
    const runway = runwayOf(await readRunway(db), now)
      .filter(({ threshold }) => threshold !== null)
      .map((item) => runwayLine(item, target.language))
    await db.transaction().execute(async (tx) => {
      await addDelivery(tx, target.id, {
        type: 'digest',
        payload: digestText(overview, runway, target.language, `${publicUrl}/`),
      })
      await markDigest(tx, target.id, day)
    })
  }
}

/** What is told of one incident to one target is told in order. */
const threadOf = ({ id, targetId, payload }: Delivery): string =>
  payload['incident'] === undefined ? `delivery ${id}` : `${targetId}: ${JSON.stringify(payload['incident'])}`

const wants = ({ events }: NotifyTarget, type: string): boolean =>
  events.some((pattern) => pattern === type || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1))))

const feedsOf = ({ kind, events }: NotifyTarget): Feed[] => {
  if (kind === 'heartbeat') return []
  const has = (prefix: string): boolean => events.some((pattern) => pattern.startsWith(prefix))
  return [
    ...(has('incident.') ? (['incident'] as const) : []),
    ...(has('outbox.') ? (['outbox'] as const) : []),
    ...(has('message.') ? (['inbox'] as const) : []),
  ]
}

function deliveryOf(target: NotifyTarget, row: FeedRow): Parameters<typeof addDelivery>[2] {
  const waits = row.type === 'incident.opened' && row.transient
  return {
    type: row.type,
    payload: { ...row.data, ...(waits && { transient: true }) },
    ...(waits && { notBefore: later(row.at, target.patienceMinutes * MINUTE_MS) }),
  }
}
