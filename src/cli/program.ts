// The command line: its commands, their options, and what every error becomes: one clear sentence on stderr and an exit code
// (0 ok, 1 failed, 2 asked for wrongly, 3 refused in part).

import { Command, CommanderError } from 'commander'
import { errorText, UserError } from '../base/failure.ts'
import { addAccountCommands } from './account.ts'
import { addCheckCommand } from './check.ts'
import { addClassifyCommand } from './classify.ts'
import { addClientCommands } from './client.ts'
import { addDemoCommand } from './demo.ts'
import { addInboxCommands } from './inbox.ts'
import { addIncidentCommands } from './incident.ts'
import type { CommandContext } from './installation.ts'
import { addKeyCommand } from './key.ts'
import { addMigrateCommand } from './migrate.ts'
import { addOutboxCommands } from './outbox.ts'
import { printableText } from './printable.ts'
import { addRetentionCommands } from './retention.ts'
import { addRunwayCommand } from './runway.ts'
import { addSendCommand } from './send.ts'
import { ExitWith } from './run.ts'
import { addStartCommand } from './start.ts'
import { addStatusCommand } from './status.ts'
import { addUserCommands } from './user.ts'

/** Returns the exit code. */
export async function runProgram(args: readonly string[], ctx: CommandContext): Promise<number> {
  const program = new Command('poststelle')
    .description('The mail room of business software: mail in, mail out, tokens fresh, every refusal named.')
    .version(ctx.version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => ctx.terminal.out(text),
      writeErr: (text) => ctx.terminal.err(printableText(text)),
    })
    .showHelpAfterError('(--help explains the command)')
  addStartCommand(program, ctx)
  addDemoCommand(program, ctx)
  addMigrateCommand(program, ctx)
  addAccountCommands(program, ctx)
  addInboxCommands(program, ctx)
  addOutboxCommands(program, ctx)
  addSendCommand(program, ctx)
  addStatusCommand(program, ctx)
  addCheckCommand(program, ctx)
  addRunwayCommand(program, ctx)
  addIncidentCommands(program, ctx)
  addClassifyCommand(program, ctx)
  addClientCommands(program, ctx)
  addKeyCommand(program, ctx)
  addRetentionCommands(program, ctx)
  addUserCommands(program, ctx)
  try {
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    if (error instanceof ExitWith) return error.exitCode
    // a name of a file, or an argument, may be a stranger's
    ctx.terminal.err(`poststelle: ${printableText(errorText(error))}\n`)
    return error instanceof UserError ? error.exitCode : 1
  }
}
