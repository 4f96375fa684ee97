// Accepting mail for sending, for the command line and the API: the same functions that applications call.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'

export interface RawSubmission {
  readonly account: string
  readonly envelopeFrom: string
  readonly recipients: readonly string[]
  readonly raw: Buffer
  readonly idempotencyKey: string | null
  readonly sendAfter?: Date | null
  readonly priority?: number
}

export interface PartsSubmission {
  readonly account: string
  /** As docs/sql.md describes it. */
  readonly parts: object
  readonly idempotencyKey: string | null
  readonly sendAfter: Date | null
  readonly priority: number
}

/** Returns the id. What submit_message refuses is the database's error, with a SQLSTATE of class 22, 23 or P0. */
export async function submitMessage(db: DbOrTx, m: RawSubmission): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    select poststelle.submit_message(${m.account}, ${m.envelopeFrom}, ${[...m.recipients]}::text[], ${m.raw},
      ${m.idempotencyKey}, ${m.sendAfter ?? null}, ${m.priority ?? 0}) as id`.execute(db)
  return rows[0]?.id ?? 0
}

/** As submitMessage, for a message given in parts. */
export async function submitParts(db: DbOrTx, m: PartsSubmission): Promise<number> {
  const { rows } = await sql<{ id: number }>`
    select poststelle.submit_parts(${m.account}, ${JSON.stringify(m.parts)}::jsonb, ${m.idempotencyKey}, ${m.sendAfter},
      ${m.priority}) as id`.execute(db)
  return rows[0]?.id ?? 0
}
