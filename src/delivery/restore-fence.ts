// The restore fence: a database that was restored from a backup holds its mail until a human has looked, because what was sent since
// the backup would be sent again. It is recognised by the place it lies at, and by an epoch that is older than one seen before.

import { MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { UserError } from '../base/failure.ts'
import type { Logger } from '../base/logger.ts'
import type { Db } from '../db/database.ts'
import { advanceEpoch, fenceOutbound, readInstallation, type FenceResult } from '../db/installation.ts'
import type { FenceReason } from '../db/schema-outbound.ts'
import { readEpoch, writeEpoch } from './epoch-file.ts'

const LOOK_MS = 10 * SECOND_MS
/** After a pass mail may leave for so long, and the epoch goes on. */
const SENDING_MS = 2 * MINUTE_MS

export interface FenceContext {
  readonly db: Db
  readonly dataFolder: string
  readonly log: Logger
  /** Monotonic, in milliseconds. */
  readonly nowMs?: () => number
}

/** Undefined: it is the database that it was. `seenEpoch` undefined: this machine has not seen it before. Pure. */
export function judgeFence(
  row: { readonly epoch: number; readonly place: string; readonly foundPlace: string },
  seenEpoch: number | undefined,
): FenceReason | undefined {
  if (row.place !== row.foundPlace) return 'place'
  return seenEpoch !== undefined && row.epoch < seenEpoch ? 'epoch' : undefined
}

/** Looks at the database as it is, and holds its mail where it was restored. Returns what was done, and the epoch it has now. */
async function look(db: Db, seenEpoch: number | undefined, advance: boolean): Promise<Looked> {
  const row = await readInstallation(db)
  if (judgeFence(row, seenEpoch)) {
    const fenced = await fenceOutbound(db, (locked) => judgeFence(locked, seenEpoch), seenEpoch ?? 0)
    return { epoch: fenced.row.epoch, fenced }
  }
  return { epoch: advance ? await advanceEpoch(db) : row.epoch, fenced: undefined }
}

interface Looked {
  readonly epoch: number
  readonly fenced: FenceResult | undefined
}

/** An operator who has restored a database says so before it sends anything. Returns how many messages are held now. */
export async function fenceByHand({ db, dataFolder }: Pick<FenceContext, 'db' | 'dataFolder'>): Promise<number> {
  const { id } = await readInstallation(db)
  // a damaged file must not keep anybody from it, and is left as it is
  const seen = await readEpoch(dataFolder, id).catch(() => null)
  const { held, row } = await fenceOutbound(db, () => 'manual', seen ?? 0)
  if (seen !== null) await writeEpoch(dataFolder, id, row.epoch)
  return held
}

export class RestoreFence {
  readonly #o: FenceContext
  readonly #id: string
  readonly #nowMs: () => number
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #advancedAt = -Infinity
  #sendingUntil = -Infinity
  /** What this process has seen: the file may go while it lives. */
  #seen: number | undefined
  #lastProblem = ''

  private constructor(o: FenceContext, id: string, seen: number | undefined) {
    this.#o = o
    this.#id = id
    this.#seen = seen
    this.#nowMs = o.nowMs ?? (() => performance.now())
  }

  /** Looks before anything is sent, and every ten seconds. Throws UserError where the data folder cannot be read or written. */
  static async open(o: FenceContext): Promise<RestoreFence> {
    const { id } = await readInstallation(o.db)
    const fence = new RestoreFence(o, id, await readEpoch(o.dataFolder, id))
    const epoch = await fence.#look(true)
    await writeEpoch(o.dataFolder, id, epoch)
    fence.#timer = setInterval(() => {
      // whoever sends asks the database as well, and says what is wrong with it
      fence.look().catch(() => undefined)
    }, LOOK_MS)
    fence.#timer.unref()
    return fence
  }

  /**
   * Before mail is claimed, and before each final dot: looks, and goes on to a new epoch, where the last one is older than ten seconds. After a restore there is
   * nothing left to claim when it returns. Throws what the database throws.
   */
  async pass(): Promise<void> {
    this.#sendingUntil = this.#nowMs() + SENDING_MS
    if (this.#nowMs() - this.#advancedAt < LOOK_MS) return
    await this.#running?.catch(() => undefined) // it may have begun while nothing was sent
    await this.look()
  }

  /** While mail may leave the epoch goes on: a backup of this moment is older than what is sent after it. */
  async look(): Promise<void> {
    this.#running ??= this.#lookAndKeep(this.#nowMs() < this.#sendingUntil).finally(() => {
      this.#running = undefined
    })
    await this.#running
  }

  /** What was sent last lies behind a new epoch. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running?.catch(() => undefined)
    await this.#lookAndKeep(this.#sendingUntil > -Infinity)
  }

  async #lookAndKeep(advance: boolean): Promise<void> {
    // the file is written after the commit, so it is read before: what it says has been committed
    try {
      this.#raise(await readEpoch(this.#o.dataFolder, this.#id))
      const before = this.#seen
      const epoch = await this.#look(advance)
      if (before === undefined || epoch > before) await writeEpoch(this.#o.dataFolder, this.#id, epoch)
      this.#lastProblem = ''
    } catch (error) {
      // sending goes on without the file: this process remembers, and the place is compared in any case
      if (!(error instanceof UserError)) throw error
      if (error.message !== this.#lastProblem) this.#o.log.warn(error.message)
      this.#lastProblem = error.message
      await this.#look(advance)
    }
  }

  /** Returns the epoch. */
  async #look(advance: boolean): Promise<number> {
    const at = this.#nowMs()
    const { epoch, fenced } = await look(this.#o.db, this.#seen, advance)
    this.#raise(epoch)
    if (advance) this.#advancedAt = at
    if (fenced?.reason)
      this.#o.log.error(
        { reason: fenced.reason, held: fenced.held },
        'the database was restored: its outbound mail is held; see "poststelle outbox list --reason after_restore"',
      )
    return epoch
  }

  #raise(epoch: number | undefined): void {
    if (epoch !== undefined) this.#seen = Math.max(this.#seen ?? 0, epoch)
  }
}
