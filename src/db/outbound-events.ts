// Events of outbound mail: triggers write them, and the tick of the dispatcher gives them the positions by which applications read.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'

const BATCH = 10_000

/** Returns the last position that was given now; null: nothing is new, or another process is at it. */
export async function numberOutboundEvents(db: DbOrTx): Promise<number | null> {
  const { rows } = await sql<{ position: number | null }>`
    select poststelle.number_outbound_events(${BATCH}) as position`.execute(db)
  return rows[0]?.position ?? null
}
