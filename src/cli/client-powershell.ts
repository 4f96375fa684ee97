// `poststelle client powershell`: what an Exchange administrator has to run for an app registration that acts without a user.

import type { Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { openAccessToken } from '../credentials/sealed.ts'
import { listAccounts, type Account } from '../db/accounts.ts'
import { findClient } from '../db/client-secrets.ts'
import { loadGrant } from '../db/grants.ts'
import { readClaims } from '../oauth/claims.ts'
import { exchangeScript } from '../oauth/exchange-setup.ts'
import type { CommandContext, Installation } from './installation.ts'
import { withInstallation } from './run.ts'

export function addPowershellCommand(client: Command, ctx: CommandContext): void {
  client
    .command('powershell')
    .argument('<client>', 'id, client id or label')
    .description('print the Exchange commands that let an app registration into its mailboxes; nothing is run')
    .action((name: string) =>
      withInstallation(ctx, async (installation) => {
        const { db } = installation
        const found = await findClient(db, name)
        const accounts = (await listAccounts(db)).filter(
          ({ auth }) => auth.type === 'oauth2' && auth.client.id === found.id && auth.flow === 'client_credentials',
        )
        if (found.provider !== 'microsoft' || accounts.length === 0)
          throw new UserError(
            `${found.label || found.clientId}: no account signs in at Microsoft with "client_credentials" by it; only those need this`,
          )
        ctx.terminal.out(
          exchangeScript({
            tokenEndpoint: found.tokenEndpoint,
            clientId: found.clientId,
            objectId: await objectIdOf(installation, accounts),
            mailboxes: accounts.map(({ email, pop3, smtp }) => ({
              email,
              receives: pop3 !== null,
              sends: smtp !== null,
            })),
          }),
        )
      }),
    )
}

/** An app's own token names the service principal it was issued to. */
async function objectIdOf({ db, vault }: Installation, accounts: readonly Account[]): Promise<string | undefined> {
  for (const { id } of accounts) {
    const grant = await loadGrant(db, id)
    const token = grant && openAccessToken(vault, grant)
    const objectId = token && readClaims(token)?.objectId
    if (objectId) return objectId
  }
  return undefined
}
