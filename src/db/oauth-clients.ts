// App registrations: shared by many accounts, with what they prove themselves with.

import { sql } from 'kysely'
import { DIRECTIONS, type Provider } from '../base/failure.ts'
import { loadClientBreaker, probeClientNow } from './client-breakers.ts'
import type { Tx } from './database.ts'
import { probeHostsNow } from './host-breakers.ts'
import type { ProofKind } from './schema-credentials.ts'

/** One of them may turn out to have a trouble of its own. */
const ACCOUNTS_THAT_TRY = 3

export interface OAuthClient {
  readonly id: number
  readonly provider: Provider
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly proofKind: ProofKind
  readonly clientSecretSealed: string | null
}

/** Of an app registration, for all its accounts together; null: none is known, 0: no limit. */
export interface ClientLimits {
  readonly licences: number | null
  readonly recipientsPerDay: number | null
  readonly messagesPerMinute: number | null
}

/** The app registration of that endpoint and id, made where it is missing. */
export async function ensureOAuthClient(
  tx: Tx,
  client: Pick<OAuthClient, 'provider' | 'tokenEndpoint' | 'clientId'>,
): Promise<OAuthClient> {
  const row = await tx
    .insertInto('oauth_clients')
    .values({
      provider: client.provider,
      token_endpoint: client.tokenEndpoint,
      client_id: client.clientId,
      client_secret_sealed: null,
    })
    .onConflict((oc) => oc.columns(['token_endpoint', 'client_id']).doUpdateSet({ provider: client.provider }))
    .returning(['id', 'proof_kind', 'client_secret_sealed'])
    .executeTakeFirstOrThrow()
  return { ...client, id: row.id, proofKind: row.proof_kind, clientSecretSealed: row.client_secret_sealed }
}

export async function setClientSecret(
  tx: Tx,
  clientId: number,
  { kind, sealed }: { kind: ProofKind; sealed: string | null },
): Promise<void> {
  await tx
    .updateTable('oauth_clients')
    .set({
      client_secret_sealed: sealed,
      proof_kind: kind,
      secret_changed_at: sql<Date>`now()`,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', clientId)
    .execute()
}

/** Returns whether that changes anything: then the accounts that rest for their pace may ask again. */
export async function setClientLimits(tx: Tx, clientId: number, limits: ClientLimits): Promise<boolean> {
  const { licences, recipientsPerDay, messagesPerMinute } = limits
  const { numAffectedRows } = await sql`
    update poststelle.oauth_clients set licences = ${licences}, recipients_per_day = ${recipientsPerDay},
      messages_per_minute = ${messagesPerMinute}, updated_at = now()
    where id = ${clientId} and (licences, recipients_per_day, messages_per_minute)
      is distinct from (${licences}::integer, ${recipientsPerDay}::integer, ${messagesPerMinute}::integer)`.execute(tx)
  if (!numAffectedRows) return false
  await lockClientLanes(tx, clientId)
  await sql`
    update poststelle.lanes l set rests_until = null, rests_for = null from poststelle.accounts a
    where a.id = l.account_id and a.oauth_client_id = ${clientId} and l.rests_for in ('rate', 'day')`.execute(tx)
  return true
}

export async function countClientAccounts(tx: Tx, clientId: number): Promise<number> {
  const { rows } = await sql<{ n: number }>`
    select count(*) as n from poststelle.accounts where oauth_client_id = ${clientId}`.execute(tx)
  return rows[0]?.n ?? 0
}

async function lockClientLanes(tx: Tx, clientId: number): Promise<void> {
  await sql`
    select from poststelle.lanes l join poststelle.accounts a on a.id = l.account_id
    where a.oauth_client_id = ${clientId} order by l.account_id, l.lane for update of l`.execute(tx)
}

/**
 * The secret has changed. Where the registration's breaker is open, a few accounts try at once, and the others follow when one of
 * them succeeds; otherwise every account that uses it may try. Returns how many there are.
 */
export async function wakeClientAccounts(tx: Tx, clientId: number): Promise<number> {
  await lockClientLanes(tx, clientId)
  const broken = (await loadClientBreaker(tx, clientId)) !== undefined
  await probeClientNow(tx, clientId)
  await (broken
    ? sql`
      update poststelle.lanes l set due_at = now(), parked_until = null, dispatched_until = null,
        woken_at = case when l.lease_token is not null then now() end
      where l.lane = 'token' and l.account_id in (select a.id from poststelle.accounts a join poststelle.grants g on g.account_id = a.id
        where a.oauth_client_id = ${clientId} and (a.enabled_receive or a.enabled_send)
        order by (g.refusal ->> 'of' is distinct from 'client'), a.id limit ${ACCOUNTS_THAT_TRY})`.execute(tx)
    : sql`
      with forgotten as (
        update poststelle.grants g set refusal = null, refused_at = null
        from poststelle.accounts a where a.id = g.account_id and a.oauth_client_id = ${clientId}
      )
      update poststelle.lanes l set due_at = now(), parked_until = null, dispatched_until = null,
        woken_at = case when l.lease_token is not null then now() end
      from poststelle.accounts a where a.id = l.account_id and a.oauth_client_id = ${clientId}`.execute(tx))
  await probeHostsNow(tx, { clientId }, DIRECTIONS)
  return await countClientAccounts(tx, clientId)
}
