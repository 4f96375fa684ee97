// The first half of a session: the listing against the ledger, what is written down of it, and the renumbering guard.

import { Failure } from '../base/failure.ts'
import { underLease } from '../db/lanes.ts'
import {
  leaveUidls,
  ledgerKey,
  loadLedger,
  markBack,
  markGone,
  recordListed,
  type Ledger,
  type LedgerKey,
} from '../db/ledger.ts'
import { countVanished, findTwins, setGuard, vanishedSizes } from '../db/renumbering.ts'
import type { GuardFigures, GuardState } from '../db/schema.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import { judge, sampleOf, suspicious } from './guard.ts'
import type { Scan } from './list.ts'
import { namelessOf, type Nameless } from './nameless.ts'
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
  /** Messages without a name of their own; undefined: there are none, and there were none. */
  readonly nameless: Nameless | undefined
  /** Gone, unless the bytes of one of those say otherwise. */
  readonly perhapsGone: readonly LedgerKey[]
  readonly ledger: Ledger
}

const SAMPLE = 200

const NO_LEDGER: Ledger = { marks: new Map(), shared: new Set(), nameless: false }
const NOTHING: Omit<Compared, 'ledger'> = {
  retrieve: [],
  oversize: [],
  remove: [],
  screen: () => false,
  twins: false,
  guard: null,
  nameless: undefined,
  perhapsGone: [],
}
const NO_DIGEST = Buffer.alloc(0)

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
    return { ...NOTHING, ledger: NO_LEDGER }
  const ledger = await loadLedger(ctx.db, lease.accountId)
  const { wanted, remove, shared, gone } = compareListing(scan.named, ledger)
  const asked = [...wanted, ...shared]
  const sizes = asked.length === 0 ? new Map<number, number>() : await s.session.sizesOf(asked.map((one) => one.number))
  const doubtful = scan.nameless.size > 0 || shared.length > 0
  const vanished = server.slices ? [] : gone
  const known = await writeGone(s, doubtful ? [] : vanished, wanted, sizes)
  const { retrieve, oversize } = divide(
    wanted.filter((one) => !known.has(ledgerKey(one))),
    sizes,
    maildrop.policy.maxMessageBytes,
  )
  const looks = await guarded(s, retrieve, ledger, scan.named.length)
  const unknown = asked.filter((one) => one.mark === undefined && !known.has(ledgerKey(one)))
  const unlisted = unknown.map((one) => ({ ...one, sizeBytes: sizes.get(one.number) ?? 0 }))
  if (unlisted.length > 0) await underLease(s.ctx.db, s.lease, (tx, accountId) => recordListed(tx, accountId, unlisted))
  if (maildrop.firstSyncDoneAt === null && maildrop.policy.firstSync === 'from_now') {
    const reason = 'on the server before the first poll (first_sync from_now)'
    await underLease(s.ctx.db, s.lease, (tx, accountId) =>
      leaveUidls(tx, accountId, [...retrieve, ...oversize, ...shared], reason),
    )
    return { ...NOTHING, remove, ledger }
  }
  const nameless = await namelessOf(ctx.db, lease, scan, shared, ledger, sizes, maildrop.hashResumeAfter)
  return { ...NOTHING, retrieve, oversize, remove, ledger, nameless, perhapsGone: doubtful ? vanished : [], ...looks }
}

/** Returns what needs no retrieval: it had only been thought gone. */
async function writeGone(
  s: SessionContext,
  gone: readonly LedgerKey[],
  wanted: readonly Candidate[],
  sizes: ReadonlyMap<number, number>,
): Promise<ReadonlySet<string>> {
  const unknown = wanted
    .filter(({ mark }) => mark === undefined)
    .map((one) => ({ ...one, sizeBytes: sizes.get(one.number) ?? 0 }))
  if (unknown.length === 0 && gone.length === 0) return new Set()
  return await underLease(s.ctx.db, s.lease, async (tx, accountId) => {
    await markGone(tx, accountId, gone)
    return await markBack(tx, accountId, unknown)
  })
}

/** Whether messages are looked at before they are retrieved, because they may be old ones under new UIDLs. */
async function guarded(
  s: SessionContext,
  retrieve: readonly PlannedMessage[],
  { marks }: Ledger,
  listed: number,
): Promise<Pick<Compared, 'screen' | 'twins' | 'guard'>> {
  const { maildrop, ctx, lease } = s
  const { guard } = maildrop
  const screenDates = maildrop.firstSyncDoneAt === null && cutoffOf(maildrop, s.now) !== null
  if (guard === 'reimport' || retrieve.length === 0) return { screen: () => screenDates, twins: false, guard }
  if (guard === 'adopt') return { screen: () => true, twins: true, guard }
  const vanished = await countVanished(ctx.db, lease.accountId)
  if (vanished === 0 && guard === null) return { screen: () => screenDates, twins: false, guard: null }
  // what waits since an earlier listing has the UIDL that it had then
  const unknown = retrieve.filter((one) => !marks.has(ledgerKey(one)))
  if (guard === 'paused' || suspicious({ listed, unknown: unknown.length, vanished })) {
    const figures = guard === 'paused' ? maildrop.guardFigures : await sampled(s, unknown, listed, vanished)
    if (figures) throw await paused(s, figures)
    await underLease(s.ctx.db, s.lease, (tx, accountId) => setGuard(tx, accountId, 'adopt', null))
    return { screen: () => true, twins: true, guard: 'adopt' }
  }
  // a few under new UIDLs among ordinary mail: only what has the size of a vanished one is worth a look
  const sizes = await vanishedSizes(ctx.db, lease.accountId, [...new Set(retrieve.map((one) => one.sizeBytes))])
  return { screen: (one) => screenDates || one.sizeBytes === 0 || sizes.has(one.sizeBytes), twins: true, guard: null }
}

/** Compares a sample of headers; undefined where it is explained. */
async function sampled(
  { ctx, session, lease, maildrop, now }: SessionContext,
  unknown: readonly PlannedMessage[],
  listed: number,
  vanished: number,
): Promise<GuardFigures | undefined> {
  const glimpses = await glimpse(session, sampleOf(unknown, SAMPLE))
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
  return { listed, unknown: unknown.length, vanished, compared: sample.length, matched }
}

/** Nothing is ingested until somebody decides; the lane is parked like any other that needs a human. */
async function paused(s: SessionContext, figures: GuardFigures): Promise<Failure> {
  if (s.maildrop.guard !== 'paused')
    await underLease(s.ctx.db, s.lease, (tx, accountId) => setGuard(tx, accountId, 'paused', figures))
  const { flag, scope, persistence } = flagEntryOf('uidl_reset')
  const { listed, unknown, vanished, compared, matched } = figures
  const evidence =
    `${unknown} of ${listed} messages are listed under UIDLs that are not known, ${vanished} known ones have gone; ` +
    `of ${compared} compared by their headers ${matched} are stored already`
  return new Failure({ flag, scope, persistence, blocks: ['receive'] }, { stage: 'pop3', step: 'uidl', evidence })
}
