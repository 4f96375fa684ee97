// Saves imported accounts, all in one transaction: either every account of the file is there, or nothing has changed.

import { isDeepStrictEqual } from 'node:util'
import { DIRECTIONS, UserError } from '../base/failure.ts'
import { openClientProof, openCredential, sealClientProof, sealCredential } from '../credentials/sealed.ts'
import type { Db, Tx } from '../db/database.ts'
import { accountIdByEmail, loadAccount, saveAccount, type Account, type AccountColumns } from '../db/accounts.ts'
import {
  countClientAccounts,
  ensureOAuthClient,
  setClientLimits,
  setClientSecret,
  wakeClientAccounts,
  type OAuthClient,
} from '../db/oauth-clients.ts'
import { setClientLabel, setSecretExpiry } from '../db/client-secrets.ts'
import { loadGrant, replaceCredential } from '../db/grants.ts'
import { clearFlags, failedStages } from '../db/health.ts'
import { lockLanes, wakeNow } from '../db/lanes.ts'
import { loadMaildrop, type Maildrop } from '../db/maildrops.ts'
import type { ClientProof, Credential } from '../oauth/token.ts'
import { providerOf } from '../oauth/provider-presets.ts'
import type { Vault } from '../secrets/vault.ts'
import type { AccountSettings } from './settings.ts'
import { lanesToWake, type Change } from './what-changed.ts'

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
  const existing = await accountIdByEmail(tx, settings.email)
  if (existing !== undefined) await lockLanes(tx, existing) // before everything else of the account, as whoever settles does
  const before = existing === undefined ? undefined : await snapshot(tx, existing)
  const id = await saveAccount(tx, columns, settings.maildrop)
  const after = await snapshot(tx, id)
  const keptAsItWas = await saveCredential(tx, vault, id, givenCredential(settings), before?.account, after.account)
  if (!before) return { id, email: settings.email, change: 'created', notes }
  const change: ImportChange = keptAsItWas && JSON.stringify(before) === JSON.stringify(after) ? 'unchanged' : 'changed'
  if (change === 'changed') await wakeChanged(tx, id, { before, after, newCredential: !keptAsItWas })
  return { id, email: settings.email, change, notes }
}

async function wakeChanged(tx: Tx, id: number, change: Omit<Change, 'failedAt'>): Promise<void> {
  // a password asks no token endpoint: what that has refused is over
  if (change.after.account?.auth.type === 'password') {
    for (const direction of DIRECTIONS) await clearFlags(tx, id, direction, { stage: 'token' })
  }
  const { probe, look } = lanesToWake({ ...change, failedAt: await failedStages(tx, id) })
  await wakeNow(tx, id, probe, { again: true })
  await wakeNow(tx, id, look, { again: true, keepParked: true })
}

/** All settings, to tell what an import changes. */
async function snapshot(tx: Tx, id: number): Promise<{ account: Account | undefined; maildrop: Maildrop | undefined }> {
  return { account: await loadAccount(tx, id), maildrop: await loadMaildrop(tx, id) }
}

/**
 * The same secret again must not overwrite what it has been rotated to since; but what was rotated at one app registration is
 * worth nothing at another. Returns whether the grant was left as it was.
 */
async function saveCredential(
  tx: Tx,
  vault: Vault,
  id: number,
  given: Credential,
  before: Account | undefined,
  after: Account | undefined,
): Promise<boolean> {
  const grant = before && (await loadGrant(tx, id))
  const stored = grant && openCredential(vault, grant)
  const sameSecret = stored !== undefined && JSON.stringify(stored.given) === JSON.stringify(given)
  const sameAuth = JSON.stringify(before?.auth) === JSON.stringify(after?.auth)
  if (sameSecret && sameAuth) return true
  const current = sameSecret && clientOf(before) === clientOf(after) ? stored.current : given
  await replaceCredential(tx, id, {
    credentialSealed: sealCredential(vault, id, { given, current }),
    grantedBy: after?.auth.type === 'oauth2' ? after.auth.flow : 'password',
  })
  return false
}

const clientOf = (account: Account | undefined): number | undefined =>
  account?.auth.type === 'oauth2' ? account.auth.client.id : undefined

function givenCredential({ auth }: AccountSettings): Credential {
  if (auth.type === 'password') return { password: auth.password }
  if (auth.flow === 'password') return { password: auth.password ?? '' }
  return auth.flow === 'refresh_token' ? { refreshToken: auth.refreshToken ?? '' } : {}
}

async function toColumns(tx: Tx, vault: Vault, settings: AccountSettings, notes: string[]): Promise<AccountColumns> {
  const { pop3, smtp, auth, sending, uncertainPolicy } = settings
  const provider = providerOf(auth.type === 'oauth2' ? auth.tokenEndpoint : null, (pop3 ?? smtp)?.host)
  let oauth: Pick<AccountColumns, 'oauth_client_id' | 'oauth_flow' | 'oauth_scope' | 'auth_username'> = {
    oauth_client_id: null,
    oauth_flow: null,
    oauth_scope: null,
    auth_username: null,
  }
  if (auth.type === 'oauth2') {
    const client = await ensureOAuthClient(tx, { provider, tokenEndpoint: auth.tokenEndpoint, clientId: auth.clientId })
    const { proof, secretExpiresAt, clientLabel } = auth
    const sameSecret = isDeepStrictEqual(openProofOrFail(vault, client), proof)
    if (clientLabel !== undefined) await setClientLabel(tx, client.id, clientLabel)
    if (secretExpiresAt !== undefined || !sameSecret) await setSecretExpiry(tx, client.id, secretExpiresAt ?? null)
    if (proof.kind === 'secret' && !sameSecret && !secretExpiresAt)
      notes.push(
        'auth.client_secret: when it expires is not known; client_secret_expires_at would have it announced in time',
      )
    if (!sameSecret) {
      await setClientSecret(tx, client.id, { kind: proof.kind, sealed: sealClientProof(vault, client.id, proof) })
      const others = await wakeClientAccounts(tx, client.id)
      if (others > 1)
        notes.push(
          `auth.client_secret: is shared by ${others} accounts of this app registration; it was changed for all of them`,
        )
    }
    if (auth.limits && (await setClientLimits(tx, client.id, auth.limits))) {
      const others = await countClientAccounts(tx, client.id)
      if (others > 1)
        notes.push(
          `auth.limits: are shared by ${others} accounts of this app registration; they were changed for all of them`,
        )
    }
    oauth = {
      oauth_client_id: client.id,
      oauth_flow: auth.flow,
      oauth_scope: auth.scope,
      auth_username: auth.username ?? null,
    }
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
    max_connections: sending.connections,
    messages_per_minute: sending.messagesPerMinute,
    recipients_per_day: sending.recipientsPerDay,
    recipients_per_message: sending.recipientsPerMessage,
    ...(uncertainPolicy !== undefined && { uncertain_policy: uncertainPolicy }),
  }
}

function openProofOrFail(vault: Vault, client: OAuthClient): ClientProof {
  try {
    return openClientProof(vault, client)
  } catch (error) {
    throw error instanceof UserError
      ? new UserError(`app registration ${client.clientId}: ${error.message}`, { cause: error })
      : error
  }
}
