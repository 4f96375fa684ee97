// Everything a poll needs to know of its account, in one prepared statement: a quiet poll is little more than its statements.

import { sql } from 'kysely'
import { toAccount, type Account, type AccountRow } from './accounts.ts'
import type { Database } from './database.ts'
import { toGrant, type Grant, type GrantRow } from './grants.ts'
import { HOST_TROUBLE, PENDING, toMaildrop, type Maildrop, type MaildropRow } from './maildrops.ts'

export interface Receiving {
  readonly account: Account
  readonly maildrop: Maildrop
  readonly grant: Grant
}

const QUERY = sql`
  select d.*, g.*, t.parked_until, ${PENDING} as pending, ${HOST_TROUBLE} as host_trouble,
    c.provider as client_provider, c.token_endpoint, c.client_id, c.client_secret_sealed, a.*
  from poststelle.accounts a
    join poststelle.maildrops d on d.account_id = a.id
    join poststelle.grants g on g.account_id = a.id
    left join poststelle.oauth_clients c on c.id = a.oauth_client_id
    left join poststelle.lanes t on t.account_id = a.id and t.lane = 'token'
  where a.id = `

/** undefined: the account was deleted meanwhile, or receives nothing. */
export async function loadReceiving({ db, pool }: Database, accountId: number): Promise<Receiving | undefined> {
  const { sql: text, parameters } = sql`${QUERY}${accountId}`.compile(db)
  const { rows } = await pool.query<AccountRow & MaildropRow & GrantRow>({
    name: 'receiving',
    text,
    values: [...parameters],
  })
  const [row] = rows
  return row && { account: toAccount(row), maildrop: toMaildrop(row), grant: toGrant(row) }
}
