// The first half of a session: the listing against the ledger, what is written down of it, and the renumbering guard.

import { Failure } from '../base/failure.ts'
import { holdLease } from '../db/lanes.ts'
import {
  leaveUidls,
  ledgerKey,
  loadLedger,
  markGone,
  recordListed,
  storedHashes,
  type Ledger,
  type LedgerKey,
} from '../db/ledger.ts'
import { countVanished, findTwins, setGuard, vanishedSizes } from '../db/renumbering.ts'
import type { GuardFigures, GuardState } from '../db/schema.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import { judge, sampleOf, suspicious } from './guard.ts'
import { isHashUidl } from './hash-identity.ts'
import type { Scan } from './list.ts'
import { compareListing, divide, type Candidate, type Division, type PlannedMessage } from './plan.ts'
import { cutoffOf, glimpse } from './screen.ts'
import type { SessionContext } from './session-context.ts'

export interface Compared extends Division {
  readonly remove: readonly Candidate[]
  /** Which of those to be retrieved are looked at before; the others are taken as they come. */
  readonly screen: (message: PlannedMessage) => boolean
  /** Vanished messages may be among them. */
  readonly twins: boolean
  readonly guard: GuardState | null
  /** What messages without a UIDL are compared with. */
  readonly storedHashes: ReadonlyMap<string, number>
  /** Deletable rows of messages that are known by their bytes. */
  readonly ledger: Ledger
}

const SAMPLE = 200

const NOTHING: Omit<Compared, 'ledger'> = {
  retrieve: [],
  oversize: [],
  remove: [],
  screen: () => false,
  twins: false,
  guard: null,
  storedHashes: new Map(),
}

/** Throws Failure with flag uidl_reset where somebody has to decide. */
export async function compare(s: SessionContext, scan: Scan, server: { slices: boolean }): Promise<Compared> {
  const { maildrop, ctx, lease } = s
  // not a byte of the reply has changed, and nothing was left to do
  if (
    scan.digest &&
    !maildrop.pending &&
    maildrop.guard === null &&
    scan.digest.equals(maildrop.listing?.digest ?? NO_DIGEST)
  )
    return { ...NOTHING, ledger: new Map() }
  const ledger = await loadLedger(ctx.db, lease.accountId)
  const { wanted, remove, gone } = compareListing(scan.named, ledger)
  const sizes =
    wanted.length === 0 ? new Map<number, number>() : await s.session.sizesOf(wanted.map((one) => one.number))
  const unknown = wanted
    .filter(({ mark }) => mark === undefined)
    .map((one) => ({ ...one, sizeBytes: sizes.get(one.number) ?? 0 }))
  const vanished = server.slices ? [] : gone.filter(({ uidl }) => !(scan.nameless.length > 0 && isHashUidl(uidl)))
  const known = await writeDown(s, unknown, vanished)
  const { retrieve, oversize } = divide(
    wanted.filter((one) => !known.has(ledgerKey(one))),
    sizes,
    maildrop.policy.maxMessageBytes,
  )
  const hashes = scan.nameless.length === 0 ? NOTHING.storedHashes : await hashesBeside(s, scan)
  const found = { retrieve, oversize, remove, storedHashes: hashes, ledger }
  if (maildrop.firstSyncDoneAt === null && maildrop.policy.firstSync === 'from_now') {
    await leaveUidls(
      ctx.db,
      lease.accountId,
      [...retrieve, ...oversize],
      'on the server before the first poll (first_sync from_now)',
    )
    return { ...NOTHING, ...found, retrieve: [], oversize: [] }
  }
  return { ...NOTHING, ...found, ...(await guarded(s, retrieve, scan.namedCount)) }
}

const NO_DIGEST = Buffer.alloc(0)

/** Returns what needs no retrieval, because the ledger knows it under that key. */
async function writeDown(
  { ctx, lease }: SessionContext,
  unknown: readonly (Candidate & { sizeBytes: number })[],
  gone: readonly LedgerKey[],
): Promise<ReadonlySet<string>> {
  if (unknown.length === 0 && gone.length === 0) return new Set()
  return await ctx.db.transaction().execute(async (tx) => {
    await holdLease(tx, lease)
    await markGone(tx, lease.accountId, gone)
    return await recordListed(tx, lease.accountId, unknown)
  })
}

async function hashesBeside({ ctx, lease }: SessionContext, scan: Scan): Promise<ReadonlyMap<string, number>> {
  const listed = new Set<string>()
  for (const { uidl } of scan.named) listed.add(uidl)
  return await storedHashes(ctx.db, lease.accountId, listed)
}

/** Whether messages are looked at before they are retrieved, because they may be old ones under new UIDLs. */
async function guarded(
  s: SessionContext,
  retrieve: readonly PlannedMessage[],
  listed: number,
): Promise<Pick<Compared, 'screen' | 'twins' | 'guard'>> {
  const { maildrop, ctx, lease } = s
  const { guard } = maildrop
  const screenDates = maildrop.firstSyncDoneAt === null && cutoffOf(maildrop, s.now) !== null
  if (guard === 'reimport' || retrieve.length === 0) return { screen: () => screenDates, twins: false, guard }
  if (guard === 'adopt') return { screen: () => true, twins: true, guard }
  const vanished = await countVanished(ctx.db, lease.accountId)
  if (vanished === 0 && guard === null) return { screen: () => screenDates, twins: false, guard: null }
  if (guard === 'paused' || suspicious({ listed, unknown: retrieve.length, vanished })) {
    const figures = guard === 'paused' ? maildrop.guardFigures : await sampled(s, retrieve, listed, vanished)
    if (figures) throw await paused(s, figures)
    await setGuard(ctx.db, lease.accountId, 'adopt', null)
    return { screen: () => true, twins: true, guard: 'adopt' }
  }
  // a few under new UIDLs among ordinary mail: only what has the size of a vanished one is worth a look
  const sizes = await vanishedSizes(ctx.db, lease.accountId, [...new Set(retrieve.map((one) => one.sizeBytes))])
  return { screen: (one) => screenDates || sizes.has(one.sizeBytes), twins: true, guard: null }
}

/** Compares a sample of headers; undefined where it is explained. */
async function sampled(
  { ctx, session, lease, maildrop, now }: SessionContext,
  retrieve: readonly PlannedMessage[],
  listed: number,
  vanished: number,
): Promise<GuardFigures | undefined> {
  const glimpses = await glimpse(session, sampleOf(retrieve, SAMPLE))
  const twins = await findTwins(
    ctx.db,
    lease.accountId,
    glimpses.flatMap(({ fingerprint }) => fingerprint ?? []),
  )
  const known = new Set(twins.map((twin) => twin.fingerprint))
  const cutoff = cutoffOf(maildrop, now)
  const sample = glimpses.map(({ fingerprint, dateAt }) => ({
    // what was not wanted then needs no twin
    matched: known.has(fingerprint?.toString('hex') ?? '') || (cutoff !== null && dateAt !== null && dateAt < cutoff),
    dateAt,
  }))
  const matched = sample.filter((one) => one.matched).length
  if (judge(sample, maildrop.lastPollAt) === 'adopt') return undefined
  return { listed, unknown: retrieve.length, vanished, compared: sample.length, matched }
}

/** Nothing is ingested until somebody decides; the lane is parked like any other that needs a human. */
async function paused({ ctx, lease, maildrop }: SessionContext, figures: GuardFigures): Promise<Failure> {
  if (maildrop.guard !== 'paused') await setGuard(ctx.db, lease.accountId, 'paused', figures)
  const { flag, scope, persistence } = flagEntryOf('uidl_reset')
  const { listed, unknown, vanished, compared, matched } = figures
  const evidence =
    `${unknown} of ${listed} messages are listed under UIDLs that are not known, ${vanished} known ones have gone; ` +
    `of ${compared} compared by their headers ${matched} are stored already`
  return new Failure({ flag, scope, persistence, blocks: ['receive'] }, { stage: 'pop3', step: 'uidl', evidence })
}
