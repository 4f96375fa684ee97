// `poststelle retention`: how long what is over is kept, and the legal hold under which nothing is removed.

import type { Command } from 'commander'
import { UserError } from '../base/failure.ts'
import {
  changeRetention,
  COUNTED,
  previewRetention,
  retentionChange,
  retentionJson,
  type RetentionJson,
  type RetentionPreviewJson,
} from '../contract/retention.ts'
import type { Db } from '../db/database.ts'
import { RETAINED, type Retained } from '../db/retention.ts'
import type { Language } from '../health/phrases.ts'
import { commandActor } from './actor.ts'
import type { CommandContext, Terminal } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { printableLine } from './printable.ts'
import { answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

type Options = JsonOption & LanguageOption

interface SetOptions extends Options, Partial<Record<Retained, string>> {
  readonly yes?: true
}

const FOR_EVER = 'forever'
const NAMES: Readonly<Record<Retained, Readonly<Record<Language, string>>>> = {
  received: { de: 'Eingang, abgeholt', en: 'received, acknowledged' },
  sent: { de: 'Ausgang, abgeschlossen', en: 'outgoing, finished' },
  transcripts: { de: 'Mitschriften', en: 'transcripts' },
  audit: { de: 'Audit-Protokoll', en: 'audit log' },
}

export function addRetentionCommands(program: Command, ctx: CommandContext): void {
  const group = program.command('retention').description('how long what is over is kept')
  const add = (command: Command): Command => addLanguageOption(command.option(...JSON_FLAG))
  add(group.command('show').description('what is kept for how long, and how much there is of it')).action(
    (options: Options) => withInstallation(ctx, ({ db }) => show(ctx, db, options)),
  )
  add(
    group
      .command('set')
      .description(`change it: days, or "${FOR_EVER}"; what is older is removed within the hour`)
      .option('--received <days>', 'received mail, counted from its acknowledgement; mail without one stays')
      .option('--sent <days>', 'outgoing mail that is sent, rejected, expired or cancelled')
      .option('--transcripts <days>', 'transcripts of attempts to send; the attempts stay with their mail')
      .option('--audit <days>', 'entries of the audit log')
      .option('--yes', 'do it without asking'),
  ).action((options: SetOptions) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const given = RETAINED.flatMap((of) => (options[of] === undefined ? [] : [[of, daysOf(options[of])] as const]))
      const parsed = retentionChange.safeParse({ days: Object.fromEntries(given) })
      if (!parsed.success)
        throw new UserError(
          parsed.error.issues.map(({ path, message }) => `--${String(path.at(-1))}: ${message}`).join('\n'),
          { exitCode: 2 },
        )
      if (given.length === 0) throw new UserError('nothing is to be changed; --help shows what can be', { exitCode: 2 })
      const would = await previewRetention(db, parsed.data.days, clock.now())
      await confirm(
        ctx.terminal,
        options,
        given.map(([of]) => of).filter((of) => (would[of] ?? 0) > 0),
        would,
      )
      await changeRetention(db, commandActor(), parsed.data)
      await show(ctx, db, options)
    }),
  )
  add(
    group
      .command('hold')
      .argument('<reason>', 'why, and for whom: a file number, for example')
      .description('a legal hold: nothing is removed until it is lifted'),
  ).action((reason: string, options: Options) =>
    withInstallation(ctx, async ({ db }) => {
      const parsed = retentionChange.safeParse({ hold: { reason } })
      if (!parsed.success) throw new UserError('the reason is empty, or longer than 500 characters', { exitCode: 2 })
      await changeRetention(db, commandActor(), parsed.data)
      await show(ctx, db, options)
    }),
  )
  add(group.command('lift').description('end the legal hold; what is too old is removed within the hour')).action(
    (options: Options) =>
      withInstallation(ctx, async ({ db }) => {
        await changeRetention(db, commandActor(), { hold: null })
        await show(ctx, db, options)
      }),
  )
}

const daysOf = (given: string): number | string | null =>
  given === FOR_EVER ? null : /^\d{1,6}$/.test(given) ? Number(given) : given

/** Throws UserError unless "ja" or "yes" is typed where something is about to go. */
async function confirm(
  terminal: Terminal,
  options: SetOptions,
  going: readonly Retained[],
  would: RetentionPreviewJson,
): Promise<void> {
  if (going.length === 0 || options.yes) return
  const language = chosenLanguage(options)
  const german = language === 'de'
  const counted = (n: number): string => (n > COUNTED ? `${german ? 'über' : 'over'} ${COUNTED}` : String(n))
  const what = going.map((of) => `${NAMES[of][language]}: ${counted(would[of] ?? 0)}`).join(', ')
  if (!terminal.inIsTTY)
    throw new UserError(`would be removed for ever: ${what}; --yes does it, nothing was changed`, { exitCode: 2 })
  terminal.err(german ? `Endgültig entfernt wird: ${what}.\n` : `Removed for ever: ${what}.\n`)
  const typed = await terminal.ask(german ? 'Zum Bestätigen „ja“ eingeben: ' : 'Type "yes" to go on: ')
  if (typed.trim() !== (german ? 'ja' : 'yes')) throw new UserError('not confirmed; nothing was changed')
}

async function show(ctx: CommandContext, db: Db, options: Options): Promise<void> {
  const json = await retentionJson(db)
  answer(ctx, options, json, () => showText(json, chosenLanguage(options), ctx.terminal.columns))
}

function showText(json: RetentionJson, language: Language, columns: number): string {
  const german = language === 'de'
  const head = german
    ? ['', 'AUFBEWAHRT', 'BELEGT', 'ÄLTESTES', 'BISHER ENTFERNT']
    : ['', 'KEPT', 'SIZE', 'OLDEST', 'REMOVED SO FAR']
  const rows = RETAINED.map((of) => {
    const { days, bytes, oldest_at: oldest, removed } = json[of]
    const kept = days === null ? (german ? 'für immer' : 'for ever') : `${days} ${german ? 'Tage' : 'days'}`
    return [NAMES[of][language], kept, `${Math.ceil(bytes / 1e6)} MB`, oldest?.slice(0, 10) ?? '-', String(removed)]
  })
  const { hold } = json
  const held = german
    ? `Löschsperre seit ${hold?.since.slice(0, 10)}, von ${printableLine(hold?.by ?? '', 60)}: ${printableLine(hold?.reason ?? '', 500)}`
    : `legal hold since ${hold?.since.slice(0, 10)}, by ${printableLine(hold?.by ?? '', 60)}: ${printableLine(hold?.reason ?? '', 500)}`
  return `${table([head, ...rows], columns)}${hold ? `${held}\n` : ''}`
}
