// `poststelle incident`: causes over many accounts, those that last and those that are over, and one of them in full.

import type { Command } from 'commander'
import { UserError } from '../base/failure.ts'
import {
  listIncidents,
  loadIncident,
  type IncidentDetails,
  type IncidentEvent,
  type IncidentRow,
} from '../db/incident-lists.ts'
import { explain } from '../failures/catalogue.ts'
import { subjectText } from '../health/overview.ts'
import { counted, preciseSpan, type Language } from '../health/phrases.ts'
import { positive } from './inbox-options.ts'
import type { CommandContext } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { printableLine } from './printable.ts'
import { answer, JSON_FLAG, table, withInstallation, wrapped, type JsonOption } from './run.ts'
import { incidentDetailsJson, incidentJson } from '../contract/incidents.ts'

const MOST = 1_000
const SHOWN_ACCOUNTS = 50

export function addIncidentCommands(program: Command, ctx: CommandContext): void {
  const incident = program
    .command('incident')
    .description('causes over many accounts: open ones, and those that are over')
  const list = incident
    .command('list')
    .description('list the open incidents, the newest first')
    .option('--closed', `those that are over instead, the last ${MOST}`)
    .option(...JSON_FLAG)
  addLanguageOption(list).action((options: { closed?: boolean } & JsonOption & LanguageOption) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const language = chosenLanguage(options)
      const rows = await listIncidents(db, { closed: options.closed ?? false, limit: MOST })
      answer(ctx, options, { incidents: rows.map((row) => incidentJson(row, language)) }, () =>
        listText(rows, language, clock.now(), ctx.terminal.columns),
      )
    }),
  )
  const show = incident
    .command('show')
    .description('show one incident: its events, its accounts, the evidence and the remedy')
    .argument('<id>', 'number of the incident', positive)
    .option(...JSON_FLAG)
  addLanguageOption(show).action((id: number, options: JsonOption & LanguageOption) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const language = chosenLanguage(options)
      const found = await loadIncident(db, id)
      if (!found) throw new UserError(`there is no incident ${id}; "poststelle incident list" shows what is there`)
      answer(ctx, options, incidentDetailsJson(found, language), () =>
        detailsText(found, language, clock.now(), Math.max(80, ctx.terminal.columns)),
      )
    }),
  )
}

function listText(rows: readonly IncidentRow[], language: Language, now: Date, width: number): string {
  const german = language === 'de'
  if (rows.length === 0) return german ? 'Keine Vorfälle.\n' : 'No incidents.\n'
  const head = german
    ? ['NR.', 'DAUER', 'KONTEN', 'WARTEN', 'URSACHE']
    : ['NO.', 'LASTS', 'ACCOUNTS', 'WAITING', 'CAUSE']
  return table(
    [
      head,
      ...rows.map((row) => {
        const over = row.closed_at !== null
        return [
          String(row.id),
          preciseSpan((row.gone_at ?? now).getTime() - row.opened_at.getTime(), language),
          String(over ? row.accounts_most : row.accounts),
          String(over ? row.waiting_most : row.waiting),
          `${explain(row.flag, language).label} [${row.flag}]: ${subjectText(row, language)}`,
        ]
      }),
    ],
    Math.max(80, width),
  )
}

function detailsText(incident: IncidentDetails, language: Language, now: Date, width: number): string {
  const german = language === 'de'
  const { label, meaning, actor, steps, link } = explain(incident.flag, language)
  const lines = [
    wrapped(`${label} [${incident.flag}]: ${subjectText(incident, language)}`, width),
    wrapped(meaning, width),
    wrapped(`${german ? 'Zuständig' : 'Who acts'}: ${actor}`, width),
    ...steps.map((step, at) => wrapped(`${at + 1}. ${step}`, width, '  ')),
    link === null ? '' : `${german ? 'Mehr dazu' : 'More about it'}: ${link}\n`,
    wrapped(`${german ? 'Antwort des Servers' : "The server's answer"}: ${printableLine(incident.evidence)}`, width),
    '\n',
    ...incident.events.map((event) => wrapped(`${time(event.at, language)}  ${eventText(event, language)}`, width)),
    incident.merged_into === null
      ? ''
      : german
        ? `Teil von Vorfall ${incident.merged_into}\n`
        : `part of incident ${incident.merged_into}\n`,
    '\n',
    accountsText(incident, language, now, width),
  ]
  return lines.join('')
}

/** "behoben nach 3 Std. 12 Min., 412 Nachrichten warteten, 398 davon sind seither übergeben" */
export function eventText(
  { event, accounts, waiting, lastedSeconds, sentSince }: IncidentEvent,
  language: Language,
): string {
  const german = language === 'de'
  const many = german
    ? counted(accounts, 'Konto', 'Konten', language)
    : counted(accounts, 'account', 'accounts', language)
  const wait = german
    ? counted(waiting, 'Nachricht wartet', 'Nachrichten warten', language)
    : counted(waiting, 'message waits', 'messages wait', language)
  switch (event) {
    case 'opened':
      return german ? `begonnen: ${many}, ${wait}` : `opened: ${many}, ${wait}`
    case 'grew':
      return german ? `gewachsen: ${many}, ${wait}` : `grew: ${many}, ${wait}`
    case 'merged':
      return german ? `in einem größeren Vorfall aufgegangen: ${many}` : `became part of a larger incident: ${many}`
    case 'closed': {
      const lasted = preciseSpan((lastedSeconds ?? 0) * 1000, language)
      const sent = String(sentSince ?? 0)
      return german
        ? `behoben nach ${lasted}: ${many}, ${counted(waiting, 'Nachricht wartete', 'Nachrichten warteten', language)}, ${sent} seither übergeben`
        : `recovered after ${lasted}: ${many}, ${counted(waiting, 'message waited', 'messages waited', language)}, ${sent} handed over since`
    }
  }
}

function accountsText({ affected }: IncidentDetails, language: Language, now: Date, width: number): string {
  const german = language === 'de'
  const head = german ? ['KONTO', 'RICHTUNG', 'DAUER', ''] : ['ACCOUNT', 'DIRECTION', 'LASTS', '']
  const rows = affected
    .slice(0, SHOWN_ACCOUNTS)
    .map(({ email, direction, joinedAt, leftAt }) => [
      email,
      direction === 'receive' ? (german ? 'Empfang' : 'receive') : german ? 'Versand' : 'send',
      preciseSpan((leftAt ?? now).getTime() - joinedAt.getTime(), language),
      leftAt ? (german ? 'vorbei' : 'over') : '',
    ])
  const left = affected.length - rows.length
  const more =
    left > 0 ? (german ? `und ${left} weitere (--json zeigt alle)\n` : `and ${left} more (--json shows all)\n`) : ''
  return rows.length === 0 ? '' : `${table([head, ...rows], width)}${more}`
}

const time = (at: Date, language: Language): string =>
  new Intl.DateTimeFormat(language === 'de' ? 'de-DE' : 'en-GB', { dateStyle: 'medium', timeStyle: 'short' }).format(at)
