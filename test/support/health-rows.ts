// Accounts in numbers and the health they are in, as rows: what sessions write one by one, written at once.

import { sql } from 'kysely'
import type { Direction } from '../../src/base/failure.ts'
import type { Db } from '../../src/db/database.ts'

/** Accounts a1@domain, a2@domain ... that are well; with a client they are OAuth accounts of its tenant. */
export async function seedAccounts(
  db: Db,
  count: number,
  about: { domain: string; host?: string; clientId?: number; receive?: boolean; send?: boolean },
): Promise<number[]> {
  const { domain, host = `mail.${domain}`, clientId = null, receive = true, send = true } = about
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.accounts (email, provider, pop3_host, pop3_port, pop3_security, smtp_host, smtp_port, smtp_security, auth_type,
      oauth_client_id, oauth_flow)
    select 'a' || n || '@' || ${domain}::text, 'microsoft', case when ${receive} then ${host}::text end, case when ${receive} then 995 end,
      case when ${receive} then 'tls' end, case when ${send} then ${host}::text end, case when ${send} then 587 end,
      case when ${send} then 'starttls' end, case when ${clientId}::bigint is null then 'password' else 'oauth2' end, ${clientId}::bigint,
      case when ${clientId}::bigint is not null then 'client_credentials' end
    from generate_series(1, ${count}::int) n returning id`.execute(db)
  const ids = rows.map((row) => row.id)
  await sql`insert into poststelle.maildrops (account_id) select unnest(${ids}::bigint[]) on conflict do nothing`.execute(
    db,
  )
  await sql`
    insert into poststelle.account_health (account_id, direction)
    select id, direction from unnest(${ids}::bigint[]) id cross join (values ('receive'), ('send')) d (direction)
    on conflict do nothing`.execute(db)
  await recover(db, ids)
  return ids
}

export async function seedClient(db: Db, label: string, tenant: string): Promise<number> {
  const { id } = await db
    .insertInto('oauth_clients')
    .values({
      provider: 'microsoft',
      token_endpoint: `https://login.microsoftonline.com/${tenant}/oauth2/v2.0/token`,
      client_id: `client-of-${label}`,
      label,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return id
}

/** Opens a flag for lanes, which are in `state` with it. */
export async function flagLanes(
  db: Db,
  ids: readonly number[],
  direction: Direction,
  flag: { flag: string; scope: string; persistence?: string; stage?: string; state?: string; evidence?: string },
): Promise<void> {
  const {
    persistence = 'human',
    stage = direction === 'receive' ? 'pop3' : 'smtp',
    evidence = 'as the server said',
  } = flag
  const state = flag.state ?? (persistence === 'human' ? 'blocked' : 'failing')
  await sql`
    insert into poststelle.health_flags (account_id, direction, flag, scope, persistence, stage, evidence)
    select id, ${direction}, ${flag.flag}, ${flag.scope}, ${persistence}, ${stage}, ${evidence} from unnest(${[...ids]}::bigint[]) id
    on conflict do nothing`.execute(db)
  await sql`
    update poststelle.account_health set state = ${state}, since = now(), failures = 3
    where account_id = any(${[...ids]}::bigint[]) and direction = ${direction}`.execute(db)
}

/** Their lanes had a success: all flags are gone. */
export async function recover(db: Db, ids: readonly number[]): Promise<void> {
  await sql`
    update poststelle.health_flags set cleared_at = now() where cleared_at is null and account_id = any(${[...ids]}::bigint[])`.execute(
    db,
  )
  await sql`
    update poststelle.account_health set state = 'ok', since = now(), last_ok_at = now(), failures = 0
    where account_id = any(${[...ids]}::bigint[])`.execute(db)
}

/** So many messages wait at each of the accounts. */
export async function seedWaiting(db: Db, ids: readonly number[], each: number): Promise<void> {
  await sql`
    insert into poststelle.outbound_messages (account_id, envelope_from, internet_message_id, request_sha256, created_at, next_attempt_at, expires_at)
    select id, '', gen_random_uuid()::text, '', now() - interval '1 hour', now(), now() + interval '2 days'
    from unnest(${[...ids]}::bigint[]) id cross join generate_series(1, ${each}::int)`.execute(db)
}

/** They went out. */
export async function handOver(db: Db, ids: readonly number[]): Promise<void> {
  await sql`
    update poststelle.outbound_messages set state = 'sent', finished_at = now(), next_attempt_at = null
    where finished_at is null and account_id = any(${[...ids]}::bigint[])`.execute(db)
}

/** As if so much time had passed for the incidents. */
export async function ageIncidents(db: Db, minutes: number): Promise<void> {
  await sql`
    update poststelle.incidents set opened_at = opened_at - ${minutes} * interval '1 minute', gone_at = gone_at - ${minutes} * interval '1 minute',
      told_at = told_at - ${minutes} * interval '1 minute' where closed_at is null`.execute(db)
  await sql`
    update poststelle.incident_events set at = at - ${minutes} * interval '1 minute'`.execute(db)
}

/** No accounts, mail and incidents any more. Row by row: the pages of an open browser read meanwhile, and a TRUNCATE would lock them out. */
export async function removeAccounts(db: Db): Promise<void> {
  for (const table of ['outbound_events', 'outbound_messages', 'accounts', 'oauth_clients', 'incidents'])
    await sql`delete from ${sql.table(`poststelle.${table}`)}`.execute(db)
}
