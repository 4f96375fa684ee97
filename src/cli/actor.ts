// Who gives a command, for the audit log. Whoever runs it may read the database anyway.

import { userInfo } from 'node:os'
import type { Actor } from '../db/audit.ts'

export const commandActor = (): Actor => ({ kind: 'command', name: systemUser(), ip: null })

/** A container may run us under an id that has no name. */
function systemUser(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.()}`
  }
}
