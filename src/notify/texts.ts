// What a notice says to a person: its subject and its text, and the digest of a day. Pure.

import { explain } from '../failures/catalogue.ts'
import { counted, preciseSpan, type Language } from '../health/phrases.ts'
import type { Overview } from '../health/overview.ts'

type Data = Readonly<Record<string, unknown>>

const text = (data: Data, name: string): string => {
  const value = data[name]
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}
const oneLine = (line: string): string => line.replace(/[\p{Cc}]+/gu, ' ')

export function noticeText(
  type: string,
  data: Data,
  language: Language,
  link: string,
): { subject: string; body: string } {
  const german = language === 'de'
  if (!type.startsWith('incident.'))
    return {
      subject: oneLine(`Poststelle: ${type} ${text(data, 'account')} ${text(data, 'id')}`),
      body: `${type}\n${JSON.stringify(data, null, 2)}\n${link}\n`,
    }
  const { label, meaning, actor, steps } = explain(text(data, 'flag'), language)
  const event = type.slice('incident.'.length)
  const word = german
    ? { opened: 'NEU', grew: 'GEWACHSEN', closed: 'BEHOBEN', merged: 'ZUSAMMENGEFASST' }[event]
    : { opened: 'NEW', grew: 'GREW', closed: 'RECOVERED', merged: 'MERGED' }[event]
  const accounts = Number(data['accounts'] ?? 0)
  const waiting = Number(data['waiting'] ?? 0)
  const many = german
    ? counted(accounts, 'Konto', 'Konten', language)
    : counted(accounts, 'account', 'accounts', language)
  const mail = german
    ? counted(waiting, 'Nachricht wartet', 'Nachrichten warten', language)
    : counted(waiting, 'message waits', 'messages wait', language)
  const lasted = data['lasted_seconds']
  const lines = [
    `${label}: ${text(data, 'subject')}`,
    `${many}, ${mail}${typeof lasted === 'number' ? `, ${preciseSpan(lasted * 1000, language)}` : ''}`,
    ...(event === 'closed'
      ? []
      : [
          '',
          meaning,
          `${german ? 'Zuständig' : 'Who acts'}: ${actor}`,
          ...steps.map((step, at) => `${at + 1}. ${step}`),
        ]),
    '',
    link,
  ]
  return {
    subject: oneLine(`[Poststelle] ${word ?? event}: ${label}: ${text(data, 'subject')}`),
    body: `${lines.join('\n')}\n`,
  }
}

export function digestText(
  overview: Overview,
  runway: readonly string[],
  language: Language,
  link: string,
): { subject: string; body: string } {
  const german = language === 'de'
  const lines = [
    overview.verdict,
    overview.facts.join(' · '),
    ...(overview.attention.length === 0
      ? []
      : ['', ...overview.attention.map((item) => `- ${item.label}: ${item.subject} (${item.extent})`)]),
    ...(runway.length === 0 ? [] : ['', german ? 'Läuft ab:' : 'Expires:', ...runway.map((line) => `- ${line}`)]),
    '',
    link,
  ]
  return { subject: oneLine(`[Poststelle] ${overview.verdict}`), body: `${lines.join('\n')}\n` }
}
