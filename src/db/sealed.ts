// Where sealed values lie: one list of all their places, what keys they were sealed with, and how one is replaced by itself under
// another key.

import { sql } from 'kysely'
import type { Db } from './database.ts'

export interface SealedPlace {
  readonly table: string
  /** Column of the row's id, which is part of what was sealed. */
  readonly id: string
  readonly column: string
  /** What the vault calls the column. */
  readonly name: string
}

/** A test compares it with the schema. */
export const SEALED_PLACES: readonly SealedPlace[] = [
  { table: 'grants', id: 'account_id', column: 'credential_sealed', name: 'credential' },
  { table: 'grants', id: 'account_id', column: 'access_token_sealed', name: 'access_token' },
  { table: 'oauth_clients', id: 'id', column: 'client_secret_sealed', name: 'client_secret' },
  { table: 'oauth_clients', id: 'id', column: 'next_secret_sealed', name: 'next_secret' },
  { table: 'sign_ins', id: 'id', column: 'verifier_sealed', name: 'verifier' },
  { table: 'operators', id: 'id', column: 'totp_sealed', name: 'totp' },
  { table: 'notify_targets', id: 'id', column: 'secret_sealed', name: 'secret' },
  { table: 'notify_targets', id: 'id', column: 'previous_secret_sealed', name: 'previous_secret' },
]

export interface SealedValue {
  readonly id: number
  readonly sealed: string
}

const table = ({ table: name }: SealedPlace) => sql.raw(`poststelle.${name}`)

/** How many values each key has sealed, over all places. */
export async function countSealedByKey(db: Db): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const place of SEALED_PLACES) {
    const column = sql.ref(place.column)
    const { rows } = await sql<{ key: string; n: number }>`
      select split_part(${column}, '.', 2) as key, count(*)::int as n from ${table(place)} where ${column} is not null group by 1`.execute(
      db,
    )
    for (const { key, n } of rows) counts.set(key, (counts.get(key) ?? 0) + n)
  }
  return counts
}

/** The next values behind `after` that were not sealed with that key, in the order of ids. */
export async function sealedByOthers(
  db: Db,
  place: SealedPlace,
  keyId: string,
  after: number,
  most: number,
): Promise<SealedValue[]> {
  const [column, id] = [sql.ref(place.column), sql.ref(place.id)]
  const { rows } = await sql<SealedValue>`
    select ${id} as id, ${column} as sealed from ${table(place)}
    where ${column} is not null and split_part(${column}, '.', 2) <> ${keyId} and ${id} > ${after} order by ${id} limit ${most}`.execute(
    db,
  )
  return rows
}

/** Only over the value that was read: whoever has stored a newer one meanwhile wins. Returns whether it was replaced. */
export async function replaceSealed(db: Db, place: SealedPlace, old: SealedValue, sealed: string): Promise<boolean> {
  const [column, id] = [sql.ref(place.column), sql.ref(place.id)]
  const { numAffectedRows } = await sql`
    update ${table(place)} set ${column} = ${sealed} where ${id} = ${old.id} and ${column} = ${old.sealed}`.execute(db)
  return Boolean(numAffectedRows)
}

/** One value for every place and every key in use there. */
export async function sampleSealed(db: Db): Promise<{ place: SealedPlace; value: SealedValue }[]> {
  const samples: { place: SealedPlace; value: SealedValue }[] = []
  for (const place of SEALED_PLACES) {
    const [column, id] = [sql.ref(place.column), sql.ref(place.id)]
    const { rows } = await sql<SealedValue>`
      select distinct on (split_part(${column}, '.', 2)) ${id} as id, ${column} as sealed from ${table(place)}
      where ${column} is not null order by split_part(${column}, '.', 2), ${id}`.execute(db)
    samples.push(...rows.map((value) => ({ place, value })))
  }
  return samples
}
