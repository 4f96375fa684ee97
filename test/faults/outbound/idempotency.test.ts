// The same key from a hundred transactions at once.

import pg from 'pg'
import { expect } from 'vitest'
import { errorCode } from '../../../src/base/failure.ts'
import { row } from '../../support/figures.ts'
import { SENDER, withOutgoing } from '../../support/outgoing.ts'

const CLIENTS = 90

type Submit = (client: pg.Client, key: string, content: string) => Promise<string>
const FORMS: Readonly<Record<string, Submit>> = {
  parts: async (client, key, content) =>
    idOf(
      await client.query<{ id: string }>('select poststelle.submit_parts($1, $2, $3) as id', [
        SENDER,
        JSON.stringify({ from: SENDER, to: ['kunde@example.test'], text: content }),
        key,
      ]),
    ),
  raw: async (client, key, content) =>
    idOf(
      await client.query<{ id: string }>('select poststelle.submit_message($1, $1, $2, $3, $4) as id', [
        SENDER,
        ['kunde@example.test'],
        Buffer.from(`Subject: x\r\n\r\n${content}\r\n`),
        key,
      ]),
    ),
}
const idOf = ({ rows }: pg.QueryResult<{ id: string }>): string => rows[0]?.id ?? ''

row(
  'C19',
  'a key used a hundred times at once is one message; with other content it is refused',
  { fast: true },
  async () =>
    withOutgoing({}, async ({ house, drain, server }) => {
      const clients = Array.from({ length: CLIENTS }, () => new pg.Client(house.database.url))
      const figures: string[] = []
      try {
        await Promise.all(clients.map((client) => client.connect()))
        for (const [form, submit] of Object.entries(FORMS)) {
          const same = await Promise.all(
            Array.from({ length: 100 }, (_, i) => submit(clients[i % CLIENTS] ?? fail(), `${form}-same`, 'x')),
          )
          expect(new Set(same).size).toBe(1)
          const mixed = await Promise.allSettled(
            Array.from({ length: 100 }, (_, i) =>
              submit(clients[i % CLIENTS] ?? fail(), `${form}-mixed`, `content ${i}`),
            ),
          )
          const taken = mixed.filter(({ status }) => status === 'fulfilled').length
          const refused = mixed.filter((one) => one.status === 'rejected' && errorCode(one.reason) === '23505').length
          expect({ taken, refused }).toEqual({ taken: 1, refused: 99 })
          figures.push(`${form}: messages 1, same id 99; other content refused ${refused}`)
        }
        const across = await Promise.allSettled(
          clients.map((client, i) => (i % 2 ? FORMS['raw'] : FORMS['parts'])?.(client, 'across', 'x') ?? fail()),
        )
        const ids = new Set(across.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])))
        expect(ids.size).toBe(1)
        expect(across.filter((one) => one.status === 'rejected' && errorCode(one.reason) !== '23505')).toEqual([])
      } finally {
        await Promise.all(clients.map((client) => client.end()))
      }
      await drain()
      expect(server.seen.messages.length).toBe(5)
      return figures.join('; ')
    }),
)

const fail = (): never => {
  throw new Error('no client')
}
