// Connections that carry several messages, and a server that ends them: that is not the next message's fault.

import { expect } from 'vitest'
import { row } from '../../support/figures.ts'
import { withOutbound, type Outbound } from '../../support/outbound.ts'
import type { Answer } from '../../support/scripted-smtp.ts'

const COUNT = 30
const PER_CONNECTION = 3

interface Ending {
  /** Instead of the answer to the last dot that the connection is allowed. */
  readonly lastDot?: Answer
  /** Instead of the answer to the MAIL after that. */
  readonly nextMail?: Answer
}

const ENDINGS: Readonly<Record<string, Ending>> = {
  'closed behind the reply': { lastDot: { raw: '250 2.0.0 queued\r\n', end: 'close' } },
  '421 behind the reply': {
    lastDot: { raw: '250 2.0.0 queued\r\n421 4.7.0 enough for one connection\r\n', end: 'close' },
  },
  '421 at the next MAIL': { nextMail: { raw: '421 4.7.0 enough for one connection\r\n', end: 'close' } },
  'closed at the next MAIL': { nextMail: { end: 'close' } },
  'reset at the next MAIL': { nextMail: { end: 'reset' } },
}

async function endedAfterThree({ sender }: Outbound, what: string, ending: Ending): Promise<number> {
  const dots = new Map<number, number>()
  const lane = await sender({
    extensions: ['PIPELINING', '8BITMIME'],
    answer: (command, _secured, connection) => {
      const before = dots.get(connection) ?? 0
      if (command === '.') dots.set(connection, before + 1)
      if (command === '.' && before + 1 === PER_CONNECTION) return ending.lastDot
      return command.startsWith('MAIL') && before >= PER_CONNECTION ? ending.nextMail : undefined
    },
  })
  for (let n = 0; n < COUNT; n++) await lane.submit(String(n))
  // what was put off for minutes would still wait
  for (let turn = 0; turn < COUNT; turn++) {
    await lane.drain()
    await lane.unpark()
  }
  expect([what, await lane.states()]).toEqual([what, { sent: COUNT }])
  for (let n = 0; n < COUNT; n++) expect([what, lane.copies(String(n))]).toEqual([what, 1])
  return lane.server.seen.connections
}

row(
  'C6b',
  'the server takes three messages per connection: the others go over the next ones, and none is put off',
  { fast: true },
  () =>
    withOutbound({}, async (outbound) => {
      const found: string[] = []
      for (const [what, ending] of Object.entries(ENDINGS))
        found.push(`${what} ${await endedAfterThree(outbound, what, ending)}`)
      return `${COUNT} of ${COUNT} sent once in each case; connections: ${found.join(', ')}`
    }),
)
