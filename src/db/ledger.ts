// The ledger: one row for every UIDL a maildrop has ever listed, and what became of it. Identity is (account, UIDL, ordinal among
// equal UIDLs). Rows outlive their messages.

import { sql } from 'kysely'
import type { DbOrTx } from './database.ts'
import type { LedgerState } from './schema.ts'

export interface LedgerKey {
  readonly uidl: string
  readonly ordinal: number
}

export const keyOf = ({ uidl, ordinal }: LedgerKey): LedgerKey => ({ uidl, ordinal })

/** One text for (uidl, ordinal), for maps. A UIDL has no control characters. */
export const ledgerKey = ({ uidl, ordinal }: LedgerKey): string => (ordinal === 1 ? uidl : `${uidl}\n${ordinal}`)

export function parseLedgerKey(key: string): LedgerKey {
  const end = key.indexOf('\n')
  return end < 0 ? { uidl: key, ordinal: 1 } : { uidl: key.slice(0, end), ordinal: Number(key.slice(end + 1)) }
}

/**
 * What a ledger row means for the session: 'known' nothing, 'listed' not retrieved yet, 'retry' to be tried again now, 'oversize'
 * only its headers are here, and the account allows more now, 'deletable' the server's copy may go, 'doomed' DELE was sent or about to be, and may go again,
 * 'intended' likewise, but the policy does not want it any more.
 */
export type LedgerMark = 'known' | 'listed' | 'retry' | 'oversize' | 'deletable' | 'doomed' | 'intended'

const MARKS: Readonly<Record<string, LedgerMark>> = {
  k: 'known',
  l: 'listed',
  r: 'retry',
  o: 'oversize',
  d: 'deletable',
  D: 'doomed',
  i: 'intended',
}

/** What is on the server as far as we know. */
export interface Ledger {
  /** By ledgerKey. */
  readonly marks: ReadonlyMap<string, LedgerMark>
  /** UIDLs of which several messages were listed. */
  readonly shared: ReadonlySet<string>
  /** Some messages had no UIDL: their rows are named by what they hold. */
  readonly nameless: boolean
}

/** How rows of messages without a UIDL are named: by their bytes, or by the headers of one that is too large. */
export const BY_BYTES = 'sha256:'
export const BY_HEADERS = 'top:'

/**
 * The whole ledger of one account but for what is known to be gone. It comes as one text: a hundred thousand rows of their own
 * would cost the driver more than everything else in the session.
 */
export async function loadLedger(db: DbOrTx, accountId: number): Promise<Ledger> {
  const { rows } = await sql<{ ledger: string | null; shared: string[] | null; nameless: boolean | null }>`
    select bool_or(starts_with(u.uidl, ${BY_BYTES}) or starts_with(u.uidl, ${BY_HEADERS})) as nameless, array_agg(distinct u.uidl) filter (where u.ordinal > 1) as shared, string_agg(case
        when u.state = 'listed' then 'l'
        when u.state in ('skipped', 'quarantined') then case
          when u.oversize then case when ${FITS_NOW} then 'o' else 'k' end
          when u.retry_at <= now() then 'r' else 'k' end
        when ${MAY_GO} then case u.state when 'delete_intent' then 'D' else 'd' end
        when u.state = 'delete_intent' then 'i'
        else 'k' end || u.uidl || case u.ordinal when 1 then '' else E'\n' || u.ordinal end, E'\t') as ledger
    from poststelle.maildrop_uidls u join poststelle.maildrops d on d.account_id = u.account_id
    where u.account_id = ${accountId} and u.state not in ('deleted', 'vanished') and u.gone_at is null`.execute(db)
  const marks = new Map<string, LedgerMark>()
  const text = rows[0]?.ledger ?? ''
  for (let at = 0; at < text.length;) {
    const tab = text.indexOf('\t', at)
    const end = tab < 0 ? text.length : tab
    marks.set(text.slice(at + 1, end), MARKS[text.charAt(at)] ?? 'known')
    at = end + 1
  }
  return { marks, shared: new Set(rows[0]?.shared), nameless: rows[0]?.nameless ?? false }
}

/** The maildrop `d` allows the whole of `u` now, of which only the headers are here; in vain it was tried as often as others. */
export const FITS_NOW = sql`u.size_bytes <= d.max_message_bytes and (u.retry_at is null or u.retry_at <= now())`

/** The policy of the maildrop `d` allows the server's copy of `u` to go: old enough, and acknowledged where that is asked for. */
export const MAY_GO = sql`u.state in ('stored', 'delete_intent') and (d.delete_after_days is not null or d.delete_after_ack)
    and u.stored_at <= now() - coalesce(d.delete_after_days, 0) * interval '1 day'
    and (not d.delete_after_ack or exists (select from poststelle.messages m where m.id = u.message_id and m.acknowledged_at is not null))`

export interface ListedMessage extends LedgerKey {
  readonly sizeBytes: number
}

const SLICE = 10_000

/** Rows that are about to get another key stand below all others, those of history at ordinals from 0 down. */
export const PARKED_ORDINAL = -1_000_000

/**
 * Makes room for another message under the key of one that was deleted or has gone: the old row stays, as history, under an ordinal
 * below 1.
 */
export const archiveFormer = (accountId: number, keys: readonly LedgerKey[]) => sql`
  update poststelle.maildrop_uidls u set ordinal = least(1, (select min(v.ordinal) from poststelle.maildrop_uidls v
    where v.account_id = u.account_id and v.uidl = u.uidl and v.ordinal > ${PARKED_ORDINAL})) - 1
  from ${keysOf(keys)} where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal
    and (u.state = 'deleted' or u.state = 'stored' and u.gone_at is not null)`

/** Writes down that these were listed. */
export async function recordListed(tx: DbOrTx, accountId: number, messages: readonly ListedMessage[]): Promise<void> {
  for (let at = 0; at < messages.length; at += SLICE) {
    const slice = messages.slice(at, at + SLICE)
    await sql`
      insert into poststelle.maildrop_uidls (account_id, uidl, ordinal, state, size_bytes)
      select ${accountId}, k.uidl, k.ordinal, 'listed', k.size_bytes
      from unnest(${slice.map((m) => m.uidl)}::text[], ${slice.map((m) => m.ordinal)}::int[],
        ${slice.map((m) => m.sizeBytes)}::bigint[]) k (uidl, ordinal, size_bytes)
      on conflict do nothing`.execute(tx)
  }
}

/** A complete listing lacked these: what we had meant to delete is deleted, what was never retrieved has vanished. */
export async function markGone(tx: DbOrTx, accountId: number, keys: readonly LedgerKey[]): Promise<void> {
  if (keys.length === 0) return
  await sql`
    update poststelle.maildrop_uidls u set
      state = case u.state when 'delete_intent' then 'deleted' when 'listed' then 'vanished' else u.state end,
      deleted_at = case u.state when 'delete_intent' then now() end,
      gone_at = case u.state when 'delete_intent' then null else now() end
    from ${keysOf(keys)} where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal
      and u.state not in ('deleted', 'vanished') and u.gone_at is null`.execute(tx)
}

const keysOf = (keys: readonly LedgerKey[]) =>
  sql`unnest(${keys.map((key) => key.uidl)}::text[], ${keys.map((key) => key.ordinal)}::int[]) k (uidl, ordinal)`

const TRIED_OFTEN = 5
const TRIED_VERY_OFTEN = 50

/**
 * A message that could not be retrieved or stored: one row with the reason; the others go on. It is tried again in the next
 * sessions, after five times it is quarantined and tried hourly, later daily.
 */
export async function skipUidl(tx: DbOrTx, accountId: number, message: ListedMessage, reason: string): Promise<void> {
  await sql`
    insert into poststelle.maildrop_uidls as u (account_id, uidl, ordinal, state, size_bytes, reason, attempts, retry_at)
    values (${accountId}, ${message.uidl}, ${message.ordinal}, 'skipped', ${message.sizeBytes}, ${reason.slice(0, 1_000)}, 1, now())
    on conflict (account_id, uidl, ordinal) do update set attempts = u.attempts + 1, reason = excluded.reason,
      state = case when u.attempts + 1 < ${TRIED_OFTEN} then 'skipped' else 'quarantined' end,
      retry_at = now() + case when u.attempts + 1 < ${TRIED_OFTEN} then interval '0'
        when u.attempts + 1 < ${TRIED_VERY_OFTEN} then interval '1 hour' else interval '1 day' end
      where u.state in ('listed', 'skipped', 'quarantined', 'vanished')`.execute(tx)
}

/** Left on the server for a reason that does not go away by itself: never retrieved unless the reason is taken back. */
export async function leaveUidls(
  tx: DbOrTx,
  accountId: number,
  messages: readonly (LedgerKey & { readonly fingerprint?: Buffer })[],
  reason: string,
): Promise<void> {
  if (messages.length === 0) return
  await sql`
    update poststelle.maildrop_uidls u set state = 'skipped', retry_at = null, reason = ${reason},
      fingerprint = coalesce(k.fingerprint, u.fingerprint)
    from unnest(${messages.map((m) => m.uidl)}::text[], ${messages.map((m) => m.ordinal)}::int[],
      ${messages.map((m) => m.fingerprint ?? null)}::bytea[]) k (uidl, ordinal, fingerprint)
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal and u.state in ('listed', 'skipped', 'quarantined')`.execute(
    tx,
  )
}

/** Before DELE is sent: after a crash it is known which copies may have gone. */
export async function intendDelete(tx: DbOrTx, accountId: number, keys: readonly LedgerKey[]): Promise<void> {
  await sql`
    update poststelle.maildrop_uidls u set state = 'delete_intent' from ${keysOf(keys)}
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal and u.state = 'stored'`.execute(tx)
}

/** Only after QUIT was answered +OK. */
export async function markDeleted(tx: DbOrTx, accountId: number, keys: readonly LedgerKey[]): Promise<void> {
  if (keys.length === 0) return
  await sql`
    update poststelle.maildrop_uidls u set state = 'deleted', deleted_at = now(), gone_at = null from ${keysOf(keys)}
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal
      and u.state in ('stored', 'delete_intent')`.execute(tx)
}

/**
 * Which of these have their bytes here, undamaged: read back and hashed by the database. A message whose row was removed on
 * purpose counts as whole; one whose bytes are missing or other than they were does not. With the sizes that the server may give
 * for each: as it announced it, and as it was received.
 */
export async function intactUidls(
  db: DbOrTx,
  accountId: number,
  keys: readonly LedgerKey[],
): Promise<ReadonlyMap<string, readonly number[]>> {
  const { rows } = await sql<LedgerKey & { announced: number; received: number | null }>`
    select u.uidl, u.ordinal, u.size_bytes as announced, m.size_bytes as received
    from poststelle.maildrop_uidls u join ${keysOf(keys)} on u.uidl = k.uidl and u.ordinal = k.ordinal
      left join poststelle.messages m on m.id = u.message_id
    where u.account_id = ${accountId} and (m.id is null or u.sha256 = (select sha256(string_agg(b.bytes, ''::bytea order by b.chunk))
      from poststelle.message_bodies b where b.message_id = m.id))`.execute(db)
  return new Map(rows.map((row) => [ledgerKey(row), [row.announced, row.received ?? row.announced]]))
}

export interface LedgerNotes {
  readonly oversize: number
  /** Could not be retrieved or stored, time and again. */
  readonly quarantined: number
}

/** What the operator should know of the ledger, on the server still. */
export async function ledgerNotes(db: DbOrTx, accountId: number): Promise<LedgerNotes> {
  const { rows } = await sql<LedgerNotes>`
    select (select count(*) from poststelle.maildrop_uidls where account_id = ${accountId} and oversize and gone_at is null) as oversize,
      (select count(*) from poststelle.maildrop_uidls where account_id = ${accountId} and state = 'quarantined' and gone_at is null)
        as quarantined`.execute(db)
  return rows[0] ?? { oversize: 0, quarantined: 0 }
}

export interface HashedRow extends LedgerKey {
  /** In hexadecimal digits. */
  readonly hash: string
  /** Of the headers: the message is larger than the account allowed. */
  readonly headersOnly: boolean
}

/** What a message without a name of its own is compared with: stored messages by their bytes, the others by their headers. */
export async function hashedRows(db: DbOrTx, accountId: number): Promise<HashedRow[]> {
  const { rows } = await sql<HashedRow>`
    select uidl, ordinal, encode(sha256, 'hex') as hash, oversize as "headersOnly" from poststelle.maildrop_uidls
    where account_id = ${accountId} and sha256 is not null
      and (state in ('stored', 'delete_intent') or oversize and state in ('skipped', 'quarantined'))
    order by stored_at, uidl, ordinal`.execute(db)
  return rows
}

export interface SharedRow extends LedgerKey {
  /** 'waiting': nothing is stored under it. 'left': it is not wanted. 'other': stored, or history. */
  readonly use: 'waiting' | 'left' | 'other'
}

/** All rows of UIDLs that several messages have. */
export async function sharedRows(db: DbOrTx, accountId: number, uidls: readonly string[]): Promise<SharedRow[]> {
  if (uidls.length === 0) return []
  const { rows } = await sql<SharedRow>`
    select uidl, ordinal, case when state in ('skipped', 'quarantined') and retry_at is null then 'left'
      when state in ('listed', 'skipped', 'quarantined', 'vanished') then 'waiting' else 'other' end as use
    from poststelle.maildrop_uidls where account_id = ${accountId} and uidl = any(${[...uidls]}::text[]) order by uidl, ordinal`.execute(
    db,
  )
  return rows
}

/** It was seen again, under whatever name. */
export async function markSeen(tx: DbOrTx, accountId: number, keys: readonly LedgerKey[]): Promise<void> {
  if (keys.length === 0) return
  await sql`
    update poststelle.maildrop_uidls u set gone_at = null from ${keysOf(keys)}
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal and u.gone_at is not null`.execute(
    tx,
  )
}

/**
 * What was listed again after it was thought gone. Returns the keys of those that need not be retrieved. A stored one of another size
 * may be another message under its UIDL: it is retrieved, and its bytes say whether it is.
 */
export async function markBack(
  tx: DbOrTx,
  accountId: number,
  messages: readonly ListedMessage[],
): Promise<ReadonlySet<string>> {
  if (messages.length === 0) return new Set()
  const { rows } = await sql<LedgerKey & { state: LedgerState }>`
    update poststelle.maildrop_uidls u set gone_at = null,
      state = case u.state when 'vanished' then 'listed' else u.state end,
      reason = case u.state when 'vanished' then null else u.reason end
    from unnest(${messages.map((one) => one.uidl)}::text[], ${messages.map((one) => one.ordinal)}::int[],
      ${messages.map((one) => one.sizeBytes)}::bigint[]) k (uidl, ordinal, size_bytes)
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal
      and (u.state = 'vanished' or u.gone_at is not null and (u.state <> 'stored' or u.size_bytes = k.size_bytes))
    returning u.uidl, u.ordinal, u.state`.execute(tx)
  return new Set(rows.filter(({ state }) => state !== 'listed').map(ledgerKey))
}
