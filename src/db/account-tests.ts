// Connection tests: kept for comparison, and asked whether the operator has had his try while the system keeps a lane parked.

import { sql } from 'kysely'
import type { Direction } from '../base/failure.ts'
import type { Db } from './database.ts'

const KEPT = 50

export interface StoredTest {
  readonly id: number
  readonly at: Date
  readonly outcome: 'passed' | 'failed' | 'incomplete'
  /** As they were given. */
  readonly steps: unknown
}

export async function saveTest(
  db: Db,
  accountId: number,
  test: { outcome: StoredTest['outcome']; steps: unknown; tried: ReadonlySet<Direction>; at: Date },
): Promise<void> {
  await db
    .insertInto('account_tests')
    .values({
      account_id: accountId,
      at: test.at,
      outcome: test.outcome,
      steps: JSON.stringify(test.steps),
      tried_receive: test.tried.has('receive'),
      tried_send: test.tried.has('send'),
    })
    .execute()
  await sql`
    delete from poststelle.account_tests where account_id = ${accountId} and id not in
      (select id from poststelle.account_tests where account_id = ${accountId} order by at desc, id desc limit ${KEPT})`.execute(
    db,
  )
}

/** The latest first. */
export async function listTests(db: Db, accountId: number): Promise<StoredTest[]> {
  return await db
    .selectFrom('account_tests')
    .select(['id', 'at', 'outcome', 'steps'])
    .where('account_id', '=', accountId)
    .orderBy('at', 'desc')
    .orderBy('id', 'desc')
    .execute()
}

/**
 * Until when a login of this direction has to wait; undefined: it may be tried now. A parked lane allows the operator one login, and
 * one more when the credential, the account or the app registration was changed since.
 */
export async function loginWaitsUntil(
  db: Db,
  accountId: number,
  direction: Direction,
  now: Date,
): Promise<Date | undefined> {
  const tried = direction === 'receive' ? sql`t.tried_receive` : sql`t.tried_send`
  const { rows } = await sql<{ until: Date }>`
    select l.parked_until as until from poststelle.lanes l
    join poststelle.account_health h on h.account_id = l.account_id and h.direction = l.lane
    join poststelle.accounts a on a.id = l.account_id
    left join poststelle.grants g on g.account_id = a.id
    left join poststelle.oauth_clients c on c.id = a.oauth_client_id
    where l.account_id = ${accountId} and l.lane = ${direction} and l.parked_until > ${now} and h.probes > 0
      and exists (select from poststelle.account_tests t where t.account_id = a.id and ${tried}
        and t.at > greatest(a.updated_at, g.granted_at, c.secret_changed_at, case when h.state = 'blocked' then h.since end))`.execute(
    db,
  )
  return rows[0]?.until
}
