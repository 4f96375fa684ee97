// `poststelle status`: the verdict first, then the facts, what needs attention by its cause, and the accounts, those in trouble on
// top.

import type { Command } from 'commander'
import { readStatus, type AccountStatus, type LampStatus, type StatusReading } from '../db/status.ts'
import { readRunway } from '../db/runway.ts'
import { explain } from '../failures/catalogue.ts'
import { overviewOf, type AttentionItem, type Overview } from '../health/overview.ts'
import { counted, yesterdayEvening } from '../health/phrases.ts'
import { runwayOf, runwaySection } from '../health/runway.ts'
import { stateText, worstFirst, type Language } from '../health/verdict.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { age, answer, JSON_FLAG, table, withInstallation, wrapped, type JsonOption } from './run.ts'
import { fullStatusJson } from '../contract/status.ts'

/** An installation of up to so many accounts is shown whole. */
const FEW = 20
const CAUSES = 10
/** From here on causes have a column beside their accounts; below, those that no incident names have lines of their own. */
const WIDE = 100

interface StatusOptions extends JsonOption, LanguageOption {
  readonly all?: boolean
}

export function addStatusCommand(program: Command, ctx: CommandContext): void {
  const command = program
    .command('status')
    .description('is all well, and if not: what, since when, who must act')
    .option('--all', `show all accounts, where there are more than ${FEW}`)
    .option(...JSON_FLAG)
  addLanguageOption(command).action((options: StatusOptions) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const language = chosenLanguage(options)
      const now = clock.now()
      const reading = await readStatus(db, yesterdayEvening(now))
      const ends = runwayOf(await readRunway(db), now)
      const overview = overviewOf(reading, language, now, [runwaySection(ends, language)])
      answer(ctx, options, fullStatusJson(reading, overview, language), () =>
        statusText(reading, overview, { language, now, width: ctx.terminal.columns, all: options.all ?? false }),
      )
    }),
  )
}

interface Look {
  readonly language: Language
  readonly now: Date
  readonly width: number
  readonly all: boolean
}

/** Paragraphs with an empty line between them. */
export function statusText(reading: StatusReading, overview: Overview, look: Look): string {
  const { verdict, facts, attention, sections } = overview
  const width = Math.max(look.width, 80)
  if (reading.accounts.length === 0)
    return `${verdict}\n${look.language === 'de' ? 'Noch keine Konten' : 'No accounts yet'}: poststelle account import FILE\n`
  return [
    `${verdict}\n${wrapped(facts.join(' · '), width)}`,
    overview.alarm === '' ? '' : wrapped(overview.alarm, width),
    attentionText(attention, look.language, width),
    ...sections.map(({ title, lines }) => `${title}\n${lines.map((line) => wrapped(line, width, '  ')).join('')}`),
    accountsText(overview, look, width),
    hostsText(reading.hosts, look),
    restoredText(reading.restored, look, width),
  ]
    .filter(Boolean)
    .join('\n')
}

function attentionText(items: readonly AttentionItem[], language: Language, width: number): string {
  if (items.length === 0) return ''
  const german = language === 'de'
  const shown = items
    .slice(0, CAUSES)
    .map(
      ({ label, flag, subject, extent, actor, nextStep }) =>
        wrapped(`${label} [${flag}]: ${subject}`, width) +
        wrapped(extent, width, '  ') +
        wrapped(`${german ? 'Zuständig' : 'Who acts'}: ${actor}`, width, '  ') +
        (nextStep === '' ? '' : wrapped(`${german ? 'Nächster Schritt' : 'Next step'}: ${nextStep}`, width, '  ')),
    )
  const left = items.length - CAUSES
  if (left > 0)
    shown.push(
      german ? `und ${left} weitere: poststelle incident list\n` : `and ${left} more: poststelle incident list\n`,
    )
  return `${german ? 'BRAUCHT AUFMERKSAMKEIT' : 'NEEDS ATTENTION'} (${items.length})\n${shown.join('')}`
}

function accountsText({ inTrouble, others, attention }: Overview, look: Look, width: number): string {
  const { language, now, all } = look
  const german = language === 'de'
  const rest = worstFirst(others)
  const whole = all || inTrouble.length + rest.length <= FEW
  const shown = whole ? [...inTrouble, ...rest] : inTrouble.slice(0, FEW)
  const told = new Set(attention.map(({ flag }) => flag))
  const narrow = width < WIDE
  const head = german
    ? ['KONTO', 'EMPFANG', 'VERSAND', 'WARTET', ...(narrow ? [] : ['URSACHE'])]
    : ['ACCOUNT', 'RECEIVE', 'SEND', 'WAITING', ...(narrow ? [] : ['CAUSE'])]
  const cells = shown.map((one) => [...accountCells(one, language, now), ...(narrow ? [] : [causesOf(one, language)])])
  const causes = narrow
    ? shown
        .filter(({ flags }) => flags.some(({ flag }) => !told.has(flag)))
        .map((one) => wrapped(`${one.email}: ${causesOf(one, language)}`, width))
    : []
  const lines = shown.length === 0 ? '' : `${table([head, ...cells], width)}${causes.join('')}`
  return whole
    ? lines
    : `${lines}${wrapped(`${leftOut(inTrouble.length - shown.length, rest.length, language)}: poststelle status --all`, width)}`
}

/** "380 weitere gestört, 9.580 weitere Konten ohne eigene Störung" */
function leftOut(inTrouble: number, others: number, language: Language): string {
  const german = language === 'de'
  const trouble = german
    ? counted(inTrouble, 'weiteres gestört', 'weitere gestört', language)
    : counted(inTrouble, 'more in trouble', 'more in trouble', language)
  const rest = german
    ? counted(others, 'Konto ohne eigene Störung', 'Konten ohne eigene Störung', language)
    : counted(others, 'account without trouble of its own', 'accounts without trouble of their own', language)
  return inTrouble > 0 ? `${trouble}, ${rest}` : rest
}

function accountCells({ email, receive, send, waiting }: AccountStatus, language: Language, now: Date): string[] {
  const lamp = (status: LampStatus | null) =>
    status ? `${stateText(status.state, language)} (${age(status.since, now)})` : '–'
  return [email, lamp(receive), lamp(send), waiting.oldestAt ? `${waiting.count} (${age(waiting.oldestAt, now)})` : '0']
}

const causesOf = ({ flags }: AccountStatus, language: Language): string =>
  [...new Set(flags.map(({ flag }) => flag))].map((flag) => `${explain(flag, language).label} [${flag}]`).join(', ')

/** One line per host for which all its accounts wait. */
function hostsText(hosts: StatusReading['hosts'], { language, now }: Look): string {
  return hosts
    .map(({ host, accounts, flag, openedAt, openUntil }) => {
      const label = explain(flag, language).label
      const next = Math.max(0, Math.ceil((openUntil.getTime() - now.getTime()) / 60_000))
      return language === 'de'
        ? `${host}: ${accounts} Konten warten seit ${age(openedAt, now)}, nächster Versuch in ${next} min: ${label} [${flag}]\n`
        : `${host}: ${accounts} accounts wait since ${age(openedAt, now)}, next try in ${next} min: ${label} [${flag}]\n`
    })
    .join('')
}

/** Nothing of it goes out by itself: the line says what to do. */
function restoredText(restored: StatusReading['restored'], { language, now }: Look, width: number): string {
  if (!restored) return ''
  const { held, fencedAt } = restored
  const list = 'poststelle outbox list --reason after_restore'
  return wrapped(
    language === 'de'
      ? `Die Datenbank wurde vor ${age(fencedAt, now)} wiederhergestellt: ${held} ${held === 1 ? 'Nachricht ist' : 'Nachrichten sind'} angehalten und vielleicht schon gesendet. Prüfen: "${list}", dann freigeben (outbox release) oder stornieren (outbox cancel).`
      : `The database was restored ${age(fencedAt, now)} ago: ${held} ${held === 1 ? 'message is' : 'messages are'} held and may have been sent already. Review: "${list}", then outbox release or outbox cancel.`,
    width,
  )
}
