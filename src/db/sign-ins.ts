// Sign-ins that have begun: each is found by the hash of a secret that only the browser has, is used once, and not for long.

import { sql } from 'kysely'
import type { Db, DbOrTx } from './database.ts'
import type { SignInKind } from './schema-credentials.ts'

export interface SignInRow {
  readonly id: number
  readonly accountId: number
  readonly kind: SignInKind
  readonly verifierSealed: string | null
  readonly redirectUri: string | null
  readonly createdAt: Date
  readonly expiresAt: Date
  readonly usedAt: Date | null
}

const COLUMNS = [
  'id',
  'account_id',
  'kind',
  'verifier_sealed',
  'redirect_uri',
  'created_at',
  'expires_at',
  'used_at',
] as const

/** The row comes before its secrets: they are sealed for its id. */
export async function beginSignIn(
  tx: DbOrTx,
  begin: {
    accountId: number
    kind: SignInKind
    secretHash: Buffer
    redirectUri: string | null
    expiresAt: Date
    at: Date
  },
): Promise<number> {
  const row = await tx
    .insertInto('sign_ins')
    .values({
      account_id: begin.accountId,
      kind: begin.kind,
      secret_hash: begin.secretHash,
      verifier_sealed: null,
      redirect_uri: begin.redirectUri,
      created_at: begin.at,
      expires_at: begin.expiresAt,
      used_at: null,
      outcome: null,
    })
    .returning('id')
    .executeTakeFirstOrThrow()
  return row.id
}

export async function sealSignIn(tx: DbOrTx, id: number, verifierSealed: string): Promise<void> {
  await tx.updateTable('sign_ins').set({ verifier_sealed: verifierSealed }).where('id', '=', id).execute()
}

export async function findSignIn(db: DbOrTx, kind: SignInKind, secretHash: Buffer): Promise<SignInRow | undefined> {
  const row = await db
    .selectFrom('sign_ins')
    .select(COLUMNS)
    .where('kind', '=', kind)
    .where('secret_hash', '=', secretHash)
    .executeTakeFirst()
  return row && toRow(row)
}

/** Takes it for good: of two that come with the same answer, one gets it. Its secrets are forgotten. Undefined where it is used or over. */
export async function takeSignIn(db: Db, id: number, now: Date): Promise<SignInRow | undefined> {
  const { rows } = await sql<Parameters<typeof toRow>[0]>`
    with taken as (select id, verifier_sealed from poststelle.sign_ins
      where id = ${id} and used_at is null and expires_at > ${now} for update)
    update poststelle.sign_ins s set used_at = ${now}, verifier_sealed = null from taken
    where s.id = taken.id
    returning s.id, s.account_id, s.kind, taken.verifier_sealed, s.redirect_uri, s.created_at, s.expires_at, s.used_at`.execute(
    db,
  )
  return rows[0] && toRow(rows[0])
}

/** In words for the operator. */
export async function noteSignIn(db: DbOrTx, id: number, outcome: string): Promise<void> {
  await db.updateTable('sign_ins').set({ outcome }).where('id', '=', id).execute()
}

export async function signInOutcome(db: Db, id: number): Promise<string | null> {
  const row = await db.selectFrom('sign_ins').select('outcome').where('id', '=', id).executeTakeFirst()
  return row?.outcome ?? null
}

const toRow = (row: {
  id: number
  account_id: number
  kind: SignInKind
  verifier_sealed: string | null
  redirect_uri: string | null
  created_at: Date
  expires_at: Date
  used_at: Date | null
}): SignInRow => ({
  id: row.id,
  accountId: row.account_id,
  kind: row.kind,
  verifierSealed: row.verifier_sealed,
  redirectUri: row.redirect_uri,
  createdAt: row.created_at,
  expiresAt: row.expires_at,
  usedAt: row.used_at,
})
