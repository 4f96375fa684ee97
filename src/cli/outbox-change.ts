// `poststelle outbox retry|hold|release|cancel|resolve`: changes of the messages named, or of all that a filter finds, which are
// counted and confirmed first.

import { Option, type Command } from 'commander'
import { errorText, UserError } from '../base/failure.ts'
import { planChange, wakeLanesOf, type Change, type ChangePlan } from '../db/outbox-changes.ts'
import { tryDestinationsOf } from '../db/slow-destinations.ts'
import { listOutbox, type OutboxEntry } from '../db/outbox.ts'
import type { Language } from '../health/verdict.ts'
import type { CommandContext, Terminal } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { changeInBatches, outcomeJson, outcomeText, shortfall } from './outbox-bulk.ts'
import { recipientText } from './outbox-entry.ts'
import { addOutboxFilterOptions, isNarrow, outboxFilter, outboxId, type OutboxFilterOptions } from './outbox-options.ts'
import { messages, planWords, say, stateWords } from './outbox-words.ts'
import { printableLine } from './printable.ts'
import { age, answer, JSON_FLAG, plural, withInstallation, type JsonOption } from './run.ts'

interface ChangeOptions extends OutboxFilterOptions, JsonOption, LanguageOption {
  readonly all?: true
  readonly yes?: true
  readonly dryRun?: true
}

const EXAMPLES = 3
/** Asked for by hand: one probe of a parked lane, at once. */
const WAKING: readonly Change[] = ['retry', 'resolve_resend']

export function addOutboxChangeCommands(outbox: Command, ctx: CommandContext): void {
  const add = (name: string, description: string): Command =>
    addOutboxFilterOptions(outbox.command(name).argument('[id...]', 'ids of messages').description(description))
      .option('--all', 'instead of ids or a filter: all that the command is meant for')
      .option('--dry-run', 'count what would be changed, and change nothing')
      .option('--yes', 'do it without asking')
      .option(...JSON_FLAG)
  const simple: [Change, string][] = [
    ['retry', 'try messages now; rejected and expired ones once more, for the recipients that did not get them'],
    ['hold', 'do not send messages until they are released'],
    ['release', 'let held messages go on'],
    ['cancel', 'do not send messages any more'],
  ]
  for (const [change, description] of simple)
    addLanguageOption(add(change, description)).action((words: string[], options: ChangeOptions) =>
      run(ctx, change, words, options),
    )
  const resolve = add('resolve', 'say what holds of messages of which nobody knows whether they were handed over')
    .addOption(new Option('--sent', 'they are taken as handed over').conflicts('resend'))
    .addOption(new Option('--resend', 'they are sent once more, and may arrive twice').conflicts('sent'))
  addLanguageOption(resolve).action((words: string[], options: ChangeOptions & { sent?: true; resend?: true }) => {
    if (!options.sent && !options.resend) throw new UserError('give --sent or --resend', { exitCode: 2 })
    return run(ctx, options.sent ? 'resolve_sent' : 'resolve_resend', words, options)
  })
}

async function run(ctx: CommandContext, change: Change, words: string[], options: ChangeOptions): Promise<void> {
  const named = [...new Set(words.map(outboxId))]
  const narrow = isNarrow(options) || options.all === true
  if (named.length > 0 === narrow)
    throw new UserError('give either ids of messages, or a filter such as --account, or --all', { exitCode: 2 })
  await withInstallation(ctx, async ({ db, clock }) => {
    const language = chosenLanguage(options)
    const filter = narrow ? await outboxFilter(db, clock.now(), options) : { ids: named }
    const plan = await planChange(db, change, filter)
    const examples = await listOutbox(db, { ids: plan.ids.slice(0, EXAMPLES) }, { limit: EXAMPLES })
    const preview = (): string => planText(change, plan, examples, language, clock.now())
    if (options.dryRun) return answer(ctx, options, planJson(change, plan), preview)
    if (narrow || change === 'resolve_resend') {
      ctx.terminal.err(preview())
      if (plan.ids.length > 0 && !options.yes) await confirm(ctx.terminal, plan.ids.length, language)
    }
    // before the lane hears of them, which would put them off
    if (!narrow && WAKING.includes(change)) await tryDestinationsOf(db, named)
    // of messages asked for one by one, those that are refused are told as well
    const outcome = await changeInBatches(ctx.terminal, db, change, narrow ? plan.ids : named.toSorted((a, b) => a - b))
    // one try past what parks the lane, but not for a filter: of a whole fleet it would be a storm of logins
    if (!narrow && WAKING.includes(change)) await wakeLanesOf(db, outcome.changed)
    answer(ctx, options, outcomeJson(change, outcome), () => outcomeText(change, outcome, language))
    const short = shortfall(outcome)
    if (outcome.error !== undefined) throw new Error(`${errorText(outcome.error)}; ${short}`, { cause: outcome.error })
    if (short !== undefined) throw new UserError(short, { exitCode: outcome.left > 0 ? 1 : 3 })
  })
}

/** Throws UserError unless the number of messages is typed. */
async function confirm(terminal: Terminal, count: number, language: Language): Promise<void> {
  if (!terminal.inIsTTY)
    throw new UserError(
      `${plural(count, 'message', 'messages')} would be changed; --yes does it, nothing was changed`,
      {
        exitCode: 2,
      },
    )
  const question = [`Zum Bestätigen die Zahl ${count} eingeben: `, `Type the number ${count} to go on: `] as const
  if ((await terminal.ask(say(question, language))).trim() !== String(count))
    throw new UserError('not confirmed; nothing was changed')
}

/** The shape is a contract: docs/cli.md. */
const planJson = (change: Change, { ids, accounts, oldestAt, states }: ChangePlan): object => ({
  change,
  dry_run: true,
  count: ids.length,
  accounts,
  oldest_at: oldestAt,
  states: states.map(({ state, holdReason, count }) => ({ state, hold_reason: holdReason, count })),
  ids,
})

function planText(
  change: Change,
  { ids, accounts, oldestAt, states }: ChangePlan,
  examples: readonly OutboxEntry[],
  language: Language,
  now: Date,
): string {
  const german = language === 'de'
  if (oldestAt === null)
    return german ? 'Keine Nachricht, für die das in Frage kommt.\n' : 'No message that this could be done to.\n'
  const of = german
    ? `${accounts} ${accounts === 1 ? 'Konto' : 'Konten'}, älteste ${age(oldestAt, now)}`
    : `${plural(accounts, 'account', 'accounts')}, oldest ${age(oldestAt, now)}`
  const counts = states.map(({ state, holdReason, count }) => `${stateWords(state, holdReason, language)} ${count}`)
  const lines = examples.map((entry) =>
    [
      '',
      entry.id,
      printableLine(entry.account, 30),
      recipientText(entry, 30),
      printableLine(entry.subject ?? '', 40),
    ].join('  '),
  )
  const more = ids.length > examples.length ? ['  …'] : []
  return [
    `${planWords(change, language)}: ${messages(ids.length, language)} (${of})`,
    counts.join(' · '),
    ...lines,
    ...more,
  ]
    .map((line) => `${line}\n`)
    .join('')
}
