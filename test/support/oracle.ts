// Compares what the POP3 server knows with what the tables say, and looks for what must never be in them.

import { sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'

/** What one server knows about one account, as sha256 in hex, one for each message. */
export interface Truth {
  readonly email: string
  readonly delivered: readonly string[]
  readonly onServer: readonly string[]
  /** By our DELE and QUIT. */
  readonly deleted: readonly string[]
}

export interface Findings {
  readonly delivered: number
  readonly stored: number
  /** Neither stored nor on the server. */
  readonly lost: number
  /** Still on the server and not stored. */
  readonly waiting: number
  readonly doubled: number
  /** Stored with bytes that no message on the server ever had. */
  readonly partial: number
  /** Removed from the server by us, and its bytes are not stored. */
  readonly deletedUnread: number
  /** Sentences. */
  readonly violations: readonly string[]
}

/** What a row promises after every disturbance, once the work is done. */
export const UNHARMED = { lost: 0, waiting: 0, doubled: 0, partial: 0, deletedUnread: 0, violations: [] } as const

export async function inspect(db: Db, truths: readonly Truth[]): Promise<Findings> {
  const { rows } = await sql<{ email: string; raw: string }>`
    select a.email, encode(sha256(poststelle.raw_message(m.id)), 'hex') as raw
    from poststelle.messages m join poststelle.accounts a on a.id = m.account_id where m.complete`.execute(db)
  const found = { delivered: 0, stored: 0, lost: 0, waiting: 0, doubled: 0, partial: 0, deletedUnread: 0 }
  for (const truth of truths) {
    const stored = counted(rows.filter(({ email }) => email === truth.email).map(({ raw }) => raw))
    const delivered = counted(truth.delivered)
    const onServer = counted(truth.onServer)
    found.delivered += truth.delivered.length
    for (const [sha, times] of stored) {
      found.stored += times
      if (!delivered.has(sha)) found.partial += times
    }
    for (const [sha, times] of delivered) {
      const copies = stored.get(sha) ?? 0
      const missing = Math.max(0, times - copies)
      const there = Math.min(missing, onServer.get(sha) ?? 0)
      found.waiting += there
      found.lost += missing - there
      found.doubled += Math.max(0, copies - times)
    }
    for (const [sha, times] of counted(truth.deleted))
      found.deletedUnread += Math.max(0, times - (stored.get(sha) ?? 0))
  }
  return { ...found, violations: await violations(db) }
}

function counted(sums: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const sum of sums) counts.set(sum, (counts.get(sum) ?? 0) + 1)
  return counts
}

/** Each returns rows that should not be. */
const INVARIANTS: Readonly<Record<string, string>> = {
  'a lease is held beyond its expiry':
    'select account_id, lane from poststelle.lanes where lease_token is not null and lease_until < now()',
  'the stored checksum is not that of the bytes': `select id from poststelle.messages where sha256 <> sha256(poststelle.raw_message(id)) and complete`,
  'the stored size is not that of the bytes': `select m.id from poststelle.messages m where m.complete
    and m.size_bytes <> (select sum(length(b.bytes)) from poststelle.message_bodies b where b.message_id = m.id)`,
  'a message has no row in the ledger': `select m.id from poststelle.messages m
    where not exists (select from poststelle.maildrop_uidls u where u.account_id = m.account_id and u.message_id = m.id)`,
  'two rows of the ledger that say stored name one message': `select message_id from poststelle.maildrop_uidls
    where state = 'stored' group by message_id having count(*) > 1`,
  'the ledger says stored and there is no such message': `select u.uidl from poststelle.maildrop_uidls u where u.state in ('stored', 'delete_intent', 'deleted')
    and not exists (select from poststelle.messages m where m.id = u.message_id and m.account_id = u.account_id)`,
  'ledger and message have different checksums': `select u.uidl from poststelle.maildrop_uidls u join poststelle.messages m on m.id = u.message_id
    where u.sha256 <> m.sha256 and m.complete`,
  'bytes belong to no message and to no spool': `select distinct message_id from poststelle.message_bodies b
    where not exists (select from poststelle.messages m where m.id = b.message_id)
      and not exists (select from poststelle.message_spools s where s.message_id = b.message_id)`,
  'the ledger has a gap': 'select account, uidl, gap from poststelle.ledger_gaps',
  'a deletion was begun and not finished': `select uidl from poststelle.maildrop_uidls where state = 'delete_intent'`,
}

async function violations(db: Db): Promise<string[]> {
  const found: string[] = []
  for (const [sentence, query] of Object.entries(INVARIANTS)) {
    const { rows } = await sql.raw<Record<string, unknown>>(query).execute(db)
    if (rows.length > 0) found.push(`${sentence}: ${rows.length}, e.g. ${JSON.stringify(rows[0])}`)
  }
  return found
}
