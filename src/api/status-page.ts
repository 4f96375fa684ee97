// One plain page that shows what `poststelle status` shows, as of when it was asked. No script, nothing from outside.

import { explain } from '../failures/catalogue.ts'
import type { AccountStatus, LampStatus } from '../db/status.ts'
import type { AttentionItem, Overview } from '../health/overview.ts'
import { counted } from '../health/phrases.ts'
import { stateText, worstFirst, type Language } from '../health/verdict.ts'

/** Beyond that many, only accounts in trouble have a row, and no more than that many of them. */
const ROWS = 200

export interface PageFacts {
  readonly overview: Overview
  readonly language: Language
  readonly now: Date
  readonly version: string
  readonly queuePasswordFile: string
}

const TEXTS = {
  de: {
    title: 'Poststelle',
    asOf: 'Stand',
    account: 'Konto',
    receive: 'Empfang',
    send: 'Versand',
    waiting: 'Wartet',
    cause: 'Ursache und Abhilfe',
    lastOk: 'zuletzt erfolgreich',
    never: 'noch nie',
    oldest: 'älteste Nachricht',
    since: 'seit',
    who: 'Zuständig',
    none: 'Noch keine Konten.',
    first: 'Das erste legt dieser Befehl an:',
    evidence: 'Antwort des Servers',
    receives: 'Empfang',
    sends: 'Versand',
    details: 'Was ist zu tun?',
    queues: 'Warteschlangen',
    queueHint: 'Benutzer „admin“, Kennwort in',
    other: 'English',
    more: 'Mehr dazu',
    attention: 'Braucht Aufmerksamkeit',
    nothing: 'Nichts zu tun. Einen ruhigen Tag.',
    noCause: 'Kein offener Vorfall.',
    next: 'Nächster Schritt',
    oneMore: 'weiteres Konto',
    manyMore: 'weitere Konten',
    reload: 'Neu laden',
  },
  en: {
    title: 'Poststelle',
    asOf: 'As of',
    account: 'Account',
    receive: 'Receive',
    send: 'Send',
    waiting: 'Waiting',
    cause: 'Cause and remedy',
    lastOk: 'last good',
    never: 'never yet',
    oldest: 'oldest message',
    since: 'since',
    who: 'Who acts',
    none: 'No accounts yet.',
    first: 'This command makes the first:',
    evidence: "The server's answer",
    receives: 'Receive',
    sends: 'Send',
    details: 'What is to be done?',
    queues: 'Queues',
    queueHint: 'user "admin", password in',
    other: 'Deutsch',
    more: 'More about it',
    attention: 'Needs attention',
    nothing: 'Nothing to do. Have a quiet day.',
    noCause: 'No open incident.',
    next: 'Next step',
    oneMore: 'more account',
    manyMore: 'more accounts',
    reload: 'Reload',
  },
} as const

type Texts = (typeof TEXTS)[Language]

export const PAGE_POLICY =
  "default-src 'none'; style-src 'self'; frame-ancestors 'none'; form-action 'none'; base-uri 'none'"

const escape = (text: string): string =>
  text.replace(/[&<>"']/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' })[c] ?? c)

export function statusPage(facts: PageFacts): string {
  const { language, overview, now } = facts
  const t = TEXTS[language]
  const other: Language = language === 'de' ? 'en' : 'de'
  const { verdict, attention, sections, inTrouble, others, kind } = overview
  const body =
    inTrouble.length + others.length === 0
      ? `<p>${t.none} ${t.first} <code>poststelle account import FILE</code></p>`
      : `<section aria-labelledby="attention"><h2 id="attention">${t.attention} (${attention.length})</h2>${
          attention.length === 0
            ? `<p>${kind === 'well' ? t.nothing : t.noCause}</p>`
            : `<ul class="attention">${attention.map((item) => attentionItem(item, t)).join('')}</ul>`
        }</section>` +
        sections
          .map(
            ({ title, lines }) =>
              `<section><h2>${escape(title)}</h2><ul>${lines.map((line) => `<li>${escape(line)}</li>`).join('')}</ul></section>`,
          )
          .join('') +
        accountTable(overview, t, language, now)
  return `<!doctype html>
<html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(overview.title)}</title><link rel="stylesheet" href="/status.css"></head>
<body><header><h1>${t.title}</h1><nav><a href="/queues" title="${t.queueHint} ${escape(facts.queuePasswordFile)}">${t.queues}</a>
<a href="/?lang=${other}" lang="${other}" hreflang="${other}">${t.other}</a></nav></header>
<main><p class="verdict ${kind === 'well' || kind === 'notes' ? 'ok' : 'blocked'}">${escape(verdict)}</p>
<p class="facts">${overview.facts.map(escape).join(' · ')}</p>
${body}</main>
<footer>${t.asOf} ${time(now, language)} · <a href="/?lang=${language}">${t.reload}</a> · Poststelle ${escape(facts.version)}</footer></body></html>
`
}

function attentionItem({ label, subject, extent, actor, human, nextStep }: AttentionItem, t: Texts): string {
  const step = nextStep === '' ? '' : `<p>${t.next}: ${escape(nextStep)}</p>`
  return (
    `<li${human ? ' class="human"' : ''}><strong>${escape(label)}</strong>: ${escape(subject)}<small>${escape(extent)}</small>` +
    `<p>${t.who}: ${escape(actor)}</p>${step}</li>`
  )
}

function accountTable({ inTrouble, others }: Overview, t: Texts, language: Language, now: Date): string {
  const whole = inTrouble.length + others.length <= ROWS
  const shown = whole ? [...inTrouble, ...worstFirst(others)] : inTrouble.slice(0, ROWS)
  const left = inTrouble.length + others.length - shown.length
  const more =
    left === 0 ? '' : `<p>${counted(left, t.oneMore, t.manyMore, language)}: <code>poststelle status --all</code></p>`
  if (shown.length === 0) return more
  return (
    `<div class="scroll"><table><thead><tr><th scope="col">${t.account}</th><th scope="col">${t.receive}</th><th scope="col">${t.send}</th>` +
    `<th scope="col">${t.waiting}</th><th scope="col">${t.cause}</th></tr></thead><tbody>${shown
      .map((a) => row(a, t, language, now))
      .join('')}</tbody></table></div>${more}`
  )
}

function row(
  { email, label, receive, send, flags, waiting }: AccountStatus,
  t: Texts,
  language: Language,
  now: Date,
): string {
  const name = label === '' ? '' : `<small>${escape(label)}</small>`
  const oldest = waiting.oldestAt ? `<small>${t.oldest} ${ago(waiting.oldestAt, now, language)}</small>` : ''
  return (
    `<tr><th scope="row">${escape(email)}${name}</th><td data-name="${t.receive}">${lamp(receive, t, language, now)}</td>` +
    `<td data-name="${t.send}">${lamp(send, t, language, now)}</td><td class="number" data-name="${t.waiting}">${waiting.count}${oldest}</td><td>${causes(flags, t, language, now)}</td></tr>`
  )
}

function lamp(status: LampStatus | null, t: Texts, language: Language, now: Date): string {
  if (!status) return '–'
  const good = status.lastOkAt ? ago(status.lastOkAt, now, language) : t.never
  return `<span class="lamp ${status.state}">${stateText(status.state, language)}</span><small>${t.lastOk}: ${good}</small>`
}

/** One cause may stop both directions: it is told once. */
function causes(flags: AccountStatus['flags'], t: Texts, language: Language, now: Date): string {
  const names = [...new Set(flags.map(({ flag }) => flag))]
  return names
    .map((name) => {
      const of = flags.filter(({ flag }) => flag === name)
      const [first] = of
      const text = explain(name, language)
      const directions = of.map(({ direction }) => (direction === 'receive' ? t.receives : t.sends)).join(', ')
      const steps =
        text.steps.length > 0 ? `<ol>${text.steps.map((step) => `<li>${escape(step)}</li>`).join('')}</ol>` : ''
      const link = text.link ? `<p><a href="${escape(text.link)}" rel="noreferrer noopener">${t.more}</a></p>` : ''
      const since = first ? `${t.since} ${ago(first.since, now, language)}` : ''
      return (
        `<div class="cause"><strong>${escape(text.label)}</strong> <small>${directions}, ${since}</small><p>${escape(text.meaning)}</p>` +
        `<details><summary>${t.details}</summary><p>${t.who}: ${escape(text.actor)}</p>${steps}${link}` +
        `<p>${t.evidence}: <code>${escape(first?.evidence ?? '')}</code></p></details></div>`
      )
    })
    .join('')
}

const UNITS: readonly [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
]

function ago(at: Date, now: Date, language: Language): string {
  const seconds = Math.round((at.getTime() - now.getTime()) / 1000)
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size * 1.5) ?? ['second', 1]
  const text = new Intl.RelativeTimeFormat(language, { numeric: 'always' }).format(Math.round(seconds / size), unit)
  return `<time datetime="${at.toISOString()}" title="${time(at, language)}">${text}</time>`
}

const time = (at: Date, language: Language): string =>
  new Intl.DateTimeFormat(language === 'de' ? 'de-DE' : 'en-GB', { dateStyle: 'medium', timeStyle: 'medium' }).format(
    at,
  )

export const STATUS_CSS = `
:root { --ink: #1c2530; --quiet: #5a6674; --line: #d9dee4; --paper: #fff; --ok: #1b7a3d; --warn: #a35a00; --bad: #b3261e; --link: #0b5cad }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaef; --quiet: #a2adba; --line: #36404b; --paper: #151a20; --ok: #6fcf8f; --warn: #f0b25a; --bad: #ff8a80; --link: #8ec3ff }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1.25rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
header { display: flex; justify-content: space-between; align-items: baseline; flex-wrap: wrap; gap: 1rem }
h1 { font-size: 1.1rem; margin: 0 }
a { color: var(--link) } nav a { margin-left: 1rem }
.verdict { font-size: 1.6rem; font-weight: 600; margin: 1.25rem 0 .25rem } .facts { color: var(--quiet); margin: 0 0 1.25rem }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem }
.attention { list-style: none; margin: 0; padding: 0 } .attention li { border-left: 3px solid var(--warn); padding: .1rem 0 .1rem .8rem; margin: 0 0 .8rem } .attention li.human { border-color: var(--bad) } .attention p { margin: .2rem 0; max-width: 60rem }
.verdict.ok { color: var(--ok) } .verdict.blocked { color: var(--bad) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .6rem .8rem .6rem 0; border-top: 1px solid var(--line) }
thead th { color: var(--quiet); font-weight: 500; border-top: 0 } tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 12rem }
small { display: block; color: var(--quiet); font-weight: 400 } .cause small { display: inline }
.number { font-variant-numeric: tabular-nums; white-space: nowrap }
.lamp { white-space: nowrap; font-weight: 600 } .lamp::before { content: '●'; margin-right: .4em }
.lamp.ok { color: var(--ok) } .lamp.new, .lamp.paused { color: var(--quiet) } .lamp.late, .lamp.failing { color: var(--warn) } .lamp.blocked { color: var(--bad) }
.cause { max-width: 34rem } .cause + .cause { margin-top: .8rem } .cause p { margin: .2rem 0 } .cause ol { margin: .3rem 0; padding-left: 1.3rem }
code { font-size: .86em; overflow-wrap: anywhere }
summary { cursor: pointer; color: var(--link) }
@media (max-width: 48rem) {
  thead { display: none } table, tbody, tr, th, td { display: block }
  tr { border-top: 1px solid var(--line); padding: .6rem 0 } tbody th, td { border: 0; padding: .1rem 0 } td:empty { display: none }
  td[data-name]::before { content: attr(data-name) ': '; color: var(--quiet) } td small { display: inline; margin-left: .4em }
}
footer { margin-top: 1.5rem; color: var(--quiet); font-size: .9em }
`
