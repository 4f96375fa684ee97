// What the operator should know of a maildrop although its polls go well: messages that stay on the server, and copies here that are
// not what they were.

import type { Tx } from '../db/database.ts'
import { ledgerNotes } from '../db/ledger.ts'
import type { Note } from '../health/record.ts'
import type { Received } from './session-context.ts'

export async function notesOf(tx: Tx, accountId: number, { damaged, hashIdentity }: Received): Promise<Note[]> {
  const { oversize, quarantined } = await ledgerNotes(tx, accountId)
  const notes: (Note | false)[] = [
    oversize > 0 && {
      flag: 'message_oversize',
      evidence: `${oversize} on the server, of which only the headers are stored`,
    },
    quarantined > 0 && {
      flag: 'message_unreadable',
      evidence: `${quarantined} on the server could not be retrieved or stored`,
    },
    hashIdentity && { flag: 'uidl_not_supported', evidence: 'messages are recognised by their bytes' },
    damaged.length > 0 && {
      flag: 'stored_copy_damaged',
      evidence: `${damaged.length} stored messages are not what the server lists; nothing of them is deleted there`,
    },
  ]
  return notes.filter((note) => note !== false)
}
