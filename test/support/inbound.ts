// Polls in this process against a popbox: for rows about what a server says, not about who is killed.

import { sql } from 'kysely'
import type { Clock } from '../../src/base/clock.ts'
import type { Logger } from '../../src/base/logger.ts'
import { pollMaildrop, type PollResult } from '../../src/retrieval/poll-maildrop.ts'
import { openHouse, type TestHouse } from './house.ts'
import { truths } from './kill-points.ts'
import { inspect, type Findings } from './oracle.ts'
import type { Pki } from './pki.ts'
import { startPopbox, type BoxOptions, type Popbox } from './popbox.ts'

export interface LedgerRow {
  readonly uidl: string
  readonly ordinal: number
  readonly state: string
  readonly reason: string | null
  readonly oversize: boolean
  readonly retry_at: Date | null
}

export interface OpenFlag {
  readonly flag: string
  readonly persistence: string
  readonly scope: string
  readonly evidence: string
}

export interface Inbound {
  readonly box: Popbox
  readonly house: TestHouse
  readonly user: string
  readonly id: (user?: string) => number
  /** One session, due or not. */
  readonly poll: (user?: string) => Promise<PollResult>
  /** The next session lists the maildrop whole, however it looks, and tries again what was skipped. */
  readonly relist: () => Promise<void>
  readonly ledger: (user?: string) => Promise<LedgerRow[]>
  readonly flags: (user?: string) => Promise<OpenFlag[]>
  /** When the account's next session may begin. */
  readonly nextAt: (user?: string) => Promise<Date>
  readonly inspect: () => Promise<Findings>
  readonly close: () => Promise<void>
}

export interface InboundOptions extends BoxOptions {
  readonly users?: readonly string[]
  /** Fields of every account. */
  readonly over?: object
  readonly clock?: Clock
  readonly log?: Logger
  /** TLS from the first byte, with its certificate. */
  readonly pki?: Pki
}

export async function openInbound(o: InboundOptions = {}): Promise<Inbound> {
  const { pki, clock, log } = o
  const box = await startPopbox({ ...(pki && { security: 'tls', tls: pki }), ...o })
  const house = await openHouse({ ...(pki && { caPem: pki.ca }), ...(clock && { clock }), ...(log && { log }) })
  const users = o.users ?? ['a@example.test']
  const [user = ''] = users
  const ids = new Map<string, number>()
  for (const { email, id } of await house.importAccounts(users.map((name) => box.account(name, o.over))))
    ids.set(email, id)
  const id = (name = user): number => ids.get(name) ?? 0
  return {
    box,
    house,
    user,
    id,
    poll: async (name) =>
      await pollMaildrop(house, await house.lease(id(name), 'receive'), AbortSignal.timeout(120_000)),
    async relist() {
      await sql`update poststelle.maildrops set listed_at = null, listed_digest = null`.execute(house.db)
      await sql`update poststelle.maildrop_uidls set retry_at = now() where retry_at is not null`.execute(house.db)
    },
    ledger: async (name) =>
      (
        await sql<LedgerRow>`select uidl, ordinal, state, reason, oversize, retry_at from poststelle.maildrop_uidls
          where account_id = ${id(name)} order by listed_at, uidl, ordinal`.execute(house.db)
      ).rows,
    flags: async (name) =>
      (
        await sql<OpenFlag>`select flag, persistence, scope, evidence from poststelle.health_flags
          where account_id = ${id(name)} and direction = 'receive' and cleared_at is null order by flag`.execute(
          house.db,
        )
      ).rows,
    nextAt: async (name) => {
      const { rows } = await sql<{ at: Date }>`select greatest(due_at, parked_until) as at from poststelle.lanes
        where account_id = ${id(name)} and lane = 'receive'`.execute(house.db)
      if (!rows[0]?.at) throw new Error('it is never due again')
      return rows[0].at
    },
    inspect: () => inspect(house.db, truths(box)),
    async close() {
      await house.close()
      await box.stop()
    },
  }
}

/** Opens, works, and closes whatever comes of it. */
export async function withInbound(o: InboundOptions, work: (inbound: Inbound) => Promise<string>): Promise<string> {
  const inbound = await openInbound(o)
  try {
    return await work(inbound)
  } finally {
    await inbound.close()
  }
}
