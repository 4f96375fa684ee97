// Maildrops and their ledger: which UIDLs were ever listed, and what became of each.

import { sql } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'
import type { LedgerState } from './schema.ts'

export interface Maildrop {
  readonly pollIntervalSeconds: number
  readonly deleteAfterDays: number | null
  readonly loginDelaySeconds: number
  /** undefined: it was never listed, or something was left to do. */
  readonly listing: Listing | undefined
  /** The ledger has messages to delete or to try again. */
  readonly pending: boolean
}

/** How a maildrop looked when it was last listed whole. */
export interface Listing {
  readonly listedAt: Date
  readonly count: number
  readonly sizeBytes: number
  /** Of the highest message number; null where the maildrop was empty. */
  readonly lastUidl: string | null
}

export interface LedgerEntry {
  readonly state: LedgerState
  /** It was skipped, and it is time to try again: in five sessions, then hourly, then daily, for ever. */
  readonly retry: boolean
  /** The account's policy says that the server's copy may go. */
  readonly deletable: boolean
}

export interface LedgerKey {
  readonly uidl: string
  readonly ordinal: number
}

/** One text for (uidl, ordinal), for maps. A UIDL has no blank (RFC 1939 section 7); where a server sends one, the last blank counts. */
export const ledgerKey = (key: LedgerKey): string => `${key.uidl} ${key.ordinal}`

export async function loadMaildrop(db: DbOrTx, accountId: number): Promise<Maildrop | undefined> {
  const row = await db
    .selectFrom('maildrops as d')
    .selectAll()
    .select(
      sql<boolean>`exists (select from poststelle.maildrop_uidls u where u.account_id = d.account_id and (u.state = 'delete_intent'
          or u.state = 'stored' and u.stored_at <= now() - d.delete_after_days * interval '1 day'))
        or exists (select from poststelle.maildrop_uidls u where u.account_id = d.account_id and u.state = 'skipped')`.as(
        'pending',
      ),
    )
    .where('account_id', '=', accountId)
    .executeTakeFirst()
  return (
    row && {
      pollIntervalSeconds: row.poll_interval_seconds,
      deleteAfterDays: row.delete_after_days,
      loginDelaySeconds: row.login_delay_seconds,
      listing:
        row.listed_at === null || row.listed_count === null || row.listed_size_bytes === null
          ? undefined
          : {
              listedAt: row.listed_at,
              count: row.listed_count,
              sizeBytes: row.listed_size_bytes,
              lastUidl: row.listed_last_uidl,
            },
      pending: row.pending,
    }
  )
}

const TRIED_OFTEN = 5
const TRIED_VERY_OFTEN = 50

/** The ledger of one account, without what is known to be gone from the server. */
export async function loadLedger(db: DbOrTx, accountId: number): Promise<Map<string, LedgerEntry>> {
  const { rows } = await sql<{
    uidl: string
    ordinal: number
    state: LedgerState
    retry: boolean
    deletable: boolean
  }>`
    select u.uidl, u.ordinal, u.state,
      u.state = 'skipped' and u.retry_at <= now() as retry,
      u.state in ('stored', 'delete_intent') and d.delete_after_days is not null
        and u.stored_at <= now() - d.delete_after_days * interval '1 day' as deletable
    from poststelle.maildrop_uidls u join poststelle.maildrops d on d.account_id = u.account_id
    where u.account_id = ${accountId} and u.state <> 'deleted'`.execute(db)
  return new Map(rows.map(({ uidl, ordinal, ...entry }) => [ledgerKey({ uidl, ordinal }), entry]))
}

/** A message that could not be retrieved or stored: one row with the reason; the others go on. */
export async function skipUidl(
  tx: DbOrTx,
  accountId: number,
  key: LedgerKey,
  sizeBytes: number,
  reason: string,
): Promise<void> {
  await sql`
    insert into poststelle.maildrop_uidls as u (account_id, uidl, ordinal, state, size_bytes, reason, attempts, retry_at)
    values (${accountId}, ${key.uidl}, ${key.ordinal}, 'skipped', ${sizeBytes}, ${reason.slice(0, 1_000)}, 1, now())
    on conflict (account_id, uidl, ordinal) do update set attempts = u.attempts + 1, reason = excluded.reason,
      retry_at = now() + case when u.attempts + 1 < ${TRIED_OFTEN} then interval '0' when u.attempts + 1 < ${TRIED_VERY_OFTEN}
        then interval '1 hour' else interval '1 day' end
      where u.state = 'skipped'`.execute(tx)
}

/** Before DELE is sent: after a crash it is known which copies may have gone. */
export async function intendDelete(tx: DbOrTx, accountId: number, keys: readonly LedgerKey[]): Promise<void> {
  await markUidls(tx, accountId, keys, sql`state = 'delete_intent'`)
}

/** Only after QUIT was answered +OK, or when a later listing lacks what we meant to delete. */
export async function markDeleted(tx: DbOrTx, accountId: number, keys: readonly LedgerKey[]): Promise<void> {
  await markUidls(tx, accountId, keys, sql`state = 'deleted', deleted_at = now()`)
}

async function markUidls(
  tx: DbOrTx,
  accountId: number,
  keys: readonly LedgerKey[],
  set: ReturnType<typeof sql>,
): Promise<void> {
  if (keys.length === 0) return
  await sql`
    update poststelle.maildrop_uidls u set ${set}
    from unnest(${keys.map((key) => key.uidl)}::text[], ${keys.map((key) => key.ordinal)}::int[]) k (uidl, ordinal)
    where u.account_id = ${accountId} and u.uidl = k.uidl and u.ordinal = k.ordinal
      and u.state in ('stored', 'delete_intent')`.execute(tx)
}

export async function savePoll(
  tx: Tx,
  accountId: number,
  poll: { loginDelaySeconds: number; listing: Listing | undefined },
): Promise<void> {
  await tx
    .updateTable('maildrops')
    .set({
      last_poll_at: sql<Date>`now()`,
      listed_at: poll.listing?.listedAt ?? null,
      listed_count: poll.listing?.count ?? null,
      listed_size_bytes: poll.listing?.sizeBytes ?? null,
      listed_last_uidl: poll.listing?.lastUidl ?? null,
      login_delay_seconds: poll.loginDelaySeconds,
    })
    .where('account_id', '=', accountId)
    .execute()
}
