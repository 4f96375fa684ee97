// One message of the outbox in a list, for programs and for people.

import type { OutboxEntry } from '../db/outbox.ts'
import type { Language } from '../health/verdict.ts'
import { etaWords, stateWords } from './outbox-words.ts'
import { printableLine } from './printable.ts'
import { age } from './run.ts'

export const HEAD: Readonly<Record<Language, readonly string[]>> = {
  de: ['NR.', 'ALTER', 'KONTO', 'AN', 'ZUSTAND', 'GEHT', 'BETREFF'],
  en: ['ID', 'AGE', 'ACCOUNT', 'TO', 'STATE', 'GOES', 'SUBJECT'],
}

export function entryRow(entry: OutboxEntry, language: Language, now: Date): string[] {
  return [
    String(entry.id),
    age(entry.createdAt, now),
    printableLine(entry.account, 24),
    recipientText(entry, 24),
    stateWords(entry.state, entry.holdReason, language),
    etaWords(entry.eta, now, language),
    printableLine(entry.subject ?? (language === 'de' ? '(ohne Betreff)' : '(no subject)'), 200),
  ]
}

/** The last reply, on a line of its own: it is why a message is not where it should be. Empty where it is, or nobody has answered. */
export const replyLine = ({ state, lastReply }: OutboxEntry, width: number): string =>
  lastReply === null || lastReply === '' || state === 'sent' ? '' : `   └ ${printableLine(lastReply, width - 5)}\n`

/** "kunde@example.org (+2)" */
export function recipientText({ recipient, recipientCount }: OutboxEntry, limit: number): string {
  const more = recipientCount > 1 ? ` (+${recipientCount - 1})` : ''
  return printableLine(recipient ?? '', limit - more.length) + more
}
