// `poststelle outbox`: outbound mail on the command line. Its commands stand in files of their own.

import type { Command } from 'commander'
import type { CommandContext } from './installation.ts'
import { addOutboxFenceCommand } from './outbox-fence.ts'

export function addOutboxCommands(program: Command, ctx: CommandContext): void {
  const outbox = program.command('outbox').description('outbound mail')
  addOutboxFenceCommand(outbox, ctx)
}
