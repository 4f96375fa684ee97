// The address that goes over the wire is the one that was meant, or none.

import { expect } from 'vitest'
import { errorCode } from '../../../src/base/failure.ts'
import { checkAddress } from '../../../src/smtp/envelope.ts'
import { ADDRESS_CASES } from '../../support/address-corpus.ts'
import { row } from '../../support/figures.ts'
import { SENDER, withOutgoing, type Outgoing } from '../../support/outgoing.ts'

const base = { from: SENDER, to: ['kunde@example.test'], subject: 'Nr', text: 'Text' }
const RAW = Buffer.from(`From: ${SENDER}\r\nTo: kunde@example.test\r\nSubject: Nr\r\n\r\nText\r\n`)

/** Where an address may stand; what arrives there must be that address. */
const WAYS: Readonly<Record<string, (out: Outgoing, address: string) => Promise<number>>> = {
  'raw recipients': ({ raw }, address) => raw(RAW, { recipients: [address] }),
  'parts.to': ({ parts }, address) => parts({ ...base, to: [address] }),
  'parts.cc with a name': ({ parts }, address) =>
    parts({ ...base, to: [], cc: [{ address, name: 'X <evil@evil.test>, Y' }] }),
  'parts.bcc': ({ parts }, address) => parts({ ...base, to: [], bcc: [{ address }] }),
}

row(
  'C21',
  'RCPT names exactly the address that was given, for every shape that has fooled a parser',
  { fast: true },
  async () =>
    withOutgoing({}, async (out) => {
      const intended = new Map<number, string>()
      let refused = 0
      for (const submit of Object.values(WAYS)) {
        for (const { address, plain } of ADDRESS_CASES) {
          try {
            intended.set(await submit(out, address), checkAddress(address))
            expect(plain, address).toBe(true)
          } catch (error) {
            expect(errorCode(error), String(error)).toBe('22023')
            expect(plain, address).toBe(false)
            refused += 1
          }
        }
      }
      await out.drain()
      const { messages, commands } = out.server.seen
      expect(messages.every(({ recipients }) => recipients.length === 1)).toBe(true)
      expect(messages.flatMap(({ recipients }) => recipients).toSorted()).toEqual([...intended.values()].toSorted())
      expect(commands.filter((line) => /^RCPT/i.test(line)).length).toBe(intended.size)
      expect(commands.filter((line) => /evil|gmail/i.test(line))).toEqual([])
      expect(messages.filter(({ from }) => from !== SENDER)).toEqual([])
      return `RCPT equals intent in ${intended.size} of ${intended.size}; ${refused} of ${refused} hostile ones refused at acceptance`
    }),
)

row('C21', 'the header names the recipients of the envelope and nobody else', { fast: true }, async () =>
  withOutgoing({}, async ({ parts, drain, server }) => {
    const names = [
      '"evil@evil.test"',
      'evil@evil.test',
      'a, evil@evil.test',
      'a <evil@evil.test>',
      '(evil@evil.test)',
      'g: evil@evil.test;',
      '\\',
      '"',
      "o'Brien",
      'Größe, AG <x>',
    ]
    for (const name of names) await parts({ ...base, to: [{ address: 'kunde@example.test', name }] })
    await drain()
    const wrong = server.seen.messages.filter(({ bytes }) => {
      const to = /^To: ((?:.*\r\n[ \t])*.*)\r$/m.exec(bytes.toString())?.[1] ?? ''
      // without quoted texts and encoded words one address is left
      const bare = to
        .replaceAll(/"(?:[^"\\]|\\.)*"|=\?[^?]*\?.\?[^?]*\?=/g, '')
        .replaceAll(/\s+/g, ' ')
        .trim()
      return !/^[\w ]*<kunde@example\.test>$/.test(bare)
    })
    expect(wrong.map(({ bytes }) => bytes.toString())).toEqual([])
    expect(server.seen.messages.length).toBe(names.length)
    return `${names.length} of ${names.length} names stay names`
  }),
)
