// `poststelle outbox`: mail for sending on the command line. list stands here; show and the changes in files of their own.

import type { Command } from 'commander'
import { outboxEntryJson } from '../contract/outbox.ts'
import { countOutbox, listOutbox, type OutboxEntry, type StateCount } from '../db/outbox.ts'
import type { Language } from '../health/verdict.ts'
import { positive } from './inbox-options.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { addOutboxChangeCommands } from './outbox-change.ts'
import { entryRow, HEAD, replyLine } from './outbox-entry.ts'
import { addOutboxFenceCommand } from './outbox-fence.ts'
import { addOutboxFilterOptions, isNarrow, outboxFilter, type OutboxFilterOptions } from './outbox-options.ts'
import { addOutboxShowCommand } from './outbox-show.ts'
import { stateWords } from './outbox-words.ts'
import { printableLine } from './printable.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

const LIMIT = 50
const MAX_LIMIT = 10_000

interface ListOptions extends OutboxFilterOptions, JsonOption, LanguageOption {
  readonly limit: number
  readonly after?: number
}

export function addOutboxCommands(program: Command, ctx: CommandContext): void {
  const outbox = program.command('outbox').description('mail for sending')
  addListCommand(outbox, ctx)
  addOutboxShowCommand(outbox, ctx)
  addOutboxChangeCommands(outbox, ctx)
  addOutboxFenceCommand(outbox, ctx)
}

function addListCommand(outbox: Command, ctx: CommandContext): void {
  const command = addOutboxFilterOptions(outbox.command('list').description('mail for sending, newest first'))
    .option('--limit <n>', `at most so many, up to ${MAX_LIMIT}`, positive, LIMIT)
    .option('--after <id>', 'go on behind this message, with older ones', positive)
    .option(...JSON_FLAG)
  addLanguageOption(command).action((options: ListOptions) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const limit = Math.min(options.limit, MAX_LIMIT)
      const filter = await outboxFilter(db, clock.now(), options)
      const counts = await countOutbox(db, filter)
      const found = await listOutbox(db, filter, { limit: limit + 1, afterId: options.after })
      const shown = found.slice(0, limit)
      const next = found.length > limit ? (shown.at(-1)?.id ?? null) : null
      const value = {
        counts: counts.map(({ state, holdReason, count }) => ({ state, hold_reason: holdReason, count })),
        messages: shown.map(outboxEntryJson),
        next_after: next,
      }
      answer(ctx, options, value, () => {
        const language = chosenLanguage(options)
        if (shown.length > 0) return listText(shown, counts, next, { language, now: clock.now(), ctx })
        return emptyText(isNarrow(options) || options.after !== undefined, language)
      })
    }),
  )
}

function listText(
  shown: readonly OutboxEntry[],
  counts: readonly StateCount[],
  next: number | null,
  { language, now, ctx }: { language: Language; now: Date; ctx: CommandContext },
): string {
  const header = counts.map(({ state, holdReason, count }) => `${stateWords(state, holdReason, language)} ${count}`)
  const width = Math.max(ctx.terminal.columns, 80)
  const rows = endsInView([HEAD[language], ...shown.map((entry) => entryRow(entry, language, now))], width)
  const [head = '', ...lines] = table(rows, width).split(/(?<=\n)/)
  const body = shown.map((entry, i) => (lines[i] ?? '') + replyLine(entry, width)).join('')
  const more = language === 'de' ? 'ältere' : 'older ones'
  return `${header.join(' · ')}\n\n${head}${body}${next === null ? '' : `${more}: --after ${next}\n`}`
}

/** What is cut at the right side ends with "…". */
function endsInView(rows: readonly (readonly string[])[], width: number): string[][] {
  const last = (rows[0]?.length ?? 1) - 1
  const before = Array.from({ length: last }, (_, i) => 2 + Math.max(...rows.map((row) => row[i]?.length ?? 0)))
  const left = width - before.reduce((sum, cells) => sum + cells, 0)
  return rows.map((row) => [...row.slice(0, last), printableLine(row[last] ?? '', Math.max(8, left))])
}

function emptyText(narrowed: boolean, language: Language): string {
  if (narrowed)
    return language === 'de' ? 'Keine Nachricht passt zu diesen Angaben.\n' : 'No message fits these options.\n'
  return language === 'de'
    ? 'Noch keine Post im Postausgang. Sie kommt mit submit_message oder "poststelle send" hinein.\n'
    : 'No mail in the outbox yet. It comes in by submit_message or "poststelle send".\n'
}
