// `poststelle send`: accepts one message for sending, exactly as an application does by SQL: complete (--file), or in parts.

import { InvalidArgumentError, type Command } from 'commander'
import { DAY_MS, HOUR_MS, instant, later, MINUTE_MS } from '../base/clock.ts'
import { errorCode, errorText, UserError } from '../base/failure.ts'
import { findAccount } from '../db/accounts.ts'
import { submitMessage, submitParts } from '../db/submissions.ts'
import type { CommandContext } from './installation.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'
import { hasParts, partsOf, readBytes, type PartsOptions } from './send-parts.ts'

interface SendOptions extends JsonOption, PartsOptions {
  readonly account: string
  readonly file?: string
  readonly idempotencyKey?: string
  readonly sendAfter?: (now: Date) => Date
  readonly priority?: number
  readonly urgent?: true
}

const URGENT = 100

export function addSendCommand(program: Command, ctx: CommandContext): void {
  program
    .command('send')
    .description('accept one message for sending; when this returns, the message will not be lost')
    .requiredOption('--account <id or e-mail>', 'the account that sends')
    .option('--to <address...>', 'recipients; with --file those of the envelope')
    .option('--file <message.eml>', 'the complete message as RFC 5322 text, "-" for standard input')
    .option('--from <address>', "sender; with --file that of the envelope (default: the account's address)")
    .option('--from-name <name>', "the sender's name")
    .option('--cc <address...>', 'more recipients')
    .option('--bcc <address...>', 'recipients whom the others do not see')
    .option('--reply-to <address>', 'where answers go')
    .option('--subject <text>', 'the subject')
    .option('--text <text or @file>', 'the text, or the file that holds it, "@-" for standard input')
    .option('--html <html or @file>', 'the same as HTML')
    .option('--attach <file...>', 'files to attach')
    .option('--idempotency-key <key>', 'the same key with the same message is accepted only once')
    .option('--send-after <instant or 2h>', 'not before then: an instant, or so many m, h or d from now', ahead)
    .option('--priority <n>', '-100 to 100: higher ones of an account go first (default: 0)', wholeNumber)
    .option('--urgent', 'the same as --priority 100')
    .option(...JSON_FLAG)
    .action((options: SendOptions) => {
      check(options)
      return withInstallation(ctx, async ({ db, clock }) => {
        const account = await findAccount(db, options.account)
        const common = {
          account: account.email,
          idempotencyKey: options.idempotencyKey ?? null,
          sendAfter: options.sendAfter?.(clock.now()) ?? null,
          priority: options.urgent ? URGENT : (options.priority ?? 0),
        }
        const stdin = () => ctx.terminal.stdin()
        const submit = async (): Promise<number> =>
          options.file === undefined
            ? submitParts(db, { ...common, parts: await partsOf(options, account.email, stdin) })
            : submitMessage(db, {
                ...common,
                envelopeFrom: options.from ?? account.email,
                recipients: options.to ?? [],
                raw: await readBytes(options.file, stdin),
              })
        const id = await submit().catch((error: unknown) => {
          // refused by the function itself, which names the field; anything else is a fault of ours
          throw /^(22|23|P0)/.test(errorCode(error))
            ? new UserError(errorText(error), { cause: error, exitCode: 1 })
            : error
        })
        answer(ctx, options, { id }, () => `accepted as message ${id}\n`)
      })
    })
}

function check(options: SendOptions): void {
  const wrong = (sentence: string): never => {
    throw new UserError(sentence, { exitCode: 2 })
  }
  if (options.file !== undefined && hasParts(options))
    wrong('--file: is a complete message; the options that make one do not go with it')
  if (options.file === undefined && !hasParts(options))
    wrong('the message is missing: --file, or --subject, --text, --html, --attach')
  if (options.file !== undefined && !options.to) wrong('--to: is missing')
  if (options.urgent && options.priority !== undefined) wrong('--urgent: is a priority itself; give one of the two')
}

function wholeNumber(text: string): number {
  if (!/^-?\d{1,3}$/.test(text) || Math.abs(Number(text)) > 100)
    throw new InvalidArgumentError('It is a whole number from -100 to 100.')
  return Number(text)
}

const UNIT_MS: Readonly<Record<string, number>> = { m: MINUTE_MS, h: HOUR_MS, d: DAY_MS }

function ahead(text: string): (now: Date) => Date {
  const [, count, unit = ''] = /^(\d{1,4})([mhd])$/.exec(text) ?? []
  if (count !== undefined) return (now) => later(now, Number(count) * (UNIT_MS[unit] ?? 0))
  const [, day = '', time = '00:00', zone = 'Z'] =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? []
  const at = instant(day, time, zone)
  if (!at)
    throw new InvalidArgumentError(
      'It is an instant such as 2026-11-23T08:00Z, or a time from now such as 30m, 2h or 1d.',
    )
  return () => at
}
