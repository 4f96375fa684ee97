// What the renumbering guard asks of the ledger, and how a message that has another UIDL now keeps its row.

import { sql } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'
import { archiveFormer, PARKED_ORDINAL, type LedgerKey } from './ledger.ts'
import type { GuardFigures, GuardState } from './schema.ts'

/** What left the listing longer ago than that is not looked for any more. */
const REMEMBERED = sql`interval '60 days'`
const RECOGNISABLE = sql`u.gone_at > now() - ${REMEMBERED} and u.fingerprint is not null and u.state in ('stored', 'skipped', 'quarantined')`

/** Messages that have left the listing, and could be recognised. */
export async function countVanished(db: DbOrTx, accountId: number): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from poststelle.maildrop_uidls u where u.account_id = ${accountId} and ${RECOGNISABLE}`.execute(
    db,
  )
  return rows[0]?.n ?? 0
}

/** Of these announced sizes, those that a vanished message had too: as it was announced, or as it was received. */
export async function vanishedSizes(db: DbOrTx, accountId: number, sizes: readonly number[]): Promise<Set<number>> {
  const { rows } = await sql<{ announced: number; received: number | null }>`
    select distinct u.size_bytes as announced, m.size_bytes as received
    from poststelle.maildrop_uidls u left join poststelle.messages m on m.id = u.message_id
    where u.account_id = ${accountId} and ${RECOGNISABLE}
      and (u.size_bytes = any(${[...sizes]}::bigint[]) or m.size_bytes = any(${[...sizes]}::bigint[]))`.execute(db)
  return new Set(rows.flatMap(({ announced, received }) => [announced, received ?? announced]))
}

export interface Twin extends LedgerKey {
  /** In hexadecimal digits. */
  readonly fingerprint: string
  readonly sizeBytes: number
}

/** Vanished messages with one of these fingerprints, oldest first. */
export async function findTwins(db: DbOrTx, accountId: number, fingerprints: readonly Buffer[]): Promise<Twin[]> {
  if (fingerprints.length === 0) return []
  const { rows } = await sql<{ uidl: string; ordinal: number; fingerprint: Buffer; size_bytes: number }>`
    select u.uidl, u.ordinal, u.fingerprint, u.size_bytes from poststelle.maildrop_uidls u
    where u.account_id = ${accountId} and ${RECOGNISABLE} and u.fingerprint = any(${[...fingerprints]}::bytea[])
    order by u.stored_at, u.uidl, u.ordinal`.execute(db)
  return rows.map(({ uidl, ordinal, fingerprint, size_bytes }) => ({
    uidl,
    ordinal,
    fingerprint: fingerprint.toString('hex'),
    sizeBytes: size_bytes,
  }))
}

export interface Adoption {
  readonly from: LedgerKey
  readonly to: LedgerKey & { readonly sizeBytes: number }
}

/** A message that has left the listing and has nothing in its headers to recognise it by, but has these bytes. */
export async function findGoneByBytes(db: DbOrTx, accountId: number, sha256: Buffer): Promise<LedgerKey | undefined> {
  const { rows } = await sql<LedgerKey>`
    select u.uidl, u.ordinal from poststelle.maildrop_uidls u where u.account_id = ${accountId}
      and u.gone_at > now() - ${REMEMBERED} and u.fingerprint is null and u.state = 'stored' and u.sha256 = ${sha256}
    order by u.stored_at, u.uidl, u.ordinal limit 1`.execute(db)
  return rows[0]
}

/** The row of the old UIDL goes on under the new one: what was stored is not stored again, what was left out stays out. */
export async function adoptUidls(tx: Tx, accountId: number, adoptions: readonly Adoption[]): Promise<void> {
  if (adoptions.length === 0) return
  const to = sql`unnest(${adoptions.map((one) => one.to.uidl)}::text[], ${adoptions.map((one) => one.to.ordinal)}::int[]) k (uidl, ordinal)`
  const renamed = sql`unnest(${adoptions.map(({ from }) => from.uidl)}::text[], ${adoptions.map(({ from }) => from.ordinal)}::int[],
    ${adoptions.map((one) => one.to.uidl)}::text[], ${adoptions.map((one) => one.to.ordinal)}::int[],
    ${adoptions.map((one) => one.to.sizeBytes)}::bigint[]) with ordinality k (uidl, ordinal, new_uidl, new_ordinal, size_bytes, n)`
  // out of the way first: the old key of one may be the new key of another
  await sql`
    update poststelle.maildrop_uidls u set ordinal = ${PARKED_ORDINAL} - k.n from ${renamed}
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal`.execute(tx)
  // of a message that was not to be had so far, or of which only the headers are here
  await sql`
    with replaced as (
      delete from poststelle.maildrop_uidls u using ${to}
      where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal
        and u.state in ('listed', 'skipped', 'quarantined', 'vanished') returning u.message_id, u.oversize
    ) delete from poststelle.messages m using replaced r where r.oversize and m.id = r.message_id and not m.complete`.execute(
    tx,
  )
  await archiveFormer(
    accountId,
    adoptions.map((one) => one.to),
  ).execute(tx)
  await sql`
    update poststelle.maildrop_uidls u set uidl = k.new_uidl, ordinal = k.new_ordinal, size_bytes = k.size_bytes, gone_at = null
    from ${renamed} where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = ${PARKED_ORDINAL} - k.n`.execute(
    tx,
  )
}

export async function setGuard(
  tx: DbOrTx,
  accountId: number,
  guard: GuardState | null,
  figures: GuardFigures | null,
): Promise<void> {
  await sql`
    update poststelle.maildrops set guard = ${guard}, guard_since = case when ${guard}::text is null then null else now() end,
      guard_figures = coalesce(${figures && JSON.stringify(figures)}::jsonb, guard_figures) where account_id = ${accountId}`.execute(
    tx,
  )
}

/** The operator's word; false where nothing waits for it. */
export async function decideGuard(tx: DbOrTx, accountId: number, decision: 'adopt' | 'reimport'): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.maildrops set guard = ${decision}, guard_since = now()
    where account_id = ${accountId} and guard = 'paused'`.execute(tx)
  return Boolean(numAffectedRows)
}
