// `poststelle client powershell`: what an Exchange administrator has to run for an app registration that acts without a user.

import type { Command } from 'commander'
import { exchangeScriptOf } from '../accounts/exchange-script.ts'
import { findClient } from '../db/client-secrets.ts'
import type { CommandContext } from './installation.ts'
import { withInstallation } from './run.ts'

export function addPowershellCommand(client: Command, ctx: CommandContext): void {
  client
    .command('powershell')
    .argument('<client>', 'id, client id or label')
    .description('print the Exchange commands that let an app registration into its mailboxes; nothing is run')
    .action((name: string) =>
      withInstallation(ctx, async (installation) => {
        ctx.terminal.out(await exchangeScriptOf(installation, await findClient(installation.db, name)))
      }),
    )
}
