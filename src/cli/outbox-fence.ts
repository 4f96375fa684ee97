// `poststelle outbox fence`: holds all outbound mail of a database that was restored from a backup, before the service is started on it.

import type { Command } from 'commander'
import { fenceByHand } from '../delivery/restore-fence.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'

export function addOutboxFenceCommand(outbox: Command, ctx: CommandContext): void {
  outbox
    .command('fence')
    .description(
      'hold all mail that waits: the database was restored from a backup, and what waits may have been sent since',
    )
    .option(...JSON_FLAG)
    .action((options: JsonOption) =>
      withInstallation(ctx, async ({ db, config }) => {
        const held = await fenceByHand({ db, dataFolder: config.dataFolder })
        answer(ctx, options, { held }, () =>
          held === 0
            ? 'no mail waits; nothing is held\n'
            : `${held} ${held === 1 ? 'message is' : 'messages are'} held; see "poststelle outbox list --reason after_restore"\n`,
        )
      }),
    )
}
