// `poststelle send`: accepts one message for sending, exactly as an application does by SQL.

import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { errorCode, errorText, UserError } from '../base/failure.ts'
import { findAccount } from '../db/accounts.ts'
import { submitMessage } from '../db/submissions.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'

interface SendOptions extends JsonOption {
  readonly account: string
  readonly to: string[]
  readonly file: string
  readonly from?: string
  readonly idempotencyKey?: string
}

export function addSendCommand(program: Command, ctx: CommandContext): void {
  program
    .command('send')
    .description('accept one message for sending; when this returns, the message will not be lost')
    .requiredOption('--account <id or e-mail>', 'the account that sends')
    .requiredOption('--to <address...>', 'envelope recipients')
    .requiredOption('--file <message.eml>', 'the message as RFC 5322 text, "-" for standard input')
    .option('--from <address>', "envelope sender (default: the account's address)")
    .option('--idempotency-key <key>', 'the same key with the same message is accepted only once')
    .option(...JSON_FLAG)
    .action((options: SendOptions) =>
      withInstallation(ctx, async ({ db }) => {
        const account = await findAccount(db, options.account)
        const raw = options.file === '-' ? await ctx.terminal.stdin() : readMessage(options.file)
        const id = await submitMessage(db, {
          account: account.email,
          envelopeFrom: options.from ?? account.email,
          recipients: options.to,
          raw,
          idempotencyKey: options.idempotencyKey ?? null,
        }).catch((error: unknown) => {
          // refused by submit_message itself, which names the field; anything else is a fault of ours
          throw /^(22|23|P0)/.test(errorCode(error))
            ? new UserError(errorText(error), { cause: error, exitCode: 1 })
            : error
        })
        answer(ctx, options, { id }, () => `accepted as message ${id}\n`)
      }),
    )
}

function readMessage(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new UserError(`${file}: cannot be read: ${errorText(error)}`, { cause: error, exitCode: 2 })
  }
}
