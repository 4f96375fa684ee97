// Takes messages as they come off the wire and commits them in batches. Memory is bounded: a batch holds a few megabytes, and
// a message larger than that is spooled into the database piece by piece. While one batch commits, the next is received.

import { createHash } from 'node:crypto'
import { errorText, LeaseLost } from '../base/failure.ts'
import { refusedValues, type Database } from '../db/database.ts'
import { underLease, type Lease } from '../db/lanes.ts'
import { keyOf, ledgerKey, skipUidl, type LedgerKey } from '../db/ledger.ts'
import { appendSpool, beginSpool, CHUNK_BYTES, storeBatch, type NewMessage } from '../db/messages.ts'
import { HEADER_LIMIT_BYTES, summarise } from '../message/summary.ts'
import { Arena } from './arena.ts'
import { fingerprintOf } from './guard.ts'
import { adoptUidls, findGoneByBytes } from '../db/renumbering.ts'
import type { HashIdentity } from './hash-identity.ts'
import type { PlannedMessage } from './plan.ts'

const BATCH_MESSAGES = 250
const BATCH_BYTES = 2 * 1024 * 1024
const BATCH_MS = 1_000
const SPOOL_ABOVE_BYTES = 1024 * 1024
const SMALL_BYTES = 256 * 1024

export interface StoreCounts {
  stored: number
  skipped: number
  /** Received, and known already: by its bytes, or because another session was faster. */
  suppressed: number
}

/** A message turned out larger than the account allows, whatever was announced. */
export class TooLarge extends Error {
  override readonly name = 'TooLarge'
  /** Its headers, as far as they were received. */
  readonly head: Buffer

  constructor(begin: Buffer) {
    super('the message is larger than allowed')
    this.head = Buffer.from(headOf(begin))
  }
}

/** The headers and the empty line, as TOP shows them. */
function headOf(begin: Buffer): Buffer {
  const end = begin.indexOf('\r\n\r\n')
  return end < 0 ? begin : begin.subarray(0, end + 4)
}

const sha256Of = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

export class MessageStore {
  readonly counts: StoreCounts = { stored: 0, skipped: 0, suppressed: 0 }
  /** What this session has committed so far; a deletion policy may look at it. */
  readonly storedKeys = new Set<string>()
  readonly #database: Database
  readonly #lease: Lease
  readonly #maxMessageBytes: number
  #batch: NewMessage[] = []
  #bytes = 0
  #openedAt = 0
  #committing: Promise<void> = Promise.resolve()
  /** Of the batch that is being received, and of the one that is being committed. */
  #arena = new Arena(0)
  #otherArena = new Arena(0)

  constructor(database: Database, lease: Lease, options: { maxMessageBytes: number }) {
    this.#database = database
    this.#lease = lease
    this.#maxMessageBytes = options.maxMessageBytes
  }

  /** How much is going to come, by what was announced: memory is taken for that, or for a batch. */
  expect(bytes: number): void {
    const sizeBytes = Math.min(BATCH_BYTES + SMALL_BYTES, Math.ceil(bytes * 1.1) + SMALL_BYTES / 16)
    this.#arena = new Arena(sizeBytes)
    this.#otherArena = new Arena(sizeBytes)
  }

  /**
   * Reads one body to its end. Throws what the wire throws (the message is then not stored), what an earlier commit threw, or
   * TooLarge. `identity`: of a maildrop in which messages had no UIDL; one that has one now keeps its row.
   */
  async add(planned: PlannedMessage, body: AsyncIterable<readonly Buffer[]>, identity?: HashIdentity): Promise<void> {
    const { message } = await this.#receive(planned, body)
    if (message.sizeBytes === 0) return await this.skip(planned, 'the server sent an empty message')
    const { db } = this.#database
    const { accountId } = this.#lease
    const known =
      identity?.takeNameless(message.sha256) ??
      (message.fingerprint === null ? await findGoneByBytes(db, accountId, message.sha256) : undefined)
    if (!known) return await this.#enter(message)
    this.counts.suppressed += 1
    await underLease(db, this.#lease, (tx) => adoptUidls(tx, accountId, [{ from: known, to: planned }]))
  }

  /** The same where the message has no name of its own: its bytes say which it is. Returns its key; undefined for an empty one. */
  async addByHash(
    planned: PlannedMessage,
    body: AsyncIterable<readonly Buffer[]>,
    identity: HashIdentity,
  ): Promise<LedgerKey | undefined> {
    const { message, head } = await this.#receive(planned, body)
    if (message.sizeBytes === 0) return undefined
    const { key, known, replacesHeaders } = identity.identify(message.sha256, planned.uidl, sha256Of(head))
    if (known) this.counts.suppressed += 1 // where it was spooled, the sweep removes it
    else await this.#enter({ ...message, ...key, ...(replacesHeaders === true && { replacesHeaders }) })
    return key
  }

  /** In place of a message that is larger than the account allows; those that are here already are left out. */
  async addHeaders(
    planned: PlannedMessage,
    head: Buffer,
    reason: string,
    identity: HashIdentity | undefined,
  ): Promise<void> {
    const named = planned.uidl !== '' && planned.shared !== true
    const { key, known } = named
      ? { key: planned, known: false }
      : (identity?.identifyHead(sha256Of(head), planned.uidl) ?? { key: planned, known: true })
    if (known) return
    const summary = summarise(head)
    await this.#enter({
      ...keyOf(key),
      spooledAs: undefined,
      body: [head],
      sizeBytes: head.length,
      listedBytes: planned.sizeBytes,
      sha256: sha256Of(head),
      fingerprint: fingerprintOf(summary),
      ...summary,
      headersOnly: reason,
    })
  }

  async skip(planned: PlannedMessage, reason: string): Promise<void> {
    await skipUidl(this.#database.db, this.#lease.accountId, planned, reason)
    this.counts.skipped += 1
  }

  /** Commits what is left. Only then may anything be deleted on the server. */
  async finish(): Promise<void> {
    await this.#commitBehind()
    await this.#committing
  }

  async #enter(message: NewMessage): Promise<void> {
    if (this.#batch.length === 0) this.#openedAt = performance.now()
    this.#batch.push(message)
    this.#bytes += message.spooledAs === undefined ? message.sizeBytes : 0
    const full = this.#batch.length >= BATCH_MESSAGES || this.#bytes >= BATCH_BYTES
    if (full || performance.now() - this.#openedAt >= BATCH_MS) await this.#commitBehind()
  }

  async #commitBehind(): Promise<void> {
    await this.#committing // at most one commit behind the reception
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#bytes = 0
    ;[this.#arena, this.#otherArena] = [this.#otherArena, this.#arena]
    this.#arena.clear() // the commit before has ended
    this.#committing = this.#commit(batch)
    this.#committing.catch(() => undefined) // reported by the next add() or finish()
  }

  async #commit(batch: readonly NewMessage[]): Promise<void> {
    try {
      const stored = await storeBatch(this.#database, this.#lease, batch)
      const headers = batch.filter(
        (message) => message.headersOnly !== undefined && stored.has(ledgerKey(message)),
      ).length
      this.counts.stored += stored.size - headers
      this.counts.skipped += headers
      this.counts.suppressed += batch.length - stored.size
      for (const key of stored) this.storedKeys.add(key)
    } catch (error) {
      if (error instanceof LeaseLost || refusedValues(error) === undefined) throw error
      const [only] = batch
      if (batch.length > 1) {
        for (const message of batch) await this.#commit([message]) // one bad message does not spoil its batch
      } else if (only) {
        const message = { ...keyOf(only), sizeBytes: only.listedBytes }
        const reason = `could not be stored: ${errorText(error)}`
        await skipUidl(this.#database.db, this.#lease.accountId, message, reason)
        this.counts.skipped += 1
      }
    }
  }

  async #receive(
    planned: PlannedMessage,
    body: AsyncIterable<readonly Buffer[]>,
  ): Promise<{ message: NewMessage; head: Buffer }> {
    const hash = createHash('sha256')
    const { db, pool } = this.#database
    const arena = this.#arena
    arena.begin()
    let small = planned.sizeBytes <= SMALL_BYTES
    let pieces: Buffer[] = []
    let held = 0
    let sizeBytes = 0
    let head: Buffer | undefined
    let spooledAs: number | undefined
    let chunks = 0
    for await (const buffers of body) {
      for (const bytes of buffers) {
        hash.update(bytes)
        sizeBytes += bytes.length
        if (small && arena.add(bytes)) continue
        if (small) pieces.push(arena.moveOut())
        held = small ? sizeBytes : held + bytes.length
        small = false
        pieces.push(bytes)
      }
      if (this.#batch.length > 0 && performance.now() - this.#openedAt >= BATCH_MS) {
        // the others do not wait for this one; its memory goes with theirs, so it moves out
        if (small) pieces.push(arena.moveOut())
        held = small ? sizeBytes : held
        small = false
        await this.#commitBehind()
      }
      if (sizeBytes > this.#maxMessageBytes)
        throw new TooLarge(head ?? Buffer.concat([arena.taken, ...pieces]).subarray(0, HEADER_LIMIT_BYTES))
      if (held < SPOOL_ABOVE_BYTES) continue
      spooledAs ??= await beginSpool(db, this.#lease.accountId)
      const whole = Buffer.concat(pieces)
      head ??= Buffer.from(whole.subarray(0, HEADER_LIMIT_BYTES))
      const cut = whole.length - (whole.length % CHUNK_BYTES) // rows of equal size but for the last
      chunks += await appendSpool(pool, spooledAs, chunks, [whole.subarray(0, cut)])
      pieces = [Buffer.from(whole.subarray(cut))]
      held = whole.length - cut
    }
    const rest = small ? arena.taken : pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces)
    if (spooledAs !== undefined && rest.length > 0) await appendSpool(pool, spooledAs, chunks, [rest])
    head ??= rest.subarray(0, HEADER_LIMIT_BYTES)
    const summary = summarise(head)
    const message: NewMessage = {
      ...keyOf(planned),
      spooledAs,
      body: spooledAs === undefined ? [rest] : [],
      sizeBytes,
      listedBytes: planned.sizeBytes,
      sha256: hash.digest(),
      fingerprint: fingerprintOf(summary),
      ...summary,
      ...(planned.replacesHeaders === true && { replacesHeaders: true }),
    }
    return { message, head: headOf(head) }
  }
}
