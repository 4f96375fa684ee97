// What has changed, for all tabs at once: one small query a second while anybody looks, and none otherwise. Tabs are told which
// topics are new and fetch what they show of them (server-sent events; HTML standard, section 9.2).

import type { ServerResponse } from 'node:http'
import { errorText } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import type { Db } from '../db/database.ts'
import { readStamps, type Stamps } from '../db/stamps.ts'

const PERIOD_MS = 1_000
/** Said although nothing changed: whoever hears nothing for two of these is looking at something old. */
const HEARTBEAT_MS = 5_000

export class Live {
  readonly #db: Db
  readonly #log: Logger
  readonly #tabs = new Set<ServerResponse>()
  #timer: NodeJS.Timeout | undefined
  #stamps: Stamps | undefined
  #saidAt = 0
  #number = Date.now()
  #problem = ''
  #queries = 0

  constructor(db: Db, log: Logger) {
    this.#db = db
    this.#log = log
  }

  /** How often the database was asked; a test counts. */
  get queries(): number {
    return this.#queries
  }

  /** Grows with every change that tabs were told of. */
  get changes(): number {
    return this.#number
  }

  /** `lastNumber`: of the last event that the tab has seen, before it was cut off. */
  add(tab: ServerResponse, lastNumber: number | undefined): void {
    tab.write('retry: 2000\n\n')
    const known = lastNumber !== undefined && lastNumber === this.#number
    tab.write(this.#event(known ? [] : ['all']))
    this.#tabs.add(tab)
    tab.on('close', () => {
      this.#tabs.delete(tab)
      if (this.#tabs.size === 0) this.#stop()
    })
    this.#timer ??= setTimeout(() => void this.#tick(), PERIOD_MS)
  }

  close(): void {
    this.#stop()
    for (const tab of this.#tabs) tab.end()
    this.#tabs.clear()
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  async #tick(): Promise<void> {
    try {
      this.#queries += 1
      const stamps = await readStamps(this.#db)
      const before = this.#stamps
      this.#stamps = stamps
      const topics = before ? Object.keys(stamps).filter((topic) => stamps[topic] !== before[topic]) : []
      if (topics.length > 0 || performance.now() - this.#saidAt >= HEARTBEAT_MS) this.#say(topics)
      this.#problem = ''
    } catch (error) {
      // nothing is said: the tabs see for themselves that what they show grows old
      const problem = errorText(error)
      if (problem !== this.#problem) this.#log.warn(`pages are not told of changes: ${problem}`)
      this.#problem = problem
    }
    if (this.#timer !== undefined && this.#tabs.size > 0) this.#timer = setTimeout(() => void this.#tick(), PERIOD_MS)
    else this.#timer = undefined
  }

  /** Of what no table shows. */
  tell(topic: string): void {
    this.#say([topic])
  }

  #say(topics: readonly string[]): void {
    if (topics.length > 0) this.#number += 1
    this.#saidAt = performance.now()
    const event = this.#event(topics)
    for (const tab of this.#tabs) tab.write(event)
  }

  #event(topics: readonly string[]): string {
    return `id: ${this.#number}\ndata: ${JSON.stringify({ topics, at: new Date().toISOString() })}\n\n`
  }
}
