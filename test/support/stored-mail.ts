// Mail that is stored and waits for parsing, without a POP3 server: what a test of parsing begins with.

import { createHash } from 'node:crypto'
import { sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'
import { summarise } from '../../src/message/summary.ts'

const CHUNK_BYTES = 256 * 1024

/** Stores raw messages as the receive lane does, and returns their ids. */
export async function storeMail(db: Db, accountId: number, raws: readonly (Buffer | string)[]): Promise<number[]> {
  const ids: number[] = []
  await db.transaction().execute(async (tx) => {
    for (const each of raws) {
      const raw = typeof each === 'string' ? Buffer.from(each) : each
      const summary = summarise(raw)
      const { id } = await tx
        .insertInto('messages')
        .values({
          account_id: accountId,
          size_bytes: raw.length,
          sha256: createHash('sha256').update(raw).digest(),
          internet_message_id: summary.internetMessageId,
          date_at: summary.dateAt,
          from_address: summary.fromAddress,
          from_name: summary.fromName,
          to_addresses: summary.toAddresses,
          subject: summary.subject,
        })
        .returning('id')
        .executeTakeFirstOrThrow()
      for (let chunk = 0; chunk * CHUNK_BYTES < raw.length; chunk++) {
        const bytes = raw.subarray(chunk * CHUNK_BYTES, (chunk + 1) * CHUNK_BYTES)
        await tx.insertInto('message_bodies').values({ message_id: id, chunk, bytes }).execute()
      }
      await tx.insertInto('parse_queue').values({ message_id: id, account_id: accountId }).execute()
      ids.push(id)
    }
    await sql`select pg_notify('poststelle_bell', ${`parse:${accountId}`})`.execute(tx)
  })
  return ids
}
