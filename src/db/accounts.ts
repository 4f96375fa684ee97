// Accounts.

import { sql } from 'kysely'
import { UserError, type Provider } from '../base/failure.ts'
import type { Db, DbOrTx, Tx } from './database.ts'
import { saveMaildropPolicy, type MaildropPolicy } from './maildrops.ts'
import type { OAuthClient } from './oauth-clients.ts'
import type { OAuthFlow } from './schema-credentials.ts'
import type { Tables, UncertainPolicy } from './schema.ts'

export interface MailHost {
  readonly host: string
  readonly port: number
  readonly security: 'tls' | 'starttls' | 'none'
  readonly username: string
}

export type AccountAuth =
  | { readonly type: 'password' }
  | {
      readonly type: 'oauth2'
      readonly flow: OAuthFlow
      readonly scope: string
      /** Who signs in; null: the mailbox itself. */
      readonly username: string | null
      readonly client: OAuthClient
    }

/** What the operator allows; null: as the provider's preset says, 0: no limit. */
export interface SendingLimits {
  readonly connections: number | null
  readonly messagesPerMinute: number | null
  readonly recipientsPerDay: number | null
  readonly recipientsPerMessage: number | null
}

export interface Account {
  readonly id: number
  readonly email: string
  readonly label: string
  readonly isDefault: boolean
  readonly provider: Provider
  readonly pop3: MailHost | null
  readonly smtp: MailHost | null
  readonly auth: AccountAuth
  /** The operator's switches. */
  readonly enabledReceive: boolean
  readonly enabledSend: boolean
  readonly uncertainPolicy: UncertainPolicy
  readonly sending: SendingLimits
}

const query = (db: DbOrTx) =>
  db
    .selectFrom('accounts as a')
    .leftJoin('oauth_clients as c', 'c.id', 'a.oauth_client_id')
    .selectAll('a')
    .select([
      'c.provider as client_provider',
      'c.token_endpoint',
      'c.client_id',
      'c.proof_kind',
      'c.client_secret_sealed',
    ])

/** A row of accounts with that of its app registration. */
export type AccountRow = Awaited<ReturnType<ReturnType<typeof query>['executeTakeFirstOrThrow']>>

export function toAccount(row: AccountRow): Account {
  return {
    id: row.id,
    email: row.email,
    label: row.label,
    isDefault: row.is_default,
    provider: row.provider,
    pop3: toHost(row.pop3_host, row.pop3_port, row.pop3_security, row.pop3_username ?? row.email),
    smtp: toHost(row.smtp_host, row.smtp_port, row.smtp_security, row.smtp_username ?? row.email),
    auth: toAuth(row),
    enabledReceive: row.enabled_receive,
    enabledSend: row.enabled_send,
    uncertainPolicy: row.uncertain_policy,
    sending: {
      connections: row.max_connections,
      messagesPerMinute: row.messages_per_minute,
      recipientsPerDay: row.recipients_per_day,
      recipientsPerMessage: row.recipients_per_message,
    },
  }
}

function toHost(
  host: string | null,
  port: number | null,
  security: MailHost['security'] | null,
  username: string,
): MailHost | null {
  return host === null || port === null || security === null ? null : { host, port, security, username }
}

function toAuth(row: AccountRow): AccountAuth {
  if (row.oauth_client_id === null || row.oauth_flow === null || row.client_provider === null)
    return { type: 'password' }
  return {
    type: 'oauth2',
    flow: row.oauth_flow,
    scope: row.oauth_scope ?? '',
    username: row.auth_username,
    client: {
      id: row.oauth_client_id,
      provider: row.client_provider,
      tokenEndpoint: row.token_endpoint ?? '',
      clientId: row.client_id ?? '',
      proofKind: row.proof_kind ?? 'none',
      clientSecretSealed: row.client_secret_sealed,
    },
  }
}

/** Undefined where the account was deleted meanwhile. */
export async function loadAccount(db: DbOrTx, id: number): Promise<Account | undefined> {
  const row = await query(db).where('a.id', '=', id).executeTakeFirst()
  return row && toAccount(row)
}

export async function listAccounts(db: Db): Promise<Account[]> {
  return (await query(db).orderBy('a.email').execute()).map(toAccount)
}

/** By id or e-mail address, as people type it. Throws UserError where there is none. */
export async function findAccount(db: Db, idOrEmail: string): Promise<Account> {
  const text = idOrEmail.trim()
  const row = /^\d{1,15}$/.test(text)
    ? await query(db).where('a.id', '=', Number(text)).executeTakeFirst()
    : await query(db)
        .where(sql`lower(a.email)`, '=', text.toLowerCase())
        .executeTakeFirst()
  if (!row) throw new UserError(`there is no account "${text}"; "poststelle account list" shows them all`)
  return toAccount(row)
}

export async function accountIdByEmail(db: DbOrTx, email: string): Promise<number | undefined> {
  const row = await db
    .selectFrom('accounts')
    .select('id')
    .where(sql`lower(email)`, '=', email.toLowerCase())
    .forNoKeyUpdate() // submit_message, in somebody's open transaction, needs the key only
    .executeTakeFirst()
  return row?.id
}

export type AccountColumns = Pick<
  Tables['accounts'],
  | 'email'
  | 'provider'
  | 'pop3_host'
  | 'pop3_port'
  | 'pop3_security'
  | 'pop3_username'
  | 'smtp_host'
  | 'smtp_port'
  | 'smtp_security'
  | 'smtp_username'
  | 'auth_type'
  | 'oauth_client_id'
  | 'oauth_flow'
  | 'oauth_scope'
  | 'auth_username'
  | 'max_connections'
  | 'messages_per_minute'
  | 'recipients_per_day'
  | 'recipients_per_message'
> & { label: string; is_default: boolean; uncertain_policy?: UncertainPolicy }

/** Writes settings by e-mail address, and the rows every account has. Returns the account's id. */
export async function saveAccount(tx: Tx, columns: AccountColumns, maildrop: MaildropPolicy): Promise<number> {
  if (columns.is_default)
    await tx.updateTable('accounts').set({ is_default: false }).where('is_default', '=', true).execute()
  const existing = await accountIdByEmail(tx, columns.email)
  const id = existing ?? (await tx.insertInto('accounts').values(columns).returning('id').executeTakeFirstOrThrow()).id
  if (existing !== undefined) {
    await tx
      .updateTable('accounts')
      .set({ ...columns, updated_at: sql<Date>`now()` })
      .where('id', '=', id)
      .execute()
  }
  await saveMaildropPolicy(tx, id, maildrop)
  await sql`insert into poststelle.account_health (account_id, direction) values (${id}, 'receive'), (${id}, 'send')
    on conflict do nothing`.execute(tx)
  await saveLanes(tx, id, columns)
  return id
}

/** A lane exists for what the account can do, and only for that. */
async function saveLanes(tx: Tx, id: number, columns: AccountColumns): Promise<void> {
  const lanes: Record<string, boolean> = {
    receive: columns.pop3_host !== null,
    parse: columns.pop3_host !== null,
    send: columns.smtp_host !== null,
    token: columns.auth_type === 'oauth2',
  }
  for (const [lane, wanted] of Object.entries(lanes)) {
    await (wanted
      ? sql`insert into poststelle.lanes (account_id, lane, due_at) values (${id}, ${lane}, ${lane === 'parse' ? sql`null` : sql`now()`}) on conflict do nothing`.execute(
          tx,
        )
      : sql`delete from poststelle.lanes where account_id = ${id} and lane = ${lane}`.execute(tx))
  }
}
