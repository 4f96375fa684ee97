// Questions to the ledger that prove or disprove that nothing is missing.

import { sql } from 'kysely'
import type { Db, DbOrTx } from './database.ts'
import type { LedgerKey } from './ledger.ts'
import type { LedgerState } from './schema.ts'

export type LedgerCounts = Readonly<Partial<Record<LedgerState, number>>>

/** Rows by state: of these keys, and of all others of the account. */
export async function countStates(
  db: DbOrTx,
  accountId: number,
  keys: readonly LedgerKey[],
): Promise<{ known: LedgerCounts; rest: LedgerCounts }> {
  const { rows } = await sql<{ listed: boolean; state: LedgerState; n: number }>`
    select k.uidl is not null as listed, u.state, count(*) as n
    from poststelle.maildrop_uidls u
      left join unnest(${keys.map((key) => key.uidl)}::text[], ${keys.map((key) => key.ordinal)}::int[]) k (uidl, ordinal)
        on k.uidl = u.uidl and k.ordinal = u.ordinal
    where u.account_id = ${accountId} group by 1, 2 order by 2`.execute(db)
  const counts = (listed: boolean): LedgerCounts =>
    Object.fromEntries(rows.filter((row) => row.listed === listed).map(({ state, n }) => [state, n]))
  return { known: counts(true), rest: counts(false) }
}

export interface Gap extends LedgerKey {
  readonly gap: 'waiting' | 'vanished' | 'bytes_missing'
  readonly sizeBytes: number
  readonly reason: string
}

/** Rows of the view ledger_gaps. */
export async function findGaps(db: DbOrTx, accountId: number): Promise<Gap[]> {
  const { rows } = await sql<Omit<Gap, 'sizeBytes'> & { size_bytes: number }>`
    select uidl, ordinal, gap, size_bytes, reason from poststelle.ledger_gaps where account_id = ${accountId}
    order by gap, uidl, ordinal`.execute(db)
  return rows.map(({ size_bytes, ...row }) => ({ ...row, sizeBytes: size_bytes }))
}

const SLICE = 500

/** Stored messages whose bytes are not what was received, or are not there. Reads all of them back. */
export async function damagedUidls(
  db: Db,
  accountId: number,
  onProgress: (checked: number, all: number) => void = () => undefined,
): Promise<LedgerKey[]> {
  const { rows: totals } = await sql<{ n: number }>`
    select count(*) as n from poststelle.messages where account_id = ${accountId}`.execute(db)
  const all = totals[0]?.n ?? 0
  const damaged: LedgerKey[] = []
  let after = 0
  for (let checked = 0; ;) {
    const { rows } = await sql<{ id: number; uidl: string | null; ordinal: number | null; same: boolean | null }>`
      select m.id, u.uidl, u.ordinal, m.sha256 = (select sha256(string_agg(b.bytes, ''::bytea order by b.chunk))
          from poststelle.message_bodies b where b.message_id = m.id) as same
      from (select id, account_id, sha256 from poststelle.messages where account_id = ${accountId} and id > ${after}
          order by id limit ${SLICE}) m
        left join poststelle.maildrop_uidls u on u.account_id = m.account_id and u.message_id = m.id
      order by m.id`.execute(db)
    for (const { id, uidl, ordinal, same } of rows)
      if (!same) damaged.push({ uidl: uidl ?? `message ${id}`, ordinal: ordinal ?? 1 })
    checked += rows.length
    onProgress(checked, all)
    if (rows.length < SLICE) return damaged
    after = rows.at(-1)?.id ?? after
  }
}
