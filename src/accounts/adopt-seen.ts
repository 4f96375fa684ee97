// Moving in: what another tool has retrieved is not retrieved again.

import { UserError } from '../base/failure.ts'
import type { Account } from '../db/accounts.ts'
import type { Database } from '../db/database.ts'
import { claimLane, laneDueAt, releaseLane } from '../db/lanes.ts'
import { recordSeen, type SeenUidl } from '../db/seen-uidls.ts'
import { readSeenList, type SeenOwner, type SeenTool } from './seen-lists.ts'

export interface SeenFile {
  readonly tool: SeenTool
  /** For messages. */
  readonly name: string
  readonly pieces: AsyncIterable<Buffer>
}

export interface AdoptOptions {
  readonly dryRun: boolean
  /** Unreadable lines are left out instead of stopping everything. */
  readonly skipBad: boolean
  /** As they stand in the file, where they are not those of the account. */
  readonly user?: string | undefined
  readonly host?: string | undefined
}

export interface AdoptedSeen {
  /** UIDLs of this maildrop in the file. */
  readonly read: number
  /** Of those, new to the ledger, or only listed so far. */
  readonly new: number
  readonly known: number
  /** Lines of other maildrops. */
  readonly others: number
  readonly unreadable: number
  /** The first of them, as people can use them. */
  readonly unreadableLines: readonly { line: number; reason: string }[]
}

const LINES_SHOWN = 20
const OTHERS_SHOWN = 5

/**
 * All of the file or nothing. Throws UserError where the account has no maildrop or is being polled, and where the file cannot be
 * used: lines that cannot be read, or none of this maildrop.
 */
export async function adoptSeen(
  ctx: { readonly database: Database; readonly workerId: number },
  account: Account,
  file: SeenFile,
  options: AdoptOptions,
): Promise<AdoptedSeen> {
  const { db } = ctx.database
  if (!account.pop3) throw new UserError(`account ${account.email} has no POP3 server`)
  const owner = seenOwner(account.pop3, options)
  const lane = { accountId: account.id, lane: 'receive' } as const
  const dueAt = await laneDueAt(db, lane)
  const lease = options.dryRun ? undefined : await claimLane(db, lane, ctx.workerId, { force: true })
  if (!lease && !options.dryRun)
    throw new UserError(`the maildrop of ${account.email} is being polled right now; try again when that is done`)
  try {
    const tally = new Tally()
    const fresh = await recordSeen(ctx.database, account.id, tally.count(readSeenList(file.pieces, file.tool, owner)), {
      reason: `retrieved earlier by ${file.tool} (adopt-seen)`,
      lease,
      approve: () => tally.approve(file.name, owner, options.skipBad),
    })
    return {
      read: tally.read,
      new: fresh,
      known: tally.read - fresh,
      others: tally.others,
      unreadable: tally.unreadable,
      unreadableLines: tally.unreadableLines,
    }
  } finally {
    if (lease) await releaseLane(db, lease, dueAt) // adopting is no reason to poll earlier or later
  }
}

/** In files of bytes, as the readers see them. */
export function seenOwner(
  pop3: { readonly username: string; readonly host: string },
  { user, host }: Pick<AdoptOptions, 'user' | 'host'>,
): SeenOwner {
  const bytes = (text: string): string => Buffer.from(text).toString('latin1')
  return { user: bytes(user ?? pop3.username), host: bytes(host ?? pop3.host) }
}

/** Passes on this maildrop's UIDLs and counts the rest. */
class Tally {
  read = 0
  others = 0
  unreadable = 0
  readonly unreadableLines: { line: number; reason: string }[] = []
  readonly #otherNames = new Set<string>()

  async *count(batches: ReturnType<typeof readSeenList>): AsyncGenerator<SeenUidl[]> {
    for await (const batch of batches) {
      const seen: SeenUidl[] = []
      for (const entry of batch) {
        if ('uidl' in entry) seen.push(entry)
        else if ('other' in entry) {
          this.others++
          if (this.#otherNames.size < OTHERS_SHOWN) this.#otherNames.add(entry.other)
        } else {
          this.unreadable++
          if (this.unreadableLines.length < LINES_SHOWN)
            this.unreadableLines.push({ line: entry.line, reason: entry.unreadable })
        }
      }
      this.read += seen.length
      yield seen
    }
  }

  approve(file: string, owner: SeenOwner, skipBad: boolean): void {
    if (this.unreadable > 0 && !skipBad) {
      const [first] = this.unreadableLines
      const rest = this.unreadable > 1 ? `, and ${this.unreadable - 1} more cannot be read` : ''
      throw new UserError(
        `${file}: line ${first?.line} ${first?.reason}${rest}; nothing was adopted; check that it is the right file, or add --skip-bad`,
      )
    }
    if (this.read === 0 && this.others > 0) {
      const names = [...this.#otherNames].map(readable).join(', ')
      throw new UserError(
        `${file}: has no line of ${readable(`${owner.user}@${owner.host}`)}, but of ${names}; --user and --host say which of them this account is`,
      )
    }
  }
}

const readable = (latin1: string): string =>
  Buffer.from(latin1, 'latin1')
    .toString('utf8')
    .replace(/[\p{Cc}\p{Cf}]/gu, '?')
    .slice(0, 200)
