// Mailbox names and domains beyond ASCII, at servers that take them and at servers that do not.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { row } from '../../support/figures.ts'
import { SENDER, withOutgoing, type Outgoing } from '../../support/outgoing.ts'

const DOMAINS: readonly (readonly [string, string])[] = [
  ['info@müller.example', 'info@xn--mller-kva.example'],
  ['info@straße.example', 'info@xn--strae-oqa.example'],
  ['info@例え.テスト', 'info@xn--r8jz45g.xn--zckzah'],
  ['info@пример.испытание', 'info@xn--e1afmkfd.xn--80akhbyknj4f'],
]
const NAMES = ['jürgen@example.test', '用户@example.test', 'жанна@пример.испытание']

const verdicts = async ({ house }: Outgoing) =>
  (
    await sql<{ address: string; state: string; reply: string | null }>`
      select address, state, reply from poststelle.outbox_recipients order by message_id, address`.execute(house.db)
  ).rows
const submit = async ({ parts, raw }: Outgoing, address: string) => {
  await parts({ from: SENDER, to: [address, 'ascii@example.test'], subject: 'Ü', text: 'Grüße' })
  await raw(Buffer.from('Subject: x\r\n\r\nx\r\n'), { recipients: [address, 'ascii@example.test'] })
}
const BARE = ['SIZE 157286400', '8BITMIME', 'ENHANCEDSTATUSCODES', 'AUTH LOGIN PLAIN XOAUTH2']

row(
  'C23',
  'an internationalised domain goes out as its A-label, with SMTPUTF8 or without',
  { fast: true },
  async () => {
    for (const extensions of [undefined, BARE]) {
      await withOutgoing({ ...(extensions && { extensions }) }, async (out) => {
        for (const [address] of DOMAINS) await submit(out, address)
        await out.drain()
        const { messages, commands } = out.server.seen
        expect(
          messages.flatMap(({ recipients }) => recipients.filter((to) => !to.startsWith('ascii@'))).toSorted(),
        ).toEqual(DOMAINS.flatMap(([, wire]) => [wire, wire]).toSorted())
        expect(commands.filter((line) => /SMTPUTF8/.test(line))).toEqual([])
        expect(messages.filter(({ bytes }) => /^To: .*[^\x00-\x7f]/m.test(bytes.toString()))).toEqual([])
        expect((await verdicts(out)).filter(({ state }) => state !== 'accepted')).toEqual([])
      })
    }
    return `${DOMAINS.length * 4} of ${DOMAINS.length * 4} accepted, SMTPUTF8 asked for 0 times`
  },
)

row('C23', 'a mailbox name beyond ASCII is sent with SMTPUTF8 where the server has it', { fast: true }, async () =>
  withOutgoing({}, async (out) => {
    for (const address of NAMES) await submit(out, address)
    await out.drain()
    const { commands } = out.server.seen
    expect(commands.filter((line) => /^MAIL .*SMTPUTF8/.test(line)).length).toBe(NAMES.length * 2)
    expect((await verdicts(out)).filter(({ state }) => state !== 'accepted')).toEqual([])
    return `accepted ${NAMES.length * 2} of ${NAMES.length * 2}`
  }),
)

row(
  'C23',
  'where the server has no SMTPUTF8 that recipient is refused clearly, and the others get their mail',
  { fast: true },
  async () =>
    withOutgoing({ extensions: BARE }, async (out) => {
      for (const address of NAMES) await submit(out, address)
      await out.drain()
      const rows = await verdicts(out)
      const beyond = rows.filter(({ address }) => !address.startsWith('ascii@'))
      expect(beyond.length).toBe(NAMES.length * 2)
      expect(
        beyond.filter(({ state, reply }) => state !== 'rejected' || !/does not offer SMTPUTF8/.test(reply ?? '')),
      ).toEqual([])
      expect(rows.filter(({ address, state }) => address.startsWith('ascii@') && state !== 'accepted')).toEqual([])
      expect(out.server.seen.commands.filter((line) => /[^\x00-\x7f]/.test(line))).toEqual([])
      return `clear rejections ${beyond.length} of ${beyond.length}; other recipients served ${rows.length - beyond.length} of ${rows.length - beyond.length}`
    }),
)
