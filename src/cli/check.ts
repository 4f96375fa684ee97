// `poststelle check`: one line and an exit code for Nagios, Icinga and their kin (Monitoring Plugins, development guidelines).

import type { Command } from 'commander'
import { errorText } from '../base/failure.ts'
import { readStatus } from '../db/status.ts'
import { overviewOf } from '../health/overview.ts'
import { yesterdayEvening } from '../health/phrases.ts'
import { isBlocked } from '../health/verdict.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { printableText } from './printable.ts'
import { ExitWith, withInstallation } from './run.ts'

const WORDS = ['OK', 'WARNING', 'CRITICAL', 'UNKNOWN'] as const
/** Seconds that due mail of accounts that work may wait. */
const DUE_WARNING = 300
const DUE_CRITICAL = 900

const LEVELS = { well: 0, notes: 1, blocked: 2, stopped: 2 } as const

export function addCheckCommand(program: Command, ctx: CommandContext): void {
  addLanguageOption(
    program
      .command('check')
      .description('one line and an exit code for monitoring: 0 well, 1 notes, 2 somebody must act, 3 not known'),
  ).action(async (options: LanguageOption) => {
    let level: 0 | 1 | 2 | 3 = 3
    let line: string
    try {
      ;({ level, line } = await look(ctx, options))
    } catch (error) {
      line = errorText(error)
    }
    ctx.terminal.out(`POSTSTELLE ${WORDS[level]}: ${printableText(line)}\n`)
    if (level !== 0) throw new ExitWith(level)
  })
}

const look = async (ctx: CommandContext, options: LanguageOption): Promise<{ level: 0 | 1 | 2; line: string }> =>
  await withInstallation(ctx, async ({ db, clock }) => {
    const now = clock.now()
    const reading = await readStatus(db, yesterdayEvening(now))
    const { verdict, facts, figures, alarm, kind } = overviewOf(reading, chosenLanguage(options), now)
    const { mail, hearing, accounts } = reading
    const due = mail.oldestDueAt ? Math.max(0, Math.round((now.getTime() - mail.oldestDueAt.getTime()) / 1000)) : 0
    const late = due > DUE_CRITICAL ? 2 : due > DUE_WARNING ? 1 : 0
    const blocked = accounts.filter(isBlocked)
    const waiting = Object.values(mail.open).reduce((sum, n) => sum + n, 0)
    const measured = [
      `accounts=${figures.accounts};;;0`,
      `current=${figures.current};;;0;${figures.accounts}`,
      `blocked=${blocked.length};;0;0`,
      `oldest_due=${due}s;${DUE_WARNING};${DUE_CRITICAL};0`,
      `waiting=${waiting};;;0`,
      `stuck=${mail.stuck};;;0`,
      `deaf_notice_targets=${hearing.deaf};;;0;${hearing.targets}`,
    ]
    const level = Math.max(LEVELS[kind], late, alarm === '' ? 0 : 2) as 0 | 1 | 2
    const text = [verdict, ...(alarm === '' ? [] : [alarm]), facts.join(' · ')].filter(Boolean).join(' ')
    return { level, line: `${text.replaceAll('|', '/')} | ${measured.join(' ')}` }
  })
