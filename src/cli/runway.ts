// `poststelle runway`: what ends, and when; as a list, for programs, or as a calendar.

import type { Command } from 'commander'
import { runwayJson } from '../contract/runway.ts'
import { readRunway } from '../db/runway.ts'
import { calendarOf } from '../health/ical.ts'
import type { Language } from '../health/phrases.ts'
import { runwayLine, runwayOf, type RunwayItem } from '../health/runway.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { answer, JSON_FLAG, withInstallation, wrapped, type JsonOption } from './run.ts'

export function addRunwayCommand(program: Command, ctx: CommandContext): void {
  addLanguageOption(
    program
      .command('runway')
      .description('what ends and when: secrets, certificates, sign-ins, and what providers retire')
      .option('--ical', 'as a calendar (RFC 5545)')
      .option(...JSON_FLAG),
  ).action((options: JsonOption & LanguageOption & { ical?: boolean }) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const language = chosenLanguage(options)
      const now = clock.now()
      const items = runwayOf(await readRunway(db), now)
      if (options.ical) return ctx.terminal.out(calendarOf(items, language, now))
      answer(
        ctx,
        options,
        items.map((one) => runwayJson(one, language)),
        () => listText(items, language, Math.max(ctx.terminal.columns, 60)),
      )
    }),
  )
}

function listText(items: readonly RunwayItem[], language: Language, width: number): string {
  if (items.length === 0) return language === 'de' ? 'Nichts läuft ab.\n' : 'Nothing expires.\n'
  return items
    .map((one) => {
      const sign = one.threshold !== null && one.threshold <= 7 ? '✋' : one.threshold === null ? ' ' : '!'
      return `${sign} ${runwayLine(one, language)}\n${wrapped(one.remedy[language], width, '    ')}`
    })
    .join('')
}
