// The two slots of an app registration, the list of registrations for people, and who uses them.

import { sql } from 'kysely'
import { UserError } from '../base/failure.ts'
import type { Db, DbOrTx } from './database.ts'
import type { OAuthClient } from './oauth-clients.ts'
import type { ProofKind } from './schema-credentials.ts'

export interface NextSecret {
  readonly kind: Exclude<ProofKind, 'none'>
  readonly sealed: string
  readonly expiresAt: Date | null
  readonly state: 'waiting' | 'refused'
  readonly evidence: string | null
}

/** An app registration with all that an operator asks of it. */
export interface ClientDetails extends OAuthClient {
  readonly label: string
  readonly secretExpiresAt: Date | null
  readonly secretChangedAt: Date | null
  readonly next: NextSecret | null
  readonly accounts: number
  readonly breaker: {
    readonly flag: string
    readonly since: Date
    readonly nextProbeAt: Date
    readonly evidence: string
  } | null
}

export async function listClients(db: DbOrTx): Promise<ClientDetails[]> {
  const rows = await db
    .selectFrom('oauth_clients as c')
    .leftJoin('client_breakers as b', 'b.oauth_client_id', 'c.id')
    .selectAll('c')
    .select(['b.flag', 'b.opened_at', 'b.open_until', 'b.evidence'])
    .select(
      sql<number>`(select count(*)::int from poststelle.accounts a where a.oauth_client_id = c.id)`.as('accounts'),
    )
    .orderBy('c.label')
    .orderBy('c.id')
    .execute()
  return rows.map((row) => ({
    id: row.id,
    provider: row.provider,
    tokenEndpoint: row.token_endpoint,
    clientId: row.client_id,
    proofKind: row.proof_kind,
    clientSecretSealed: row.client_secret_sealed,
    label: row.label,
    secretExpiresAt: row.secret_expires_at,
    secretChangedAt: row.secret_changed_at,
    next:
      row.next_secret_sealed !== null && row.next_proof_kind !== null && row.next_secret_state !== null
        ? {
            kind: row.next_proof_kind,
            sealed: row.next_secret_sealed,
            expiresAt: row.next_secret_expires_at,
            state: row.next_secret_state,
            evidence: row.next_secret_evidence,
          }
        : null,
    accounts: row.accounts,
    breaker:
      row.opened_at && row.open_until
        ? { flag: row.flag ?? '', since: row.opened_at, nextProbeAt: row.open_until, evidence: row.evidence ?? '' }
        : null,
  }))
}

/** By id, client id or label, as people type it. Throws UserError where there is none, or more than one. */
export async function findClient(db: Db, text: string): Promise<ClientDetails> {
  const wanted = text.trim().toLowerCase()
  const all = await listClients(db)
  const byId = all.filter(({ id }) => String(id) === wanted)
  const found =
    byId.length > 0
      ? byId
      : all.filter(({ clientId, label }) => clientId.toLowerCase() === wanted || label.toLowerCase() === wanted)
  const [client, another] = found
  if (!client) throw new UserError(`there is no app registration "${text}"; "poststelle client list" shows them all`)
  if (another)
    throw new UserError(
      `"${text}" names several app registrations (ids ${found.map(({ id }) => id).join(', ')}); give the id`,
    )
  return client
}

/** The one that waits to be tried. */
export async function loadNextSecret(
  db: DbOrTx,
  clientId: number,
): Promise<Pick<NextSecret, 'kind' | 'sealed' | 'expiresAt'> | undefined> {
  const row = await db
    .selectFrom('oauth_clients')
    .select(['next_proof_kind', 'next_secret_sealed', 'next_secret_expires_at'])
    .where('id', '=', clientId)
    .where('next_secret_state', '=', 'waiting')
    .executeTakeFirst()
  if (!row?.next_proof_kind || row.next_secret_sealed === null) return undefined
  return { kind: row.next_proof_kind, sealed: row.next_secret_sealed, expiresAt: row.next_secret_expires_at }
}

export async function storeNextSecret(
  tx: DbOrTx,
  clientId: number,
  next: Pick<NextSecret, 'kind' | 'sealed' | 'expiresAt'> | null,
): Promise<void> {
  await tx
    .updateTable('oauth_clients')
    .set({
      next_secret_sealed: next?.sealed ?? null,
      next_proof_kind: next?.kind ?? null,
      next_secret_expires_at: next?.expiresAt ?? null,
      next_secret_state: next ? 'waiting' : null,
      next_secret_evidence: null,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', clientId)
    .execute()
}

/** It was tried and refused; the one before stays in use. */
export async function refuseNextSecret(tx: DbOrTx, clientId: number, sealed: string, evidence: string): Promise<void> {
  await tx
    .updateTable('oauth_clients')
    .set({ next_secret_state: 'refused', next_secret_evidence: evidence })
    .where('id', '=', clientId)
    .where('next_secret_sealed', '=', sealed)
    .execute()
}

export async function setSecretExpiry(tx: DbOrTx, clientId: number, expiresAt: Date | null): Promise<void> {
  await tx.updateTable('oauth_clients').set({ secret_expires_at: expiresAt }).where('id', '=', clientId).execute()
}

export async function setClientLabel(tx: DbOrTx, clientId: number, label: string): Promise<void> {
  await tx.updateTable('oauth_clients').set({ label }).where('id', '=', clientId).execute()
}

/** Accounts whose request can prove a secret: those of the app itself first, then those with the youngest token. */
export async function accountsToProveWith(db: Db, clientId: number, most: number): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select a.id from poststelle.accounts a join poststelle.grants g on g.account_id = a.id
    where a.oauth_client_id = ${clientId}
    order by a.oauth_flow in ('client_credentials', 'service_account') desc,
      coalesce(g.refusal ->> 'of', 'client') <> 'client', g.refreshed_at desc nulls last, a.id limit ${most}`.execute(
    db,
  )
  return rows.map(({ id }) => id)
}
