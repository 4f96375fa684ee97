// What opens a mailbox, as sealed text. Stored by compare-and-swap on `version`; never deleted by ourselves.

import { sql, type Selectable } from 'kysely'
import type { DbOrTx, Tx } from './database.ts'
import type { OAuthFlow, StoredRefusal } from './schema-credentials.ts'
import type { Tables } from './schema.ts'

export interface Grant {
  readonly accountId: number
  readonly credentialSealed: string
  readonly accessTokenSealed: string | null
  readonly accessExpiresAt: Date | null
  readonly refreshedAt: Date | null
  readonly version: number
  readonly refusal: StoredRefusal | null
  /** The lane of the token is parked until then: no request before. */
  readonly parkedUntil: Date | null
}

export type GrantRow = Selectable<Tables['grants']> & { readonly parked_until: Date | null }

export const toGrant = (row: GrantRow): Grant => ({
  accountId: row.account_id,
  credentialSealed: row.credential_sealed,
  accessTokenSealed: row.access_token_sealed,
  accessExpiresAt: row.access_expires_at,
  refreshedAt: row.refreshed_at,
  version: row.version,
  refusal: row.refusal,
  parkedUntil: row.parked_until,
})

export async function loadGrant(db: DbOrTx, accountId: number): Promise<Grant | undefined> {
  const row = await db
    .selectFrom('grants as g')
    .leftJoin('lanes as l', (join) => join.onRef('l.account_id', '=', 'g.account_id').on('l.lane', '=', 'token'))
    .selectAll('g')
    .select('l.parked_until')
    .where('g.account_id', '=', accountId)
    .executeTakeFirst()
  return row && toGrant(row)
}

/** Replaces the credential as the operator gave it: a token made from the old one is forgotten. */
export async function replaceCredential(
  tx: Tx,
  accountId: number,
  { credentialSealed, grantedBy }: { credentialSealed: string; grantedBy: OAuthFlow },
): Promise<void> {
  const fresh = {
    credential_sealed: credentialSealed,
    access_token_sealed: null,
    access_expires_at: null,
    refusal: null,
    refused_at: null,
    granted_at: sql<Date>`now()`,
    granted_by: grantedBy,
    refresh_expires_at: null,
  }
  await tx
    .insertInto('grants')
    .values({ account_id: accountId, ...fresh, refreshed_at: null })
    .onConflict((oc) => oc.column('account_id').doUpdateSet({ ...fresh, version: sql<number>`grants.version + 1` }))
    .execute()
}

/** Returns false where the grant was changed since `version` was read: the new token then belongs to a credential of the past. */
export async function storeToken(
  tx: Tx,
  grant: Pick<Grant, 'accountId' | 'version'>,
  token: {
    credentialSealed: string
    accessTokenSealed: string
    accessExpiresAt: Date
    /** Undefined: the server has not said, what it said before stays. */
    refreshExpiresAt?: Date | undefined
    refreshedAt: Date
  },
): Promise<boolean> {
  const { numUpdatedRows } = await tx
    .updateTable('grants')
    .set({
      credential_sealed: token.credentialSealed,
      access_token_sealed: token.accessTokenSealed,
      access_expires_at: token.accessExpiresAt,
      ...(token.refreshExpiresAt && { refresh_expires_at: token.refreshExpiresAt }),
      refreshed_at: token.refreshedAt,
      version: sql<number>`version + 1`,
      refusal: null,
      refused_at: null,
    })
    .where('account_id', '=', grant.accountId)
    .where('version', '=', grant.version)
    .executeTakeFirst()
  return numUpdatedRows === 1n
}

/**
 * What the next ones are told without a request. The first words for a cause stay: what a provider says later about the same dead
 * grant is poorer. Passing trouble does not take the place of what a human has to mend. Returns what is stored now.
 */
export async function storeRefusal(tx: Tx, accountId: number, refusal: StoredRefusal): Promise<StoredRefusal> {
  const { rows } = await sql<{ refusal: StoredRefusal }>`
    with new as (select ${JSON.stringify(refusal)}::jsonb as refusal)
    update poststelle.grants g set refused_at = coalesce(case when g.refusal ->> 'flag' = new.refusal ->> 'flag' then g.refused_at end, now()),
      refusal = case
        when g.refusal ->> 'persistence' = 'human' and new.refusal ->> 'persistence' <> 'human' then g.refusal
        when g.refusal ->> 'flag' = new.refusal ->> 'flag' then new.refusal || jsonb_build_object('evidence', g.refusal ->> 'evidence')
        else new.refusal end
    from new where g.account_id = ${accountId} returning g.refusal`.execute(tx)
  return rows[0]?.refusal ?? refusal
}
