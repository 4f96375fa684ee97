// The status as people see it: verdict, facts, what needs attention by its cause, and which accounts are in trouble. The command and
// the page show the same. Pure.

import { MINUTE_MS } from '../base/clock.ts'
import type { AccountStatus, StatusReading } from '../db/status.ts'
import type { OpenTrouble } from '../db/incident-lists.ts'
import { explain } from '../failures/catalogue.ts'
import { UNREACHABLE } from './incidents.ts'
import { counted, number, span, yesterdayEvening, type Language } from './phrases.ts'
import { isNoted, judge, verdictText, worstFirst, type Verdict } from './verdict.ts'

/** One cause, with all that have it. */
export interface AttentionItem {
  readonly incidentIds: readonly number[]
  readonly flag: string
  readonly label: string
  /** Whom or what it concerns: an app registration, a tenant, a host, or accounts by name. */
  readonly subject: string
  /** "seit 3 Std. · 12 Konten · 37 Nachrichten warten, die älteste seit 2 Std." */
  readonly extent: string
  readonly actor: string
  /** Somebody must act. */
  readonly human: boolean
  /** What to do next; '' where it heals by itself. */
  readonly nextStep: string
}

/** More that a status tells, in its own words: title and lines. */
export interface StatusSection {
  readonly title: string
  readonly lines: readonly string[]
}

export interface Overview {
  readonly kind: Verdict['kind']
  readonly verdict: string
  readonly facts: readonly string[]
  readonly figures: Figures
  readonly attention: readonly AttentionItem[]
  /** With trouble of their own, the worst first. */
  readonly inTrouble: readonly AccountStatus[]
  readonly others: readonly AccountStatus[]
  readonly sections: readonly StatusSection[]
  /** Nobody hears of what happens; '' where somebody does, or nobody is to. */
  readonly alarm: string
  /** Of a browser's tab. */
  readonly title: string
}

export interface Figures {
  readonly accounts: number
  readonly current: number
  readonly since: Date
}

export function overviewOf(
  reading: StatusReading,
  language: Language,
  now: Date,
  sections: readonly StatusSection[] = [],
): Overview {
  const { accounts, incidents, workerAlive } = reading
  const quiet = incidents.filter(isQuiet)
  const excused = excusedAccounts(accounts, quiet)
  const own = accounts.filter(({ id }) => !excused.has(id))
  // mail that is due for long although its lane works is a note of its own
  const late = dueMs(reading, now) > LONG_MS ? 1 : 0
  const alarm = alarmOf(reading.hearing, language)
  const verdict = judge(own, workerAlive, quiet.length + late + (alarm === '' ? 0 : 1))
  const inTrouble = worstFirst(own.filter(isNoted))
  const troubled = new Set(inTrouble.map(({ id }) => id))
  const figures = figuresOf(accounts, now)
  return {
    kind: verdict.kind,
    verdict: verdictText(verdict, language),
    facts: accounts.length === 0 ? [] : factsOf(reading, figures, language, now),
    figures,
    attention: attentionOf(incidents, language, now),
    inTrouble,
    others: accounts.filter(({ id }) => !troubled.has(id)),
    sections: sections.filter(({ lines }) => lines.length > 0),
    alarm,
    title: titleOf(verdict),
  }
}

const titleOf = (verdict: Verdict): string => {
  if (verdict.kind === 'well' || verdict.kind === 'notes') return '✔ Poststelle'
  return verdict.kind === 'blocked' ? `✋ ${verdict.accounts} · Poststelle` : '✋ Poststelle'
}

function alarmOf({ targets, deaf }: StatusReading['hearing'], language: Language): string {
  if (targets === 0 || deaf < targets) return ''
  return language === 'de'
    ? 'Meldungen erreichen niemanden: keiner der eingetragenen Empfänger nimmt sie an (Einstellungen, Meldungen).'
    : 'Notices reach nobody: none of those who are to be told takes them (settings, notices).'
}

/** A host or our network is in trouble, and nobody has to mend anything at the accounts. */
const isQuiet = ({ subject_kind: kind, persistence }: OpenTrouble): boolean =>
  (kind === 'host' || kind === 'network') && persistence === 'transient'

/** Accounts whose trouble is that of a host or of our network, and no other. */
function excusedAccounts(accounts: readonly AccountStatus[], quiet: readonly OpenTrouble[]): ReadonlySet<number> {
  const flagsByLane = new Map<string, Set<string>>()
  for (const { lanes, flag } of quiet) {
    for (const { accountId, direction } of lanes) {
      const lane = `${accountId} ${direction}`
      flagsByLane.set(lane, (flagsByLane.get(lane) ?? new Set()).add(flag))
    }
  }
  const isExcused = ({ id, flags, receive, send }: AccountStatus): boolean => {
    const flagsAreTheirs = flags.every(({ flag, direction }) => {
      const excuse = flagsByLane.get(`${id} ${direction}`)
      return excuse !== undefined && (excuse.has(flag) || UNREACHABLE.has(flag))
    })
    const lampIsTheirs = (lamp: AccountStatus['send'], direction: 'receive' | 'send'): boolean =>
      !lamp || !isNoted({ receive: lamp, send: null, flags: [] }) || flagsByLane.has(`${id} ${direction}`)
    return flagsAreTheirs && lampIsTheirs(receive, 'receive') && lampIsTheirs(send, 'send')
  }
  return new Set(
    accounts
      .filter(({ id }) => flagsByLane.has(`${id} receive`) || flagsByLane.has(`${id} send`))
      .filter(isExcused)
      .map(({ id }) => id),
  )
}

/** Accounts that are as they should be, of those that are to work. */
function figuresOf(accounts: readonly AccountStatus[], now: Date): Figures {
  const working = accounts.filter(({ receive, send }) =>
    [receive, send].some((lamp) => lamp && lamp.state !== 'paused'),
  )
  const isCurrent = ({ receive, send }: AccountStatus): boolean =>
    receive?.state !== 'new' && !isNoted({ receive, send, flags: [] })
  return { accounts: working.length, current: working.filter(isCurrent).length, since: yesterdayEvening(now) }
}

const LONG_MS = 15 * MINUTE_MS

/** How long the oldest message of a lane that works has been due. */
const dueMs = ({ mail }: Pick<StatusReading, 'mail'>, now: Date): number =>
  mail.oldestDueAt ? now.getTime() - mail.oldestDueAt.getTime() : 0

function factsOf({ mail }: StatusReading, figures: Figures, language: Language, now: Date): string[] {
  const german = language === 'de'
  const { accounts, current } = figures
  const some = current === accounts ? '' : `${number(current, language)} ${german ? 'von' : 'of'} `
  const first =
    accounts === 0
      ? german
        ? 'Alle Konten angehalten'
        : 'All accounts paused'
      : german
        ? `${some}${counted(accounts, 'Konto', 'Konten', language)} aktuell`
        : `${some}${counted(accounts, 'account', 'accounts', language)} up to date`
  const [received, handedOver] = [number(mail.received, language), number(mail.handedOver, language)]
  const last = german
    ? `seit gestern 17:00: ${received} empfangen, ${handedOver} übergeben`
    : `since yesterday 17:00: ${received} received, ${handedOver} handed over`
  return [first, waitingFact(mail, german, language, now), last]
}

function waitingFact(mail: StatusReading['mail'], german: boolean, language: Language, now: Date): string {
  if (mail.stuck > 0) return waitingText(mail.stuck, mail.oldestStuckAt, language, now)
  const waitedMs = dueMs({ mail }, now)
  if (!mail.oldestDueAt) return german ? 'nichts wartet' : 'nothing waits'
  if (waitedMs > LONG_MS)
    return german
      ? `die älteste fällige Nachricht wartet seit ${span(waitedMs, language)}`
      : `the oldest due message has waited for ${span(waitedMs, language)}`
  const minutes = Math.max(1, Math.ceil(waitedMs / MINUTE_MS))
  return german ? `nichts wartet länger als ${minutes} Min.` : `nothing has waited longer than ${minutes} min`
}

export function waitingText(count: number, oldestAt: Date | null, language: Language, now: Date): string {
  const german = language === 'de'
  const wait = german
    ? counted(count, 'Nachricht wartet', 'Nachrichten warten', language)
    : counted(count, 'message waits', 'messages wait', language)
  if (!oldestAt) return wait
  const oldest = span(now.getTime() - oldestAt.getTime(), language)
  if (count === 1) return german ? `${wait} seit ${oldest}` : `1 message has waited for ${oldest}`
  return german ? `${wait}, die älteste seit ${oldest}` : `${wait}, the oldest for ${oldest}`
}

const NAMED = 3

function attentionOf(incidents: readonly OpenTrouble[], language: Language, now: Date): AttentionItem[] {
  const byCause = Map.groupBy(incidents, (incident) =>
    incident.subject_kind === 'account' ? incident.flag : String(incident.id),
  )
  const score = (of: readonly OpenTrouble[]): number =>
    Math.max(...of.map(({ opened_at: at }) => now.getTime() - at.getTime())) *
    Math.max(
      1,
      of.reduce((sum, { waiting }) => sum + waiting, 0),
    )
  return [...byCause.values()]
    .toSorted((a, b) => score(b) - score(a))
    .flatMap((of) => {
      const [first] = of
      return first ? [attentionItem(first, of, language, now)] : []
    })
}

function attentionItem(first: OpenTrouble, of: readonly OpenTrouble[], language: Language, now: Date): AttentionItem {
  const german = language === 'de'
  const { label, actor, steps } = explain(first.flag, language)
  const sum = (pick: (one: OpenTrouble) => number): number => of.reduce((total, one) => total + pick(one), 0)
  const [accounts, waiting] = [sum((one) => one.accounts), sum((one) => one.waiting)]
  const since = new Date(Math.min(...of.map(({ opened_at: at }) => at.getTime())))
  const waits = of.flatMap(({ oldest_waiting_at: at }) => (at ? [at.getTime()] : []))
  const names = of.slice(0, NAMED).map((one) => {
    const name = subjectText(one, language)
    return one.only === null || one.only === name ? name : `${name} (${one.only})`
  })
  const more = of.length > NAMED ? [german ? `${of.length - NAMED} weitere` : `${of.length - NAMED} more`] : []
  const age = span(now.getTime() - since.getTime(), language)
  return {
    incidentIds: of.map(({ id }) => id),
    flag: first.flag,
    label,
    subject: [...names, ...more].join(', '),
    extent: [
      german ? `seit ${age}` : `for ${age}`,
      german ? counted(accounts, 'Konto', 'Konten', language) : counted(accounts, 'account', 'accounts', language),
      ...(waiting > 0
        ? [waitingText(waiting, waits.length > 0 ? new Date(Math.min(...waits)) : null, language, now)]
        : []),
    ].join(' · '),
    actor,
    human: first.persistence === 'human',
    nextStep: steps[0] ?? '',
  }
}

/** Our network and we ourselves are named in the reader's language. */
export function subjectText(
  { subject_kind: kind, subject }: Pick<OpenTrouble, 'subject_kind' | 'subject'>,
  language: Language,
): string {
  if (kind === 'network') return language === 'de' ? 'die meisten Server zugleich' : 'most servers at once'
  return subject
}
