// Events of outbound mail: triggers write them, and the tick of the dispatcher gives them the positions by which applications read.

import { sql } from 'kysely'
import type { Db, DbOrTx } from './database.ts'

const BATCH = 10_000
/** Looking in vain takes no more than this part of the time. */
const SHARE = 1 / 20

/** Returns the last position that was given now; null: nothing is new, or another process is at it. */
export async function numberOutboundEvents(db: DbOrTx): Promise<number | null> {
  const { rows } = await sql<{ position: number | null }>`
    select poststelle.number_outbound_events(${BATCH}) as position`.execute(db)
  return rows[0]?.position ?? null
}

/**
 * The same for a tick that comes several times a second. Rows that were numbered cannot be cleared away while an old snapshot is open, by a
 * backup for instance, and have to be passed over: where that takes long it is done less often.
 */
export class EventNumbering {
  readonly #db: Db
  readonly #nowMs: () => number
  #restUntil = -Infinity

  constructor(db: Db, nowMs: () => number = () => performance.now()) {
    this.#db = db
    this.#nowMs = nowMs
  }

  async tick(): Promise<void> {
    const began = this.#nowMs()
    if (began < this.#restUntil) return
    const position = await numberOutboundEvents(this.#db)
    if (position === null) this.#restUntil = began + (this.#nowMs() - began) / SHARE
  }
}
