// What one session does once it is logged in: compare, guard, screen, retrieve, delete by policy, quit.

import { HOUR_MS, MINUTE_MS } from '../base/clock.ts'
import { Failure, isStopping } from '../base/failure.ts'
import { underLease } from '../db/lanes.ts'
import { ledgerKey, markGone, markSeen, parseLedgerKey, type LedgerKey } from '../db/ledger.ts'
import { saveHashResume, type Maildrop } from '../db/maildrops.ts'
import { loginDelayOf, showsSlices } from '../oauth/provider-presets.ts'
import type { PopSession } from '../pop3/session.ts'
import { compare, type Compared } from './compare.ts'
import { list } from './list.ts'
import { goneUnless, type Nameless } from './nameless.ts'
import { capped, type PlannedMessage } from './plan.ts'
import { removeFromServer, type Removable } from './remove.ts'
import { cutoffOf, screen } from './screen.ts'
import type { Received, SessionContext } from './session-context.ts'
import { TooLarge } from './store-messages.ts'

const LIST_AT_LEAST_MS = HOUR_MS
/** After that a session ends in good order, with QUIT, and goes on in the next. */
const TURN_MS = 3 * MINUTE_MS

/** Throws Failure where the session ends before its work is done. */
export async function receive(s: SessionContext): Promise<Received> {
  const { session, maildrop, now } = s
  const stat = await session.stat()
  const asBefore: Received = {
    loginDelaySeconds: maildrop.loginDelaySeconds,
    listing: maildrop.listing,
    firstSyncDoneAt: maildrop.firstSyncDoneAt,
    hashIdentity: maildrop.hashIdentity,
    hashResumeAfter: maildrop.hashResumeAfter,
    guard: maildrop.guard,
    deleted: 0,
    more: false,
    quiet: true,
    slices: false,
    damaged: [],
  }
  if (await looksUnchanged(session, maildrop, stat, now)) {
    await session.quit()
    return asBefore
  }
  const capabilities = await session.capabilities()
  const loginDelaySeconds = loginDelayOf(capabilities)
  const slices = showsSlices(capabilities)
  const scan = await list(session, stat)
  const work = await compare(s, scan, { slices })
  const first = maildrop.firstSyncDoneAt === null

  const chosen = capped(work.retrieve, {
    messages: maildrop.policy.maxSessionMessages,
    bytes: maildrop.policy.maxSessionBytes,
  })
  const wanted = await screened(s, chosen.now, work)
  await storeHeaders(s, work)
  const { stopped, whole, ended, resumeAfter, keysByHash } = await retrieve(s, wanted, work.nameless)
  const more = chosen.more || stopped
  if (work.nameless && whole) await settleNameless(s, work, work.nameless.identity.seen)

  const removable = ended ? [] : toRemove(s, work, wanted, keysByHash)
  const { deleted, damaged, left } = await removeFromServer(s, removable)
  const complete = !more && left === 0 && deleted === 0 && s.store.counts.skipped === 0 && damaged.length === 0
  return {
    ...asBefore,
    loginDelaySeconds,
    listing: complete
      ? { listedAt: now, ...stat, lastUidl: scan.lastUidl, digest: work.nameless ? null : scan.digest }
      : undefined,
    firstSyncDoneAt: first && !more ? now : maildrop.firstSyncDoneAt,
    hashIdentity: scan.noUidl,
    hashResumeAfter: resumeAfter,
    guard: more ? work.guard : null,
    deleted,
    more,
    quiet: false,
    slices,
    damaged,
  }
}

/** Number, size and newest UIDL are as they were: then a listing of thousands would tell nothing. Hourly it is asked for anyway. */
async function looksUnchanged(
  session: PopSession,
  { listing, pending, guard, hashIdentity }: Maildrop,
  stat: { count: number; sizeBytes: number },
  now: Date,
): Promise<boolean> {
  if (!listing || pending || guard !== null) return false
  if (now.getTime() - listing.listedAt.getTime() > LIST_AT_LEAST_MS) return false
  if (stat.count !== listing.count || stat.sizeBytes !== listing.sizeBytes) return false
  return stat.count === 0 || hashIdentity || (await session.uidlOf(stat.count)) === listing.lastUidl
}

/** Those that may be known under another UIDL, or may be too old to be wanted, are looked at before. */
async function screened(
  s: SessionContext,
  chosen: readonly PlannedMessage[],
  work: Compared,
): Promise<PlannedMessage[]> {
  const doubtful = chosen.filter(work.screen)
  if (doubtful.length === 0) return [...chosen]
  const wanted = { twins: work.twins, cutoff: cutoff(s, work) }
  const { retrieve } = await screen(s.ctx, s.session, s.lease, doubtful, wanted)
  return [...chosen.filter((message) => !work.screen(message)), ...retrieve].toSorted((a, b) => a.number - b.number)
}

const cutoff = ({ maildrop, now }: SessionContext, { guard }: Compared): Date | null =>
  guard === 'adopt' || maildrop.firstSyncDoneAt === null ? cutoffOf(maildrop, now) : null

/** What is larger than the account allows stays on the server; its headers say what it is. */
async function storeHeaders(s: SessionContext, work: Compared): Promise<void> {
  const { session, store, maildrop } = s
  const { nameless } = work
  const twins = work.guard !== 'reimport'
  const { retrieve: named } = await screen(s.ctx, session, s.lease, work.oversize, { twins, cutoff: cutoff(s, work) })
  const tooLargeToo = (nameless?.messages ?? []).filter(({ sizeBytes }) => sizeBytes > maildrop.policy.maxMessageBytes)
  const byNumber = new Map([...named, ...tooLargeToo].map((message) => [message.number, message]))
  if (byNumber.size === 0) return
  for await (const top of session.tops([...byNumber.keys()], 0)) {
    const message = byNumber.get(top.number)
    if (!message) continue
    if (!('failure' in top))
      await store.addHeaders(message, top.head, tooLarge(message.sizeBytes, maildrop), nameless?.identity)
    else if (!isNameless(message)) await store.skip(message, top.failure.evidence)
  }
  await store.finish()
}

const tooLarge = (sizeBytes: number, { policy }: Maildrop): string =>
  `larger than this account allows: ${sizeBytes} bytes, ${policy.maxMessageBytes} are allowed (max_message_bytes); only the headers are stored`

interface Retrieved {
  /** Before everything was received, now or by the sessions before. */
  readonly stopped: boolean
  /** This session has received all of it. */
  readonly whole: boolean
  /** The session is over: nothing can be asked any more. */
  readonly ended: boolean
  /** The message without a name at which it stopped. */
  readonly resumeAfter: number | null
  /** Of messages without a name of their own, by number. */
  readonly keysByHash: ReadonlyMap<number, LedgerKey>
}

async function retrieve(
  s: SessionContext,
  named: readonly PlannedMessage[],
  nameless: Nameless | undefined,
): Promise<Retrieved> {
  const { session, store, signal, maildrop } = s
  const keysByHash = new Map<number, LedgerKey>()
  const fitting = (nameless?.messages ?? []).filter(({ sizeBytes }) => sizeBytes <= maildrop.policy.maxMessageBytes)
  const waiting = new Map([...named, ...fitting].map((message) => [message.number, message]))
  store.expect([...waiting.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
  const end = performance.now() + TURN_MS
  let refusal: Failure | undefined
  let reading: PlannedMessage | undefined
  try {
    for await (const message of session.retrieve([...waiting.keys()], (number) => waiting.get(number)?.sizeBytes)) {
      const planned = waiting.get(message.number)
      if (!planned) continue
      reading = planned
      if ('failure' in message) {
        refusal = message.failure
        if (planned.uidl !== '') await store.skip(planned, refusal.evidence)
      } else if (nameless && isNameless(planned)) {
        const key = await store.addByHash(planned, message.chunks, nameless.identity)
        if (key) keysByHash.set(planned.number, key)
      } else await store.add(planned, message.chunks, nameless?.identity)
      waiting.delete(message.number)
      if (performance.now() > end) break
    }
  } catch (error) {
    if (error instanceof TooLarge && reading) {
      // it goes on for nobody knows how long: this session ends here, and the next one leaves it where it is
      session.close()
      const sizeBytes = maildrop.policy.maxMessageBytes + 1
      const resumeAfter = isNameless(reading) ? reading.number : null
      if (resumeAfter === null)
        await store.addHeaders({ ...reading, sizeBytes }, error.head, tooLarge(sizeBytes, maildrop), undefined)
      await store.finish()
      return { stopped: waiting.size > 1, whole: false, ended: true, resumeAfter, keysByHash }
    }
    // the one that was being read may be what breaks the session: next time the others come first
    const [broke] = waiting.values()
    if (broke && error instanceof Failure && !isStopping(signal)) {
      if (broke.uidl !== '') await store.skip(broke, error.evidence)
      // without a name there is nothing to remember it by but its place
      if (isNameless(broke))
        await underLease(s.ctx.db, s.lease, (tx, accountId) => saveHashResume(tx, accountId, broke.number))
    }
    throw error
  }
  await store.finish()
  const [next] = waiting.values()
  const over = next === undefined || wentRound(next, nameless, maildrop.hashResumeAfter)
  const resumeAfter = !over && reading && isNameless(next) ? reading.number : null
  // where every single message was refused, it is not the messages' fault
  if (refusal && named.length > 1 && store.counts.stored === 0) throw refusal
  return { stopped: !over, whole: next === undefined, ended: false, resumeAfter, keysByHash }
}

/**
 * A maildrop without names that takes several sessions: this one began where the last one stopped, has come to the end, and `next` is
 * what they have received. Without that it would go round for ever.
 */
function wentRound(next: PlannedMessage, nameless: Nameless | undefined, resumedAfter: number | null): boolean {
  const first = nameless?.messages[0]
  return (
    isNameless(next) &&
    first !== undefined &&
    resumedAfter !== null &&
    first.number > resumedAfter &&
    next.number <= resumedAfter
  )
}

const isNameless = ({ uidl, shared = false }: PlannedMessage): boolean => uidl === '' || shared

/** All bytes were seen: what has no name and was not among them has gone. */
async function settleNameless(s: SessionContext, work: Compared, seen: ReadonlySet<string>): Promise<void> {
  await underLease(s.ctx.db, s.lease, async (tx, accountId) => {
    await markSeen(tx, accountId, [...seen].map(parseLedgerKey))
    await markGone(tx, accountId, goneUnless(work.perhapsGone, seen))
  })
}

/** What the policy lets go: stored long enough, acknowledged, or stored just now. */
function toRemove(
  { maildrop, store }: SessionContext,
  work: Compared,
  wanted: readonly PlannedMessage[],
  keysByHash: ReadonlyMap<number, LedgerKey>,
): Removable[] {
  const { deleteAfterDays, deleteAfterAck } = maildrop.policy
  const atOnce = deleteAfterDays === 0 && !deleteAfterAck
  const storedNow = (key: LedgerKey): boolean => atOnce && store.storedKeys.has(ledgerKey(key))
  const hashed = [...keysByHash].map(([number, key]) => ({ number, ...key }))
  const mayGo = (key: LedgerKey): boolean =>
    ['deletable', 'doomed'].includes(work.ledger.marks.get(ledgerKey(key)) ?? '')
  return [...work.remove, ...wanted.filter(storedNow), ...hashed.filter((one) => storedNow(one) || mayGo(one))]
}
