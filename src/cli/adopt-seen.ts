// `poststelle account adopt-seen`: moving in from another POP3 tool without retrieving everything again.

import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { Option, type Command } from 'commander'
import { errorCode, UserError } from '../base/failure.ts'
import type { AdoptedSeen } from '../accounts/adopt-seen.ts'
import { isForeignGetmailFile, SEEN_TOOLS, type SeenTool } from '../accounts/seen-lists.ts'
import { findAccount } from '../db/accounts.ts'
import { asWorker } from '../db/as-worker.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'

interface AdoptSeenOptions extends JsonOption {
  readonly from: SeenTool
  readonly user?: string
  readonly host?: string
  readonly skipBad?: true
  readonly dryRun?: true
}

export function addAdoptSeenCommand(account: Command, ctx: CommandContext): void {
  account
    .command('adopt-seen')
    .argument('<account>', 'id or e-mail address')
    .argument('<file>', 'what the other tool remembers: an oldmail-* file, an idfile (.fetchids), or a uidls_file')
    .description('take over what another POP3 tool has retrieved, so that it is not retrieved again')
    .addOption(new Option('--from <tool>', 'whose file it is').choices([...SEEN_TOOLS]).makeOptionMandatory())
    .option('--user <name>', "the user as it stands in the file (default: the account's POP3 user)")
    .option('--host <host>', "the server as it stands in the file (default: the account's POP3 host)")
    .option('--skip-bad', 'leave out lines that cannot be read, instead of adopting nothing')
    .option('--dry-run', 'check everything and count, but change nothing')
    .option(...JSON_FLAG)
    .action((idOrEmail: string, path: string, options: AdoptSeenOptions) =>
      withInstallation(ctx, async (installation) => {
        const found = await findAccount(installation.db, idOrEmail)
        const { adoptSeen, seenOwner } = await import('../accounts/adopt-seen.ts')
        if (
          options.from === 'getmail' &&
          found.pop3 &&
          isForeignGetmailFile(Buffer.from(basename(path)).toString('latin1'), seenOwner(found.pop3, options))
        )
          throw new UserError(
            `${path}: is by its name not of ${found.pop3.username} at ${found.pop3.host}; --user and --host say how getmail calls them`,
            { exitCode: 2 },
          )
        const dryRun = options.dryRun ?? false
        const file = { tool: options.from, name: path, pieces: read(path) }
        const adopted = await asWorker(installation, (workerId) =>
          adoptSeen({ database: installation.database, workerId }, found, file, {
            dryRun,
            skipBad: options.skipBad ?? false,
            user: options.user,
            host: options.host,
          }),
        )
        const { unreadableLines, ...counts } = adopted
        const value = { account: found.email, dry_run: dryRun, ...counts, unreadable_lines: unreadableLines }
        answer(ctx, options, value, () => text(found.email, adopted, dryRun))
      }),
    )
}

async function* read(path: string): AsyncGenerator<Buffer> {
  try {
    for await (const piece of createReadStream(path)) yield piece as Buffer
  } catch (error) {
    throw new UserError(`${path}: cannot be read (${errorCode(error)})`, { cause: error, exitCode: 2 })
  }
}

function text(email: string, adopted: AdoptedSeen, dryRun: boolean): string {
  const { unreadableLines, unreadable, others } = adopted
  const lines = [
    `${email}: ${adopted.read} UIDLs read, ${adopted.new} ${dryRun ? 'would be adopted' : 'adopted'}, ${adopted.known} known before`,
    ...(others > 0 ? [`  ${others} lines are of other maildrops`] : []),
    ...unreadableLines.map(({ line, reason }) => `  left out: line ${line} ${reason}`),
    ...(unreadable > unreadableLines.length ? [`  left out: ${unreadable - unreadableLines.length} more lines`] : []),
  ]
  return `${lines.join('\n')}\n`
}
