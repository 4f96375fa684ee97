// `poststelle key`: keys of the ring that seals secrets at rest.

import type { Command } from 'commander'
import { generateKey } from '../secrets/key-file.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, type JsonOption } from './run.ts'

export function addKeyCommand(program: Command, ctx: CommandContext): void {
  program
    .command('key')
    .description('keys that seal secrets at rest')
    .command('generate')
    .description('print a new key for POSTSTELLE_KEYS (new keys go in front, older ones stay behind it)')
    .option(...JSON_FLAG)
    .action((options: JsonOption) => {
      const key = generateKey(new Date())
      answer(ctx, options, { key }, () => `${key}\n`)
    })
}
