// What an application hands over may carry anything; it adds no header field and no recipient.

import { expect } from 'vitest'
import { errorCode, errorText } from '../../../src/base/failure.ts'
import { row } from '../../support/figures.ts'
import { SENDER, withOutgoing } from '../../support/outgoing.ts'

const EVIL = 'Bcc: evil@evil.test'
/** Each of them once made some program write another header line, or read one. */
const PAYLOADS = [
  `x\r\n${EVIL}`,
  `x\n${EVIL}`,
  `x\r${EVIL}`,
  `x\r\n ${EVIL}`,
  `x\r\n\t${EVIL}`,
  `x\r\n\r\n${EVIL}\r\n\r\n.\r\nMAIL FROM:<evil@evil.test>\r\n`,
  `x\r\n.\r\nRSET\r\nRCPT TO:<evil@evil.test>\r\n`,
  `x\n.\n${EVIL}`,
  `\r\n${EVIL}`,
  `x\u2028${EVIL}`,
  `x\u2029${EVIL}`,
  `x\u0085${EVIL}`,
  `x\u000b${EVIL}`,
  `x\u000c${EVIL}`,
  `x\u0000${EVIL}`,
  `x\u001b[2J${EVIL}`,
  // CR and LF once the high byte is cut off
  `x\u560d\u560a${EVIL}`,
  `x\u010d\u010a${EVIL}`,
  `=?utf-8?q?x=0D=0A${EVIL.replaceAll(' ', '_')}?=`,
  `=?utf-8?b?${Buffer.from(`x\r\n${EVIL}`).toString('base64')}?=`,
  `x =?utf-8?q?=0ABcc:_evil=40evil.test?= y`,
  `x%0d%0a${EVIL}`,
  `x\\r\\n${EVIL}`,
  '"evil@evil.test" <evil@evil.test>',
  'x, evil@evil.test',
  'x <evil@evil.test>, y',
  'x"; evil@evil.test; "',
  'x (evil@evil.test',
  'friends: evil@evil.test;',
  'x; name="y"; boundary=z',
  `x${' '.repeat(90)}${EVIL}`,
]

const base = { from: SENDER, to: ['kunde@example.test'], subject: 'Nr', text: 'Text' }
const file = { content: 'eA==', filename: 'a.pdf' }
type Place = (payload: string) => object
/** Every place of the parts that takes a text. */
const PLACES: Readonly<Record<string, Place>> = {
  from: (p) => ({ ...base, from: p }),
  'from.address': (p) => ({ ...base, from: { address: p } }),
  'from.name': (p) => ({ ...base, from: { address: SENDER, name: p } }),
  reply_to: (p) => ({ ...base, reply_to: p }),
  'reply_to.name': (p) => ({ ...base, reply_to: { address: SENDER, name: p } }),
  to: (p) => ({ ...base, to: [p] }),
  'to.name': (p) => ({ ...base, to: [{ address: 'kunde@example.test', name: p }] }),
  cc: (p) => ({ ...base, cc: [p] }),
  'cc.name': (p) => ({ ...base, cc: [{ address: 'kunde@example.test', name: p }] }),
  bcc: (p) => ({ ...base, bcc: [p] }),
  'bcc.name': (p) => ({ ...base, bcc: [{ address: 'kunde@example.test', name: p }] }),
  envelope_from: (p) => ({ ...base, envelope_from: p }),
  subject: (p) => ({ ...base, subject: p }),
  text: (p) => ({ ...base, text: p }),
  html: (p) => ({ ...base, html: p }),
  'header name': (p) => ({ ...base, headers: { [p]: 'x' } }),
  'X- header name': (p) => ({ ...base, headers: { [`X-${p}`]: 'x' } }),
  'header X-Test': (p) => ({ ...base, headers: { 'X-Test': p } }),
  'header References': (p) => ({ ...base, headers: { References: p } }),
  'header In-Reply-To': (p) => ({ ...base, headers: { 'In-Reply-To': p } }),
  'header List-Unsubscribe': (p) => ({ ...base, headers: { 'List-Unsubscribe': p } }),
  'header Comments': (p) => ({ ...base, headers: { Comments: p } }),
  'attachment filename': (p) => ({ ...base, attachments: [{ ...file, filename: p }] }),
  'attachment content_type': (p) => ({ ...base, attachments: [{ ...file, content_type: `application/pdf; x=${p}` }] }),
  'attachment content_id': (p) => ({ ...base, html: 'x', attachments: [{ ...file, content_id: p }] }),
  'attachment disposition': (p) => ({ ...base, attachments: [{ ...file, disposition: p }] }),
  'attachment content': (p) => ({ ...base, attachments: [{ ...file, content: p }] }),
  'attached message': (p) => ({
    ...base,
    attachments: [{ content: Buffer.from(p.replaceAll('\0', '')).toString('base64'), content_type: 'message/rfc822' }],
  }),
}

const EXPECTED = new Set(
  [
    'From',
    'To',
    'Cc',
    'Reply-To',
    'Subject',
    'Message-ID',
    'Date',
    'MIME-Version',
    'Content-Type',
    'Content-Transfer-Encoding',
  ].concat(['X-Test', 'References', 'In-Reply-To', 'List-Unsubscribe', 'Comments', 'Content-Disposition']),
)

/** Names of the header fields, as a lenient reader would see them: CR and LF alone end a line. */
function fieldNames(message: string): string[] {
  const [head = ''] = message.split(/\r?\n\r?\n|\r\r/, 1)
  return head
    .split(/\r\n|\r|\n|[\u0085\u2028\u2029]/)
    .filter((line) => !/^[ \t]/.test(line))
    .map((line) => line.split(':')[0] ?? '')
}

row('C20', 'nothing in any field of a message adds a header field or a recipient', { fast: true }, async () =>
  withOutgoing({}, async ({ parts, drain, server }) => {
    let refused = 0
    let accepted = 0
    for (const [place, make] of Object.entries(PLACES)) {
      for (const payload of PAYLOADS) {
        try {
          await parts(make(payload))
          accepted += 1
        } catch (error) {
          // in our words, or, for NUL, in those of the type json
          expect(errorCode(error), `${place}: ${JSON.stringify(payload)}: ${errorText(error)}`).toMatch(
            /^(22023|22P05)$/,
          )
          expect(errorText(error)).not.toMatch(/[\u0000-\u001f\u0080-\u009f\u2028\u2029]/)
          refused += 1
        }
      }
    }
    await drain()
    expect(accepted).toBeGreaterThan(200)
    expect(refused).toBeGreaterThan(200)
    const { messages, commands } = server.seen
    expect(messages.length).toBe(accepted)
    const extraRecipients = messages.flatMap(({ recipients }) => recipients).filter((to) => to !== 'kunde@example.test')
    const extraFields = messages.flatMap(({ bytes }) =>
      fieldNames(bytes.toString('utf8')).filter((name) => !EXPECTED.has(name)),
    )
    const twice = messages.filter(
      ({ bytes }) => new Set(fieldNames(bytes.toString())).size !== fieldNames(bytes.toString()).length,
    )
    const oddCommands = commands.filter(
      (line) =>
        !/^(?:EHLO|AUTH|MAIL FROM:<absender@example\.test>|RCPT TO:<kunde@example\.test>|DATA|QUIT)\b/.test(line) &&
        /evil/i.test(line),
    )
    const bare = messages.filter(({ bytes }) => /[\r\n]/.test(bytes.toString('latin1').replaceAll('\r\n', '')))
    expect({ extraRecipients, extraFields, twice: twice.length, oddCommands, bare: bare.length }).toEqual({
      extraRecipients: [],
      extraFields: [],
      twice: 0,
      oddCommands: [],
      bare: 0,
    })
    return `extra header fields 0, extra recipients 0 in ${accepted} messages; ${refused} of ${accepted + refused} refused by name`
  }),
)

row(
  'C20',
  'a complete message keeps its header fields and loses Bcc, however it is written',
  { fast: true },
  async () =>
    withOutgoing({}, async ({ raw, drain, server }) => {
      const head = `From: ${SENDER}\r\nTo: kunde@example.test\r\nMessage-ID: <m@example.test>\r\nDate: x\r\n`
      const spellings = ['Bcc', 'BCC', 'bcc', 'bCc', 'Resent-Bcc', 'RESENT-BCC', 'Bcc ', 'Bcc\t']
      const values = [
        'evil@evil.test',
        ' evil@evil.test,\r\n evil2@evil.test',
        '\r\n\tevil@evil.test',
        ' ',
        ' x\r\n  \r\n evil@evil.test',
      ]
      let count = 0
      for (const name of spellings) {
        for (const value of values) {
          for (const end of ['\r\n', '\n', '\r']) {
            const line = `${name}:${value}\r\n`
            await raw(
              Buffer.from(
                `${line}${head}${line}${line}Subject: x\r\n${line}\r\nBcc: evil@evil.test\r\n`.replaceAll('\r\n', end),
              ),
            )
            count += 1
          }
        }
      }
      await drain()
      const wanted = `${head}Subject: x\r\n\r\nBcc: evil@evil.test\r\n`
      expect(server.seen.messages.map(({ bytes }) => bytes.toString()).filter((text) => text !== wanted)).toEqual([])
      expect(server.seen.messages.length).toBe(count)
      return `Bcc fields left 0 of ${count * 4} in ${count} messages, bodies unchanged`
    }),
)
