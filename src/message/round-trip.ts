// The message that an account sends to itself. Nobody answers it automatically (RFC 3834), and its subject is found nowhere else.

import { randomUUID } from 'node:crypto'

export function roundTripMessage(email: string, now: Date): { subject: string; raw: Buffer } {
  const mark = randomUUID()
  const subject = `Poststelle round trip ${mark}`
  const lines = [
    `From: <${email}>`,
    `To: <${email}>`,
    `Subject: ${subject}`,
    `Date: ${now.toUTCString().replace('GMT', '+0000')}`,
    `Message-ID: <${mark}@${email.slice(email.lastIndexOf('@') + 1)}>`,
    'Auto-Submitted: auto-generated',
    'X-Auto-Response-Suppress: All',
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 8bit',
    '',
    'Poststelle hat diese Nachricht an das eigene Postfach geschickt, um den Weg zu messen.',
    'Poststelle sent this message to its own mailbox to measure the way.',
    '',
  ]
  return { subject, raw: Buffer.from(lines.join('\r\n')) }
}
