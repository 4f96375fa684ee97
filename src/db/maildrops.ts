// Maildrops: the policies of each, how it looked when it was last listed, and what the renumbering guard found.

import { sql, type Selectable } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'
import { hostOfAccount } from './host-breakers.ts'
import type { Lease } from './lanes.ts'
import { FITS_NOW, MAY_GO } from './ledger.ts'
import type { GuardFigures, GuardState, Tables } from './schema.ts'

/** What the operator chose; the fields of the account file. */
export interface MaildropPolicy {
  readonly pollIntervalSeconds: number
  /** Set: the interval grows up to this while nothing arrives. */
  readonly pollIntervalMaxSeconds: number | null
  readonly deleteAfterDays: number | null
  readonly deleteAfterAck: boolean
  readonly firstSync: 'all' | 'from_now' | 'last_days'
  readonly firstSyncDays: number | null
  readonly maxSessionMessages: number
  readonly maxSessionBytes: number
  readonly maxMessageBytes: number
  /** Without mail for longer than this the mailbox is said to be silent; null: as its habits tell. */
  readonly freshnessMinutes: number | null
  /** Set: mail goes from the account to itself this often. */
  readonly canaryMinutes: number | null
}

export interface Maildrop {
  readonly policy: MaildropPolicy
  readonly currentIntervalSeconds: number | null
  readonly loginDelaySeconds: number
  readonly lastPollAt: Date | null
  /** undefined: it was never listed, or something was left to do. */
  readonly listing: Listing | undefined
  /** null: it was never listed to its end. */
  readonly firstSyncDoneAt: Date | null
  /** The server has no UIDL: messages are known by their bytes. */
  readonly hashIdentity: boolean
  /** The message at which the last session with such a server stopped: the next one begins behind it. */
  readonly hashResumeAfter: number | null
  readonly guard: GuardState | null
  readonly guardFigures: GuardFigures | null
  /** The host's breaker is open, or this account's last session with the host failed. */
  readonly hostTrouble: boolean
  /** The ledger has messages to retrieve, to try again or to delete. */
  readonly pending: boolean
}

/** How a maildrop looked when it was last listed whole. */
export interface Listing {
  readonly listedAt: Date
  readonly count: number
  readonly sizeBytes: number
  /** Of the highest message number; null where the maildrop was empty. */
  readonly lastUidl: string | null
  /** Of the whole UIDL reply. */
  readonly digest: Buffer | null
}

const SOME_ROW = sql`exists (select from poststelle.maildrop_uidls u where u.account_id = d.account_id and u.gone_at is null`

/** For a maildrop `d`: whether something is left to do. Every poll asks: each part has an index that holds little else. */
export const PENDING = sql<boolean>`${SOME_ROW} and u.state = 'listed')
  or ${SOME_ROW} and u.retry_at <= now() and not u.oversize)
  or ${SOME_ROW} and u.oversize and ${FITS_NOW})
  or (d.delete_after_days is not null or d.delete_after_ack) and ${SOME_ROW} and ${MAY_GO})`

export const HOST_TROUBLE = sql<boolean>`exists (select from poststelle.host_failures f
    where f.account_id = d.account_id and f.direction = 'receive')
  or exists (select from poststelle.host_breakers b join poststelle.accounts a on a.id = d.account_id
    where b.direction = 'receive' and b.host = ${hostOfAccount('receive')})`

export async function loadMaildrop(db: DbOrTx, accountId: number): Promise<Maildrop | undefined> {
  const row = await db
    .selectFrom('maildrops as d')
    .selectAll()
    .select([PENDING.as('pending'), HOST_TROUBLE.as('host_trouble')])
    .where('account_id', '=', accountId)
    .executeTakeFirst()
  return row && toMaildrop(row)
}

export type MaildropRow = Selectable<Tables['maildrops']> & {
  readonly pending: boolean
  readonly host_trouble: boolean
}

export function toMaildrop(row: MaildropRow): Maildrop {
  const { listed_at, listed_count, listed_size_bytes, listed_last_uidl, listed_digest } = row
  return {
    policy: {
      pollIntervalSeconds: row.poll_interval_seconds,
      pollIntervalMaxSeconds: row.poll_interval_max_seconds,
      deleteAfterDays: row.delete_after_days,
      deleteAfterAck: row.delete_after_ack,
      firstSync: row.first_sync,
      firstSyncDays: row.first_sync_days,
      maxSessionMessages: row.max_session_messages,
      maxSessionBytes: row.max_session_bytes,
      maxMessageBytes: row.max_message_bytes,
      freshnessMinutes: row.freshness_minutes,
      canaryMinutes: row.canary_minutes,
    },
    currentIntervalSeconds: row.current_interval_seconds,
    loginDelaySeconds: row.login_delay_seconds,
    lastPollAt: row.last_poll_at,
    listing:
      listed_at === null || listed_count === null || listed_size_bytes === null
        ? undefined
        : {
            listedAt: listed_at,
            count: listed_count,
            sizeBytes: listed_size_bytes,
            lastUidl: listed_last_uidl,
            digest: listed_digest,
          },
    firstSyncDoneAt: row.first_sync_done_at,
    hashIdentity: row.hash_identity,
    hashResumeAfter: row.hash_resume_after,
    guard: row.guard,
    guardFigures: row.guard_figures,
    hostTrouble: row.host_trouble,
    pending: row.pending,
  }
}

export async function saveMaildropPolicy(tx: Tx, accountId: number, policy: MaildropPolicy): Promise<void> {
  const columns = {
    poll_interval_seconds: policy.pollIntervalSeconds,
    poll_interval_max_seconds: policy.pollIntervalMaxSeconds,
    delete_after_days: policy.deleteAfterDays,
    delete_after_ack: policy.deleteAfterAck,
    first_sync: policy.firstSync,
    first_sync_days: policy.firstSyncDays,
    max_session_messages: policy.maxSessionMessages,
    max_session_bytes: policy.maxSessionBytes,
    max_message_bytes: policy.maxMessageBytes,
    freshness_minutes: policy.freshnessMinutes,
    canary_minutes: policy.canaryMinutes,
  }
  await tx
    .insertInto('maildrops')
    .values({ account_id: accountId, ...columns })
    .onConflict((oc) => oc.column('account_id').doUpdateSet(columns))
    .execute()
}

/** What a session leaves behind; undefined fields stay as they are. */
export interface PollTrace {
  readonly loginDelaySeconds: number
  readonly currentIntervalSeconds: number | null
  /** undefined: the next session lists again. */
  readonly listing: Listing | undefined
  readonly firstSyncDoneAt: Date | null
  readonly hashIdentity: boolean
  readonly hashResumeAfter: number | null
  readonly guard: GuardState | null
}

/** `busy`: it brought mail. */
export async function savePoll(tx: Tx, accountId: number, poll: PollTrace, busy: boolean): Promise<void> {
  await tx
    .updateTable('maildrops')
    .set({
      last_poll_at: sql<Date>`now()`,
      pulse: sql<string>`right(pulse || ${busy ? '+' : '.'}, 48)`,
      listed_at: poll.listing?.listedAt ?? null,
      listed_count: poll.listing?.count ?? null,
      listed_size_bytes: poll.listing?.sizeBytes ?? null,
      listed_last_uidl: poll.listing?.lastUidl ?? null,
      listed_digest: poll.listing?.digest ?? null,
      login_delay_seconds: poll.loginDelaySeconds,
      current_interval_seconds: poll.currentIntervalSeconds,
      first_sync_done_at: poll.firstSyncDoneAt,
      hash_identity: poll.hashIdentity,
      hash_resume_after: poll.hashResumeAfter,
      ...(poll.guard === null && { guard: null, guard_since: null }),
    })
    .where('account_id', '=', accountId)
    .execute()
}

/**
 * Settles, in one statement, a session in which nothing had changed, of an account in which nothing is wrong. false: it was not
 * such a one, nothing was written, and the long way has to be gone. Throws nothing where the lease was lost: then it is false too.
 */
export async function settleQuietPoll(
  db: DbOrTx,
  lease: Lease,
  poll: { now: Date; nextAt: Date; currentSeconds: number | null },
): Promise<boolean> {
  const { rows } = await sql`
    with released as (
      update poststelle.lanes l set lease_token = null, lease_until = null, lease_worker = null, dispatched_until = null,
        due_at = case when l.woken_at is null then ${poll.nextAt}::timestamptz else now() end, woken_at = null
      from poststelle.account_health h
      where l.account_id = ${lease.accountId} and l.lane = ${lease.lane} and l.lease_token = ${lease.token} and l.lease_until > now()
        and l.parked_until is null and h.account_id = l.account_id and h.direction = 'receive' and h.state = 'ok' and h.failures = 0
        and h.probes = 0 and not exists (select from poststelle.health_flags f where f.account_id = l.account_id
          and f.direction = 'receive' and f.cleared_at is null and f.stage not in ('ledger', 'silence'))
      returning l.account_id
    ), maildrop as (
      update poststelle.maildrops d set last_poll_at = now(), current_interval_seconds = ${poll.currentSeconds}, pulse = right(d.pulse || '.', 48)
      from released r where d.account_id = r.account_id
    ), health as (
      update poststelle.account_health h set last_ok_at = ${poll.now}, last_run_at = now()
      from released r where h.account_id = r.account_id and h.direction = 'receive'
    ) select from released`.execute(db)
  return rows.length > 0
}

/** A poll that failed, in the pulse of the maildrop. */
export async function notePollFailed(tx: Tx, accountId: number): Promise<void> {
  await sql`update poststelle.maildrops set pulse = right(pulse || 'x', 48) where account_id = ${accountId}`.execute(tx)
}

/** A session with a server without UIDL broke at this message. */
export async function saveHashResume(db: DbOrTx, accountId: number, after: number): Promise<void> {
  await db.updateTable('maildrops').set({ hash_resume_after: after }).where('account_id', '=', accountId).execute()
}
