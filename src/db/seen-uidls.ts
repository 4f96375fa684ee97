// UIDLs that another tool retrieved before us become rows of the ledger: nothing is retrieved for them.

import type { Database } from './database.ts'
import { copyRows } from './copy.ts'
import { holdLeaseOn, type Lease } from './lanes.ts'

export interface SeenUidl {
  /** Order in the file: equal UIDLs are counted by it. */
  readonly line: number
  readonly uidl: string
}

/**
 * Writes all of them or nothing. What the ledger has already stays as it is, but for what is only listed so far. `approve` is called
 * before anything is written, and throws where it must not be; `lease` undefined: it is tried only, and nothing stays. Returns how
 * many the ledger did not have. Throws LeaseLost.
 */
export async function recordSeen(
  { db, pool }: Database,
  accountId: number,
  batches: AsyncIterable<readonly SeenUidl[]>,
  options: { reason: string; lease: Lease | undefined; approve: () => void },
): Promise<number> {
  const client = await pool.connect()
  let broken: Error | undefined
  try {
    await client.query('begin')
    await client.query('create temporary table seen_uidls (line bigint, uidl text) on commit drop')
    for await (const batch of batches) {
      if (batch.length > 0)
        await copyRows(
          client,
          'pg_temp.seen_uidls (line, uidl)',
          batch.map(({ line, uidl }) => [{ int8: line }, uidl]),
        )
    }
    options.approve()
    const { rowCount } = await client.query(
      `insert into poststelle.maildrop_uidls as u (account_id, uidl, ordinal, state, size_bytes, reason)
       select $1, s.uidl, row_number() over (partition by s.uidl order by s.line), 'skipped', 0, $2 from pg_temp.seen_uidls s
       on conflict (account_id, uidl, ordinal) do update set state = 'skipped', reason = excluded.reason where u.state = 'listed'`,
      [accountId, options.reason],
    )
    // only now: until the commit the lane's row would be locked
    if (options.lease) await holdLeaseOn(client, db, options.lease)
    await client.query(options.lease ? 'commit' : 'rollback')
    return rowCount ?? 0
  } catch (error) {
    await client.query('rollback').catch((failed: Error) => {
      broken = failed
    })
    throw error
  } finally {
    client.release(broken)
  }
}
