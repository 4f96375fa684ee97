// One message of a list, for programs and for people.

import type { InboxEntry, ParseState } from '../db/inbox.ts'
import { printableLine } from './printable.ts'

const STATE_MARK: Readonly<Record<ParseState, readonly string[]>> = {
  pending: ['not parsed yet'],
  parsed: [],
  quarantined: ['quarantined'],
}

export function entryRow(entry: InboxEntry): string[] {
  const { attachmentCount: files } = entry
  const marks = [
    ...(files > 0 ? [`${files} ${files === 1 ? 'file' : 'files'}`] : []),
    ...STATE_MARK[entry.parseState],
    ...(entry.complete ? [] : ['headers only']),
  ]
  return [
    String(entry.id),
    minute(entry.receivedAt),
    printableLine(entry.account, 40),
    printableLine(entry.fromName ?? entry.fromAddress ?? '(no sender)', 30),
    marks.join(', '),
    printableLine(entry.subject ?? '(no subject)', 300),
  ]
}

/** "2026-11-23 08:15Z" */
export const minute = (at: Date): string => `${at.toISOString().slice(0, 16).replace('T', ' ')}Z`
