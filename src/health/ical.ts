// The runway as a calendar to subscribe to: iCalendar (RFC 5545), a day each, with alarms before.

import { createHash } from 'node:crypto'
import { DAY_MS } from '../base/clock.ts'
import type { Language } from './phrases.ts'
import { runwayLine, type RunwayItem } from './runway.ts'

const ALARM_DAYS = [30, 7, 1]
const LINE_OCTETS = 75

export function calendarOf(items: readonly RunwayItem[], language: Language, now: Date): string {
  const lines = [
    'BEGIN:VCALENDAR',
    'VERSION:2.0',
    'PRODID:-//Poststelle//runway//EN',
    'CALSCALE:GREGORIAN',
    `X-WR-CALNAME:${escaped(language === 'de' ? 'Poststelle: läuft ab' : 'Poststelle: expires')}`,
    ...items.flatMap((item) => (item.endsAt ? event(item, item.endsAt, language, now) : [])),
    'END:VCALENDAR',
  ]
  return lines.map((line) => `${folded(line)}\r\n`).join('')
}

function event(item: RunwayItem, endsAt: Date, language: Language, now: Date): string[] {
  const summary = escaped(`${item.title[language]}: ${item.subject}`)
  const uid = createHash('sha256').update(`${item.key} ${endsAt.toISOString()}`).digest('hex').slice(0, 32)
  return [
    'BEGIN:VEVENT',
    `UID:${uid}@poststelle`,
    `DTSTAMP:${stamp(now)}`,
    `DTSTART;VALUE=DATE:${day(endsAt)}`,
    `DTEND;VALUE=DATE:${day(new Date(endsAt.getTime() + DAY_MS))}`,
    `SUMMARY:${summary}`,
    `DESCRIPTION:${escaped(`${runwayLine(item, language)}. ${item.remedy[language]}`)}`,
    'TRANSP:TRANSPARENT',
    ...ALARM_DAYS.flatMap((days) => [
      'BEGIN:VALARM',
      'ACTION:DISPLAY',
      `TRIGGER:-P${days}D`,
      `DESCRIPTION:${summary}`,
      'END:VALARM',
    ]),
    'END:VEVENT',
  ]
}

const stamp = (at: Date): string => at.toISOString().replace(/[-:]|\.\d{3}/g, '')
const day = (at: Date): string => stamp(at).slice(0, 8)

/** RFC 5545 section 3.3.11. */
const escaped = (text: string): string =>
  text
    .replace(/[\\;,]/g, (sign) => `\\${sign}`)
    .replace(/\r?\n/g, '\\n')
    .replace(/\p{Cc}/gu, ' ')

/** No line is longer than 75 octets, and no character is cut in two (section 3.1). */
function folded(line: string): string {
  let [out, length] = ['', 0]
  for (const character of line) {
    const octets = Buffer.byteLength(character)
    if (length + octets > LINE_OCTETS) {
      out += '\r\n '
      length = 1
    }
    out += character
    length += octets
  }
  return out
}
