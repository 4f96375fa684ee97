// `poststelle account`: import, list, poll; more in account-ledger.ts.

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { hostCheck } from '../accounts/host-check.ts'
import { importAccounts, type ImportedAccount } from '../accounts/import.ts'
import { parseAccounts } from '../accounts/settings.ts'
import { errorCode, UserError } from '../base/failure.ts'
import { accountFilterOf } from '../contract/filter.ts'
import { listCards } from '../db/account-views.ts'
import type { Db } from '../db/database.ts'
import { findAccount, listAccounts, type Account } from '../db/accounts.ts'
import { addLedgerCommands } from './account-ledger.ts'
import { addTestCommand } from './account-test.ts'
import { addSignInCommand } from './sign-in.ts'
import { addAdoptSeenCommand } from './adopt-seen.ts'
import { asWorker } from '../db/as-worker.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

export function addAccountCommands(program: Command, ctx: CommandContext): void {
  const account = program.command('account').description('the accounts of this installation')
  account
    .command('import')
    .argument('<file>', 'JSON: one account or an array of them, "-" for standard input')
    .description('create or change accounts by e-mail address, all of the file or nothing')
    .option('--dry-run', 'check everything and say what would change, but change nothing')
    .option(...JSON_FLAG)
    .action(async (file: string, options: JsonOption & { dryRun?: boolean }) => {
      const source = file === '-' ? 'standard input' : file
      const text = decode(file === '-' ? await ctx.terminal.stdin() : read(file), source)
      const { egressAllow } = ctx.readConfig()
      const accounts = parseAccounts(text, source, hostCheck(egressAllow))
      await withInstallation(
        ctx,
        async ({ db, vault }) => {
          const imported = await importAccounts({ db, vault }, accounts, { dryRun: options.dryRun ?? false })
          answer(ctx, options, { dry_run: options.dryRun ?? false, accounts: imported }, () =>
            importText(imported, options.dryRun ?? false),
          )
        },
        { existing: options.dryRun ?? false },
      )
    })
  account
    .command('list')
    .description('all accounts with their servers')
    .option('--filter <text>', 'as on the pages: "status:blocked app:bm_mail", or words of the address')
    .option(...JSON_FLAG)
    .action((options: JsonOption & { filter?: string }) =>
      withInstallation(ctx, async ({ db }) => {
        const all = await listAccounts(db)
        const wanted = options.filter === undefined ? undefined : await idsOf(db, options.filter)
        const accounts = wanted ? all.filter(({ id }) => wanted.has(id)) : all
        answer(ctx, options, accounts.map(listed), () => {
          if (accounts.length > 0) return table(accounts.map(row), ctx.terminal.columns)
          return all.length > 0
            ? 'no account fits the filter\n'
            : 'no accounts yet; "poststelle account import FILE" makes the first\n'
        })
      }),
    )
  addAdoptSeenCommand(account, ctx)
  account
    .command('poll')
    .argument('<account>', 'id or e-mail address')
    .description('poll one maildrop now, due or not, and say what came of it')
    .option(...JSON_FLAG)
    .action((idOrEmail: string, options: JsonOption) =>
      withInstallation(ctx, async (installation) => {
        const found = await findAccount(installation.db, idOrEmail)
        const { pollNow } = await import('../retrieval/poll-now.ts')
        const { failure, ...counts } = await asWorker(installation, (workerId) =>
          pollNow({ ...installation, workerId }, found),
        )
        if (failure) throw new UserError(`${found.email}: ${failure.flag}: ${failure.evidence}`)
        answer(
          ctx,
          options,
          { account: found.email, ...counts },
          () => `${found.email}: ${counts.stored} stored, ${counts.skipped} skipped, ${counts.deleted} deleted\n`,
        )
      }),
    )
  addLedgerCommands(account, ctx)
  addSignInCommand(account, ctx)
  addTestCommand(account, ctx)
}

const ALL = 1_000_000

async function idsOf(db: Db, filter: string): Promise<ReadonlySet<number>> {
  const { cards } = await listCards(db, accountFilterOf(filter), { offset: 0, limit: ALL })
  return new Set(cards.map(({ id }) => id))
}

function read(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new UserError(`${file}: cannot be read (${errorCode(error)})`, { cause: error, exitCode: 2 })
  }
}

/** A password in another encoding would be stored as another password. */
function decode(bytes: Buffer, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new UserError(`${source}: is not UTF-8 text; save it in that encoding`, { cause: error, exitCode: 2 })
  }
}

function importText(imported: readonly ImportedAccount[], dryRun: boolean): string {
  const lines = imported.flatMap(({ email, change, notes }) => [
    `${email}: ${dryRun ? 'would be ' : ''}${change}`,
    ...notes.map((note) => `  note: ${note}`),
  ])
  return `${lines.join('\n')}\n`
}

const listed = ({ id, email, label, isDefault, provider, pop3, smtp, auth }: Account) => ({
  id,
  email,
  label,
  default: isDefault,
  provider,
  pop3,
  smtp,
  auth:
    auth.type === 'oauth2'
      ? { type: auth.type, flow: auth.flow, token_endpoint: auth.client.tokenEndpoint, client_id: auth.client.clientId }
      : { type: auth.type },
})

const row = ({ id, email, provider, pop3, smtp, auth }: Account): string[] => [
  String(id),
  email,
  provider,
  pop3 ? `${pop3.host}:${pop3.port} ${pop3.security}` : '-',
  smtp ? `${smtp.host}:${smtp.port} ${smtp.security}` : '-',
  auth.type === 'oauth2' ? `oauth2 ${auth.flow}` : auth.type,
]
