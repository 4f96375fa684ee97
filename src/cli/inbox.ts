// `poststelle inbox`: received mail on the command line. list, ack and reparse stand here; show and export in files of their own.

import { Option, type Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { inboxEntryJson } from '../contract/inbox.ts'
import { findAccount } from '../db/accounts.ts'
import { acknowledge, acknowledgeUpTo, listInbox, type ParseState } from '../db/inbox.ts'
import { reparse } from '../db/parsing.ts'
import { entryRow } from './inbox-entry.ts'
import { addInboxExportCommand } from './inbox-export.ts'
import { addFilterOptions, inboxFilter, noMessage, positive, type FilterOptions } from './inbox-options.ts'
import { addInboxShowCommand } from './inbox-show.ts'
import type { CommandContext } from './installation.ts'
import { printableLine } from './printable.ts'
import { answer, JSON_FLAG, plural, table, withInstallation, type JsonOption } from './run.ts'

const LIMIT = 50
const MAX_LIMIT = 10_000

interface ListOptions extends FilterOptions, JsonOption {
  readonly state?: ParseState
  readonly unacknowledged?: true
  readonly limit: number
  readonly after?: number
}

interface AckOptions extends JsonOption {
  readonly upTo?: number
  readonly account?: string
}

export function addInboxCommands(program: Command, ctx: CommandContext): void {
  const inbox = program.command('inbox').description('received mail')
  addListCommand(inbox, ctx)
  addInboxShowCommand(inbox, ctx)
  addInboxExportCommand(inbox, ctx)
  addAckCommand(inbox, ctx)
  addReparseCommand(inbox, ctx)
}

function addListCommand(inbox: Command, ctx: CommandContext): void {
  addFilterOptions(inbox.command('list').description('received mail, newest first'))
    .addOption(
      new Option('--state <state>', 'only what parsing made this of').choices(['pending', 'parsed', 'quarantined']),
    )
    .option('--unacknowledged', 'only mail that no application has acknowledged')
    .option('--limit <n>', `at most so many, up to ${MAX_LIMIT}`, positive, LIMIT)
    .option('--after <id>', 'go on behind this message, with older ones', positive)
    .option(...JSON_FLAG)
    .action((options: ListOptions) =>
      withInstallation(ctx, async ({ db, clock }) => {
        const { state, unacknowledged, after } = options
        const limit = Math.min(options.limit, MAX_LIMIT)
        const filter = {
          ...(await inboxFilter(db, clock.now(), options)),
          ...(state && { state }),
          ...(unacknowledged && { unacknowledged }),
        }
        const found = await listInbox(db, filter, { limit: limit + 1, afterId: after })
        const shown = found.slice(0, limit)
        const next = found.length > limit ? (shown.at(-1)?.id ?? null) : null
        answer(ctx, options, { messages: shown.map(inboxEntryJson), next_after: next }, () => {
          if (shown.length > 0)
            return (
              table(shown.map(entryRow), ctx.terminal.columns) + (next === null ? '' : `older ones: --after ${next}\n`)
            )
          const narrowed = after !== undefined || Object.values(filter).some((value) => value !== undefined)
          return narrowed
            ? 'no message fits these options\n'
            : 'no mail yet; "poststelle account poll ACCOUNT" looks for some now\n'
        })
      }),
    )
}

function addAckCommand(inbox: Command, ctx: CommandContext): void {
  inbox
    .command('ack')
    .argument('[id...]', 'ids of messages')
    .description('say that messages were dealt with, as an application does by ack_inbound')
    .option('--up-to <position>', 'everything of one account up to this position of inbox_since', positive)
    .option('--account <id or e-mail>', 'the account for --up-to')
    .option(...JSON_FLAG)
    .action(async (words: string[], options: AckOptions) => {
      const { upTo, account } = options
      if (words.length > 0 === (upTo !== undefined) || (upTo === undefined) !== (account === undefined))
        throw new UserError('give either ids of messages, or --up-to with --account', { exitCode: 2 })
      const ids = [...new Set(words.map(messageId))]
      await withInstallation(ctx, async ({ db }) => {
        if (upTo !== undefined) {
          const { id, email } = await findAccount(db, account ?? '')
          const { fresh, before } = await acknowledgeUpTo(db, id, upTo)
          return answer(ctx, options, { acknowledged: fresh, before }, () => {
            const had = before === 0 ? '' : `, ${before} had been before`
            return `${email}: ${plural(fresh, 'message', 'messages')} acknowledged${had}\n`
          })
        }
        const result = await acknowledge(db, ids)
        if ('missing' in result) {
          const many = plural(result.missing.length, 'message', 'messages')
          const list = result.missing.slice(0, 10).join(', ')
          throw new UserError(`${many} not there: ${list}; nothing was acknowledged`)
        }
        answer(
          ctx,
          options,
          result.acknowledged.map(({ id, fresh }) => ({ id, acknowledged: fresh })),
          () =>
            result.acknowledged
              .map(({ id, fresh }) => `message ${id}: ${fresh ? 'acknowledged' : 'had been acknowledged before'}\n`)
              .join(''),
        )
      })
    })
}

function messageId(text: string): number {
  if (!/^\d{1,15}$/.test(text) || Number(text) < 1)
    throw new UserError(`"${printableLine(text, 60)}" is not the id of a message`, { exitCode: 2 })
  return Number(text)
}

function addReparseCommand(inbox: Command, ctx: CommandContext): void {
  inbox
    .command('reparse')
    .argument('<id>', 'id of a message', positive)
    .description('take a message apart once more; it comes to inbox_since again, under a new position')
    .option('--raised-limits', 'with the raised limits, for a message that was quarantined or cut')
    .option(...JSON_FLAG)
    .action((id: number, options: JsonOption & { raisedLimits?: true }) =>
      withInstallation(ctx, async ({ db }) => {
        const raisedLimits = options.raisedLimits ?? false
        if ((await reparse(db, [id], { raisedLimits })) === 0) throw noMessage(id)
        answer(
          ctx,
          options,
          { id, raised_limits: raisedLimits },
          () => `message ${id} waits for parsing${raisedLimits ? ', with the raised limits' : ''}\n`,
        )
      }),
    )
}
