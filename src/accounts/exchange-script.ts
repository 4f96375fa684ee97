// The Exchange commands of one app registration, for all its mailboxes that it signs in for by itself.

import { UserError } from '../base/failure.ts'
import { openAccessToken } from '../credentials/sealed.ts'
import { listAccounts, type Account } from '../db/accounts.ts'
import type { ClientDetails } from '../db/client-secrets.ts'
import type { Db } from '../db/database.ts'
import { loadGrant } from '../db/grants.ts'
import { readClaims } from '../oauth/claims.ts'
import { exchangeScript } from '../oauth/exchange-setup.ts'
import type { Vault } from '../secrets/vault.ts'

interface Context {
  readonly db: Db
  readonly vault: Vault
}

/** Throws UserError where no account needs it. */
export async function exchangeScriptOf(ctx: Context, client: ClientDetails): Promise<string> {
  const accounts = (await listAccounts(ctx.db)).filter(
    ({ auth }) => auth.type === 'oauth2' && auth.client.id === client.id && auth.flow === 'client_credentials',
  )
  if (client.provider !== 'microsoft' || accounts.length === 0)
    throw new UserError(
      `${client.label || client.clientId}: no account signs in at Microsoft with "client_credentials" by it; only those need this`,
    )
  return exchangeScript({
    tokenEndpoint: client.tokenEndpoint,
    clientId: client.clientId,
    objectId: await objectIdOf(ctx, accounts),
    mailboxes: accounts.map(({ email, pop3, smtp }) => ({ email, receives: pop3 !== null, sends: smtp !== null })),
  })
}

/** An app's own token names the service principal it was issued to. */
async function objectIdOf({ db, vault }: Context, accounts: readonly Account[]): Promise<string | undefined> {
  for (const { id } of accounts) {
    const grant = await loadGrant(db, id)
    const token = grant && openAccessToken(vault, grant)
    const objectId = token && readClaims(token)?.objectId
    if (objectId) return objectId
  }
  return undefined
}
