// What has an end, as it lies in the tables: secrets of app registrations, grants, ways of signing in that are retired.

import { sql } from 'kysely'
import type { Provider } from '../base/failure.ts'
import type { Db, DbOrTx } from './database.ts'
import type { OAuthFlow, ProofKind } from './schema-credentials.ts'

export interface ClientEnd {
  readonly id: number
  readonly label: string
  readonly clientId: string
  readonly proofKind: ProofKind
  readonly expiresAt: Date | null
  readonly accounts: number
}

export interface GrantEnd {
  readonly accountId: number
  readonly email: string
  readonly provider: Provider
  readonly flow: OAuthFlow
  readonly grantedBy: OAuthFlow | null
  readonly grantedAt: Date | null
  readonly refreshedAt: Date | null
  readonly refreshExpiresAt: Date | null
  readonly refusedFlag: string | null
  readonly refusedAt: Date | null
}

export interface RunwayReading {
  readonly clients: readonly ClientEnd[]
  readonly grants: readonly GrantEnd[]
  /** Accounts of Microsoft that send with a password. */
  readonly passwordSenders: number
}

export async function readRunway(db: DbOrTx): Promise<RunwayReading> {
  const { rows: clients } = await sql<ClientEnd>`
    select c.id, c.label, c.client_id as "clientId", c.proof_kind as "proofKind", c.secret_expires_at as "expiresAt",
      count(a.id)::int as accounts
    from poststelle.oauth_clients c join poststelle.accounts a on a.oauth_client_id = c.id
    where c.proof_kind <> 'none' group by c.id order by c.id`.execute(db)
  const { rows: grants } = await sql<GrantEnd>`
    select a.id as "accountId", a.email, c.provider, a.oauth_flow as flow, g.granted_by as "grantedBy", g.granted_at as "grantedAt",
      g.refreshed_at as "refreshedAt", g.refresh_expires_at as "refreshExpiresAt", g.refusal ->> 'flag' as "refusedFlag",
      g.refused_at as "refusedAt"
    from poststelle.accounts a join poststelle.oauth_clients c on c.id = a.oauth_client_id
    join poststelle.grants g on g.account_id = a.id order by a.id`.execute(db)
  const { rows } = await sql<{ n: number }>`
    select count(*)::int as n from poststelle.accounts
    where provider = 'microsoft' and auth_type = 'password' and smtp_host is not null`.execute(db)
  return { clients, grants, passwordSenders: rows[0]?.n ?? 0 }
}

/** Returns whether it had not been announced before. */
export async function markWarned(
  db: Db,
  subject: string,
  endsAt: Date,
  thresholdDays: number,
  at: Date,
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    insert into poststelle.runway_warnings (subject, ends_at, threshold_days, warned_at)
    values (${subject}, ${endsAt}, ${thresholdDays}, ${at}) on conflict do nothing`.execute(db)
  return Boolean(numAffectedRows)
}
