// Saves imported accounts, all in one transaction: either every account of the file is there, or nothing has changed.

import { UserError } from '../base/failure.ts'
import { openClientSecret, openCredential, sealClientSecret, sealCredential } from '../credentials/sealed.ts'
import type { Db, Tx } from '../db/database.ts'
import {
  accountIdByEmail,
  ensureOAuthClient,
  loadAccount,
  saveAccount,
  setClientSecret,
  wakeClientAccounts,
  type AccountColumns,
} from '../db/accounts.ts'
import { loadGrant, replaceCredential } from '../db/grants.ts'
import { wakeNow } from '../db/lanes.ts'
import { loadMaildrop } from '../db/maildrops.ts'
import type { Credential } from '../oauth/token.ts'
import { providerOf } from '../oauth/provider-presets.ts'
import type { Vault } from '../secrets/vault.ts'
import type { AccountSettings } from './settings.ts'

export type ImportChange = 'created' | 'changed' | 'unchanged'

export interface ImportedAccount {
  readonly id: number
  readonly email: string
  readonly change: ImportChange
  readonly notes: readonly string[]
}

class DryRun extends Error {
  override readonly name = 'DryRun'
}

/** `dryRun`: everything is done and then taken back; the ids of new accounts mean nothing. */
export async function importAccounts(
  ctx: { db: Db; vault: Vault },
  accounts: readonly AccountSettings[],
  options: { dryRun: boolean },
): Promise<ImportedAccount[]> {
  const imported: ImportedAccount[] = []
  try {
    await ctx.db.transaction().execute(async (tx) => {
      for (const account of accounts) imported.push(await importAccount(tx, ctx.vault, account))
      if (options.dryRun) throw new DryRun()
    })
  } catch (error) {
    if (!(error instanceof DryRun)) throw error
  }
  return imported
}

async function importAccount(tx: Tx, vault: Vault, settings: AccountSettings): Promise<ImportedAccount> {
  const notes = [...settings.notes]
  const columns = await toColumns(tx, vault, settings, notes)
  const { id, created, before } = await saveWithBefore(tx, settings, columns)
  const given = givenCredential(settings)
  const grant = created ? undefined : await loadGrant(tx, id)
  // the same secret again must not overwrite what has been rotated since
  const sameSecret = grant !== undefined && JSON.stringify(openCredential(vault, grant).given) === JSON.stringify(given)
  if (!sameSecret) await replaceCredential(tx, id, sealCredential(vault, id, { given, current: given }))
  const change: ImportChange = created
    ? 'created'
    : sameSecret && before === (await fingerprint(tx, id))
      ? 'unchanged'
      : 'changed'
  if (change === 'changed') await wakeNow(tx, id, ['receive', 'send', 'token'])
  return { id, email: settings.email, change, notes }
}

async function saveWithBefore(tx: Tx, settings: AccountSettings, columns: AccountColumns) {
  const existing = await accountIdByEmail(tx, settings.email)
  const before = existing === undefined ? undefined : await fingerprint(tx, existing)
  const saved = await saveAccount(tx, columns, settings)
  return { ...saved, before }
}

/** All settings as one text, to tell whether an import changes anything. */
async function fingerprint(tx: Tx, id: number): Promise<string> {
  const account = await loadAccount(tx, id)
  const maildrop = await loadMaildrop(tx, id)
  return JSON.stringify({ ...account, interval: maildrop?.pollIntervalSeconds, days: maildrop?.deleteAfterDays })
}

function givenCredential({ auth }: AccountSettings): Credential {
  if (auth.type === 'password') return { password: auth.password }
  if (auth.flow === 'password') return { password: auth.password ?? '' }
  return auth.flow === 'refresh_token' ? { refreshToken: auth.refreshToken ?? '' } : {}
}

async function toColumns(tx: Tx, vault: Vault, settings: AccountSettings, notes: string[]): Promise<AccountColumns> {
  const { pop3, smtp, auth } = settings
  const provider = providerOf(auth.type === 'oauth2' ? auth.tokenEndpoint : null, (pop3 ?? smtp)?.host)
  let oauth: Pick<AccountColumns, 'oauth_client_id' | 'oauth_flow' | 'oauth_scope'> = {
    oauth_client_id: null,
    oauth_flow: null,
    oauth_scope: null,
  }
  if (auth.type === 'oauth2') {
    const client = await ensureOAuthClient(tx, { provider, tokenEndpoint: auth.tokenEndpoint, clientId: auth.clientId })
    if (openClientSecretOrFail(vault, client) !== auth.clientSecret) {
      await setClientSecret(tx, client.id, sealClientSecret(vault, client.id, auth.clientSecret))
      const others = await wakeClientAccounts(tx, client.id)
      if (others > 1)
        notes.push(
          `auth.client_secret: is shared by ${others} accounts of this app registration; it was changed for all of them`,
        )
    }
    oauth = { oauth_client_id: client.id, oauth_flow: auth.flow, oauth_scope: auth.scope }
  }
  return {
    email: settings.email,
    label: settings.label,
    is_default: settings.isDefault,
    provider,
    pop3_host: pop3?.host ?? null,
    pop3_port: pop3?.port ?? null,
    pop3_security: pop3?.security ?? null,
    pop3_username: pop3?.username ?? null,
    smtp_host: smtp?.host ?? null,
    smtp_port: smtp?.port ?? null,
    smtp_security: smtp?.security ?? null,
    smtp_username: smtp?.username ?? null,
    auth_type: auth.type,
    ...oauth,
  }
}

function openClientSecretOrFail(vault: Vault, client: Parameters<typeof openClientSecret>[1]): string | null {
  try {
    return openClientSecret(vault, client)
  } catch (error) {
    throw error instanceof UserError
      ? new UserError(`app registration ${client.clientId}: ${error.message}`, { cause: error })
      : error
  }
}
