// Compares the server's listing with the ledger and changes nothing: the proof, at the operator's word, that nothing is missing.

import { MINUTE_MS } from '../base/clock.ts'
import { UserError } from '../base/failure.ts'
import { openLoggedIn } from '../credentials/log-in.ts'
import type { Account } from '../db/accounts.ts'
import { claimLane, releaseLane, type Lease } from '../db/lanes.ts'
import { ledgerKey, type LedgerKey } from '../db/ledger.ts'
import { countStates, damagedUidls, findGaps, type Gap, type LedgerCounts } from '../db/reconciliation.ts'
import { PopSession } from '../pop3/session.ts'
import { list, type Scan } from './list.ts'
import type { PollContext } from './poll-maildrop.ts'

const DEADLINE_MS = 30 * MINUTE_MS

export interface Reconciliation {
  readonly server: {
    readonly messages: number
    readonly bytes: number
    /** Messages without a usable UIDL: known by their bytes only. */
    readonly withoutUidl: number
  }
  /** Messages on the server, by what the ledger says of them; `new`: it does not know them yet. */
  readonly onServer: LedgerCounts & { readonly new: number }
  /** Rows of messages that are not on the server. */
  readonly notOnServer: LedgerCounts
  readonly gaps: readonly Gap[]
  /** Stored, and not what was received; undefined: was not looked at. */
  readonly damaged?: readonly LedgerKey[]
}

/** `verify`: every stored message is read back and hashed. Throws UserError or Failure. */
export async function reconcile(
  ctx: PollContext,
  account: Account,
  options: { verify: boolean; onProgress?: (checked: number, all: number) => void },
): Promise<Reconciliation> {
  if (!account.pop3) throw new UserError(`account ${account.email} has no POP3 server`)
  const lease = await claimLane(ctx.db, { accountId: account.id, lane: 'receive' }, ctx.workerId, { force: true })
  if (!lease) throw new UserError(`the maildrop of ${account.email} is being polled right now; try again in a moment`)
  try {
    return await compareUnderLease({ ...ctx, command: true }, account, lease, options)
  } finally {
    await releaseLane(ctx.db, lease, ctx.clock.now())
  }
}

async function compareUnderLease(
  ctx: PollContext,
  account: Account,
  lease: Lease,
  options: { verify: boolean; onProgress?: (checked: number, all: number) => void },
): Promise<Reconciliation> {
  const { accountId } = lease
  const { stat, scan } = await look(ctx, account)
  const seen = new Map<string, number>()
  const keys: LedgerKey[] = []
  for (let i = 0; i < scan.named.length; i += 1) {
    const uidl = scan.named.uidlAt(i)
    const ordinal = (seen.get(uidl) ?? 0) + 1
    seen.set(uidl, ordinal)
    keys.push({ uidl, ordinal })
  }
  const { known, rest } = await countStates(ctx.db, accountId, keys)
  const listed = new Set(keys.map(ledgerKey))
  const gaps = (await findGaps(ctx.db, accountId)).filter((gap) => gap.gap !== 'waiting' || !listed.has(ledgerKey(gap)))
  const total = Object.values(known).reduce((sum, n) => sum + n, 0)
  return {
    server: { messages: stat.count, bytes: stat.sizeBytes, withoutUidl: scan.nameless.size },
    onServer: { ...known, new: keys.length - total },
    notOnServer: rest,
    gaps,
    ...(options.verify && { damaged: await damagedUidls(ctx.db, accountId, options.onProgress) }),
  }
}

async function look(
  ctx: PollContext,
  account: Account,
): Promise<{ stat: { count: number; sizeBytes: number }; scan: Scan }> {
  const { pop3 } = account
  if (!pop3) throw new UserError(`account ${account.email} has no POP3 server`)
  const signal = AbortSignal.timeout(DEADLINE_MS)
  const target = { ...pop3, provider: account.provider }
  const session = await openLoggedIn(ctx, account, pop3, () => PopSession.open(ctx.net, target, { signal }))
  try {
    const stat = await session.stat()
    const scan = await list(session, stat)
    await session.quit()
    return { stat, scan }
  } finally {
    session.close()
  }
}
