// Operators, the links by which they choose their passwords, and what they log in with.

import { sql } from 'kysely'
import { audit, type Actor } from './audit.ts'
import type { Db, DbOrTx, Tx } from './database.ts'
import type { PersonRole } from './schema-people.ts'

export interface Operator {
  readonly id: number
  readonly name: string
  readonly role: PersonRole
  readonly mayReadMail: boolean
  readonly passwordHash: string | null
  readonly totpSealed: string | null
  readonly totpConfirmedAt: Date | null
  readonly language: 'de' | 'en' | null
  readonly createdAt: Date
  readonly lastLoginAt: Date | null
  readonly disabledAt: Date | null
}

const columns = sql<never>`id, name, role, may_read_mail as "mayReadMail", password_hash as "passwordHash", totp_sealed as "totpSealed",
  totp_confirmed_at as "totpConfirmedAt", language, created_at as "createdAt", last_login_at as "lastLoginAt",
  disabled_at as "disabledAt"`

export async function findOperator(db: DbOrTx, by: { id: number } | { name: string }): Promise<Operator | undefined> {
  const where = 'id' in by ? sql`id = ${by.id}` : sql`lower(name) = lower(${by.name})`
  const { rows } = await sql<Operator>`select ${columns} from poststelle.operators where ${where}`.execute(db)
  return rows[0]
}

export async function listOperators(db: DbOrTx): Promise<Operator[]> {
  return (await sql<Operator>`select ${columns} from poststelle.operators order by lower(name)`.execute(db)).rows
}

export async function anyOperator(db: DbOrTx): Promise<boolean> {
  const { rows } = await sql<{ any: boolean }>`
    select exists (select from poststelle.operators where password_hash is not null) as any`.execute(db)
  return rows[0]?.any ?? false
}

/** Undefined where the name is taken. */
export async function createOperator(
  db: DbOrTx,
  about: { name: string; role: PersonRole; mayReadMail: boolean; passwordHash?: string; language?: 'de' | 'en' },
): Promise<number | undefined> {
  const { rows } = await sql<{ id: number }>`
    insert into poststelle.operators (name, role, may_read_mail, password_hash, language)
    values (${about.name}, ${about.role}, ${about.mayReadMail}, ${about.passwordHash ?? null}, ${about.language ?? null})
    on conflict (lower(name)) do nothing returning id`.execute(db)
  return rows[0]?.id
}

export interface OperatorChange {
  readonly role?: PersonRole | undefined
  readonly mayReadMail?: boolean | undefined
  readonly disabled?: boolean | undefined
  readonly passwordHash?: string | undefined
  readonly language?: 'de' | 'en' | undefined
  /** null: logging in takes no code any more. */
  readonly totp?: { readonly sealed: string; readonly confirmedAt: Date | null } | null | undefined
}

export async function changeOperator(db: DbOrTx, id: number, change: OperatorChange): Promise<void> {
  await db
    .updateTable('operators')
    .set({
      ...(change.role && { role: change.role }),
      ...(change.mayReadMail !== undefined && { may_read_mail: change.mayReadMail }),
      ...(change.disabled !== undefined && {
        disabled_at: change.disabled ? sql<Date>`coalesce(disabled_at, now())` : null,
      }),
      ...(change.passwordHash !== undefined && { password_hash: change.passwordHash }),
      ...(change.language && { language: change.language }),
      ...(change.totp !== undefined && {
        totp_sealed: change.totp?.sealed ?? null,
        totp_confirmed_at: change.totp?.confirmedAt ?? null,
        totp_step: null,
      }),
    })
    .where('id', '=', id)
    .execute()
}

class LastAdmin extends Error {}

/** False where nobody could administer any more: then nothing is changed. */
export async function changeRights(
  db: Db,
  actor: Actor,
  id: number,
  change: Pick<OperatorChange, 'role' | 'mayReadMail' | 'disabled' | 'totp'>,
): Promise<boolean> {
  const { role, mayReadMail, disabled, totp } = change
  try {
    await db.transaction().execute(async (tx) => {
      await changeOperator(tx, id, change)
      if (!(await keepsAnAdmin(tx))) throw new LastAdmin()
      const details = { role, may_read_mail: mayReadMail, disabled, ...(totp === null && { second_factor: 'removed' }) }
      await audit(tx, actor, { action: 'operator changed', object: `operator ${id}`, details })
    })
    return true
  } catch (error) {
    if (error instanceof LastAdmin) return false
    throw error
  }
}

/** Locks all of them: false where nobody could administer any more. */
async function keepsAnAdmin(tx: Tx): Promise<boolean> {
  const { rows } = await sql<{ n: number }>`
    with locked as (select role, disabled_at, password_hash from poststelle.operators order by id for update)
    select count(*)::int as n from locked where role = 'admin' and disabled_at is null and password_hash is not null`.execute(
    tx,
  )
  return (rows[0]?.n ?? 0) > 0
}

/** A code of that step counts once. Returns false where it, or a later one, was taken before. */
export async function takeTotpStep(db: DbOrTx, id: number, step: number): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.operators set totp_step = ${step} where id = ${id} and coalesce(totp_step, -1) < ${step}`.execute(
    db,
  )
  return Boolean(numAffectedRows)
}

export async function noteLogin(db: DbOrTx, id: number): Promise<void> {
  await sql`update poststelle.operators set last_login_at = now() where id = ${id}`.execute(db)
}

/** Replaces what was sent before. `operatorId` null: the link of the first set-up. */
export async function createInvitation(
  db: DbOrTx,
  about: { tokenHash: Buffer; operatorId: number | null; lifeMs: number },
): Promise<void> {
  await sql`
    delete from poststelle.invitations where operator_id is not distinct from ${about.operatorId}::bigint and used_at is null`.execute(
    db,
  )
  await sql`
    insert into poststelle.invitations (token_hash, operator_id, expires_at)
    values (${about.tokenHash}, ${about.operatorId}, now() + ${about.lifeMs} * interval '1 millisecond')`.execute(db)
}

export interface Invitation {
  readonly id: number
  readonly operatorId: number | null
  readonly name: string | null
}

/** Undefined where it is unknown, used or over. */
export async function findInvitation(db: DbOrTx, tokenHash: Buffer): Promise<Invitation | undefined> {
  const { rows } = await sql<Invitation>`
    select i.id, i.operator_id as "operatorId", o.name from poststelle.invitations i
    left join poststelle.operators o on o.id = i.operator_id
    where i.token_hash = ${tokenHash} and i.used_at is null and i.expires_at > now()`.execute(db)
  return rows[0]
}

/** Returns false where somebody else was faster. */
export async function useInvitation(tx: Tx, id: number): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update poststelle.invitations set used_at = now() where id = ${id} and used_at is null and expires_at > now()`.execute(
    tx,
  )
  return Boolean(numAffectedRows)
}
