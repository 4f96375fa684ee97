// Parses the messages that wait in one parse lane, under its lease. A message that cannot be parsed is quarantined with its reason and
// holds nobody up; its raw bytes are stored in any case.

import { SECOND_MS } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { BlobWriter, discardBlobs, type ReceivedBlob } from '../db/blobs.ts'
import { LeaseLost } from '../base/failure.ts'
import { refusedValues, type Database, type Db } from '../db/database.ts'
import type { Lease } from '../db/lanes.ts'
import {
  claimForParsing,
  giveBackAttempts,
  readRawBody,
  releaseParseLane,
  settleContents,
  type NewContents,
  type WaitingMessage,
} from '../db/parsing.ts'
import type { ParsePool } from '../message/parse-pool.ts'
import type { ParsedMessage } from '../message/parse.ts'
import { reportFlag } from './report-flag.ts'

export interface ParseContext {
  readonly db: Db
  readonly database: Database
  readonly log: Logger
  readonly parsePool: ParsePool
}

export interface ParseResult {
  readonly parsed: number
  readonly quarantined: number
}

/** A lane with more to parse gives the others their turn after that. */
const TURN_MS = 30 * SECOND_MS
const BATCH = 20
/** What is parsed and not settled yet stays below this. */
const UNSETTLED_BYTES = 4 * 1024 * 1024
/** A message that broke its thread so often is quarantined. */
const MOST_ATTEMPTS = 2
/** So many attempts without a word of how they ended: they ended the whole process. One more, because a process may be killed by others. */
const MOST_CLAIMS = MOST_ATTEMPTS + 1

export async function parseLane(ctx: ParseContext, lease: Lease, signal: AbortSignal): Promise<ParseResult> {
  const turn = new Turn(ctx, lease, signal)
  while (!turn.over && (await turn.next())) continue
  await releaseParseLane(ctx.db, lease)
  return turn.result
}

class Turn {
  readonly #ctx: ParseContext
  readonly #lease: Lease
  readonly #signal: AbortSignal
  readonly #end = performance.now() + TURN_MS
  /** Claimed, and nothing is known of them yet. */
  readonly #open = new Set<number>()
  #unsettled: NewContents[] = []
  #unsettledBytes = 0
  #parsed = 0
  #quarantined = 0

  constructor(ctx: ParseContext, lease: Lease, signal: AbortSignal) {
    this.#ctx = ctx
    this.#lease = lease
    this.#signal = signal
  }

  get result(): ParseResult {
    return { parsed: this.#parsed, quarantined: this.#quarantined }
  }

  get over(): boolean {
    return this.#signal.aborted || performance.now() > this.#end
  }

  /** Works on the next few messages; false where none waits. */
  async next(): Promise<boolean> {
    const batch = await claimForParsing(this.#ctx.db, this.#lease, BATCH)
    for (const { id } of batch) this.#open.add(id)
    try {
      for (const message of batch) {
        if (this.over) break
        const contents = await this.#work(message)
        if (contents) await this.#keep(contents)
        else this.#open.delete(message.id)
      }
      await this.#settle()
    } catch (error) {
      // whatever it was (the database, the lease, the end of the service), the messages have done nothing
      if (!this.#signal.aborted) {
        await this.#giveBack().catch(() => undefined)
        throw error
      }
      await this.#settle()
    }
    await this.#giveBack()
    return batch.length > 0
  }

  async #giveBack(): Promise<void> {
    await giveBackAttempts(this.#ctx.db, [...this.#open])
    this.#open.clear()
  }

  /** Undefined: it stays in the queue, to be tried once more. */
  async #work(message: WaitingMessage): Promise<NewContents | undefined> {
    if (message.attempts > MOST_CLAIMS)
      return this.#quarantine(message, 'its parsing ended the process again and again')
    const blobs = new Blobs(this.#ctx.database)
    const raw = new RawBytes(this.#ctx.db, message)
    const outcome = await this.#ctx.parsePool.parse({
      source: raw.read(),
      write: (ordinal, bytes) => blobs.write(ordinal, bytes),
      raised: message.raisedLimits,
      signal: this.#signal,
    })
    if (outcome.state === 'parsed' && !raw.incomplete) {
      return contentsOf(message, outcome.message, await blobs.finish())
    }
    await discardBlobs(this.#ctx.db, await blobs.spooled())
    if (outcome.state === 'broken' && message.attempts < MOST_ATTEMPTS) {
      this.#ctx.log.warn(
        { message: message.id, reason: outcome.reason },
        'a message could not be parsed; it is tried once more',
      )
      return undefined
    }
    return this.#quarantine(
      message,
      outcome.state === 'parsed' ? 'some of its bytes are not in the database' : outcome.reason,
    )
  }

  #quarantine(message: Pick<WaitingMessage, 'id' | 'internetMessageId'>, reason: string): NewContents {
    this.#ctx.log.warn({ message: message.id, reason }, 'a message is quarantined')
    return {
      id: message.id,
      internetMessageId: message.internetMessageId,
      reason,
      kind: 'mail',
      inReplyTo: null,
      referenceIds: [],
      bodyText: null,
      bodyHtml: null,
      notes: [],
      attachments: [],
      reports: [],
    }
  }

  async #keep(contents: NewContents): Promise<void> {
    this.#unsettled.push(contents)
    this.#unsettledBytes += weight(contents)
    if (this.#unsettledBytes > UNSETTLED_BYTES) await this.#settle()
  }

  async #settle(): Promise<void> {
    const batch = this.#unsettled
    this.#unsettled = []
    this.#unsettledBytes = 0
    await this.#write(batch)
  }

  async #write(batch: readonly NewContents[]): Promise<void> {
    try {
      await settleContents(this.#ctx.database, this.#lease, batch)
    } catch (error) {
      const code = error instanceof LeaseLost ? undefined : refusedValues(error)
      const [only] = batch
      if (code === undefined || !only) throw error
      if (batch.length > 1) {
        for (const contents of batch) await this.#write([contents]) // one bad message does not spoil its batch
        return
      }
      if (only.reason !== null) throw error // even the bare fact is refused: it is not the message
      await discardBlobs(
        this.#ctx.db,
        only.attachments.flatMap(({ spooledAs }) => spooledAs ?? []),
      )
      await this.#write([this.#quarantine(only, `the database refuses what was read out of it (${code})`)])
      return
    }
    const quarantined = batch.filter(({ reason }) => reason !== null).length
    this.#quarantined += quarantined
    this.#parsed += batch.length - quarantined
    for (const { id } of batch) this.#open.delete(id)
  }
}

/** The raw bytes of one message, and whether all of them are there. */
class RawBytes {
  readonly #db: Db
  readonly #message: WaitingMessage
  #bytes = 0

  constructor(db: Db, message: WaitingMessage) {
    this.#db = db
    this.#message = message
  }

  async *read(): AsyncGenerator<Buffer> {
    for await (const bytes of readRawBody(this.#db, this.#message)) {
      this.#bytes += bytes.length
      yield bytes
    }
  }

  /** Of a message whose rest was left on the server nothing is missing. */
  get incomplete(): boolean {
    return this.#message.complete && this.#bytes < this.#message.sizeBytes
  }
}

/** The attachments of one message as they come, one after the other. */
class Blobs {
  readonly #database: Database
  readonly #writers = new Map<number, BlobWriter>()

  constructor(database: Database) {
    this.#database = database
  }

  async write(ordinal: number, bytes: Buffer): Promise<void> {
    let writer = this.#writers.get(ordinal)
    if (!writer) {
      writer = new BlobWriter(this.#database)
      this.#writers.set(ordinal, writer)
    }
    await writer.write(bytes)
    let held = 0
    for (const { heldBytes } of this.#writers.values()) held += heldBytes
    if (held > UNSETTLED_BYTES) for (const each of this.#writers.values()) await each.spill()
  }

  async finish(): Promise<ReadonlyMap<number, ReceivedBlob>> {
    const received = new Map<number, ReceivedBlob>()
    for (const [ordinal, writer] of this.#writers) received.set(ordinal, await writer.finish())
    return received
  }

  async spooled(): Promise<number[]> {
    return [...(await this.finish()).values()].flatMap(({ spooledAs }) => spooledAs ?? [])
  }
}

const NO_BYTES: ReceivedBlob = { bytes: Buffer.alloc(0), spooledAs: undefined }

function contentsOf(
  message: WaitingMessage,
  parsed: ParsedMessage,
  blobs: ReadonlyMap<number, ReceivedBlob>,
): NewContents {
  return {
    id: message.id,
    internetMessageId: message.internetMessageId ?? parsed.messageId,
    reason: null,
    kind: parsed.kind,
    inReplyTo: parsed.inReplyTo,
    referenceIds: parsed.referenceIds,
    bodyText: parsed.bodyText,
    bodyHtml: parsed.bodyHtml,
    notes: parsed.notes,
    attachments: parsed.attachments.map((attachment) => ({
      ...attachment,
      ...(blobs.get(attachment.ordinal) ?? NO_BYTES),
      sha256: Buffer.from(attachment.sha256),
    })),
    reports: parsed.reports.map((report) => ({ ...report, flag: reportFlag(report) })),
  }
}

const weight = ({ bodyText, bodyHtml, attachments }: NewContents): number =>
  (bodyText?.length ?? 0) + (bodyHtml?.length ?? 0) + attachments.reduce((sum, { bytes }) => sum + bytes.length, 0)
