// TLS that is missing, broken, forged or old: no password and no message leaves without it.

import { expect } from 'vitest'
import { row } from '../../support/figures.ts'
import { withOutbound, type Sender } from '../../support/outbound.ts'
import { makePki, type Pki } from '../../support/pki.ts'
import type { SmtpScript, Step } from '../../support/scripted-smtp.ts'

/** passwordAccount's, as it would be on the wire. */
const PASSWORD = 'correct-horse'
const inBase64 = (text: string): string => Buffer.from(text).toString('base64')

/** The message waits as it was, and nobody has heard a secret. Returns the flag. */
async function refused(sender: Sender, what: string): Promise<string> {
  const id = await sender.submit('eins')
  const { failure } = await sender.drain()
  expect([what, await sender.row(id)]).toMatchObject([
    what,
    { state: 'held', hold_reason: 'account_blocked', attempts: 0 },
  ])
  const { plaintext, commands, messages } = sender.server.seen
  expect([what, commands.filter((command) => /^(?:AUTH|MAIL|RCPT|DATA)/.test(command))]).toEqual([what, []])
  for (const secret of [PASSWORD, inBase64(PASSWORD), inBase64(`\0${sender.user}\0${PASSWORD}`)])
    expect([what, plaintext.includes(secret)]).toEqual([what, false])
  expect(messages).toEqual([])
  expect((await sender.flags()).map(({ flag }) => flag)).toEqual([failure?.flag])
  return failure?.flag ?? ''
}

interface Case {
  readonly script: SmtpScript
  /** Not given: any. */
  readonly flag?: string
}

async function allRefused(cases: Readonly<Record<string, Case>>): Promise<string> {
  const pki = await makePki()
  const { cert, key } = pki
  try {
    return await withOutbound({ caPem: pki.ca }, async (outbound) => {
      const flags = new Set<string>()
      for (const [what, { script, flag }] of Object.entries(cases)) {
        const sender = await outbound.sender({ security: 'starttls', tls: { cert, key }, ...script })
        const found = await refused(sender, what)
        expect([what, found]).toEqual([what, flag ?? found])
        flags.add(found)
      }
      const count = Object.keys(cases).length
      return `refused ${count} of ${count}, credentials in plaintext 0, attempts counted 0; flags: ${[...flags].join(', ')}`
    })
  } finally {
    await pki.stop()
  }
}

const atStartTls = (answer: string | Step): SmtpScript => ({
  answer: (command) => (command === 'STARTTLS' ? answer : undefined),
})

row('C14', 'STARTTLS is not offered, refused, or fails: nothing is said in plaintext', { fast: true }, () =>
  allRefused({
    'not offered': {
      script: {
        answer: (c, secured) =>
          c.startsWith('EHLO') && !secured ? '250-localhost\r\n250 AUTH PLAIN LOGIN' : undefined,
      },
      flag: 'starttls_missing',
    },
    'refused for now': { script: atStartTls('454 4.7.0 TLS not available'), flag: 'starttls_missing' },
    'refused for good': { script: atStartTls('502 5.5.1 not here'), flag: 'starttls_missing' },
    'granted, and closed': { script: atStartTls({ raw: '220 go\r\n', end: 'close' }), flag: 'connection_lost' },
    'granted, and the handshake refused': { script: { tls: { cert: '', key: '' } }, flag: 'tls_version_unsupported' },
  }),
)

row(
  'C15',
  'bytes behind the consent to STARTTLS: the connection is dropped, and they are not believed',
  { fast: true },
  () =>
    allRefused({
      'a reply in the same packet': {
        script: atStartTls({ raw: '220 go\r\n250-localhost\r\n250 AUTH PLAIN\r\n' }),
        flag: 'server_speaks_garbage',
      },
      'a reply right behind it': {
        script: atStartTls({ pieces: ['220 go\r\n', '250 AUTH PLAIN\r\n'] }),
        flag: 'server_speaks_garbage',
      },
    }),
)

interface BadCertificate {
  readonly tls: NonNullable<SmtpScript['tls']>
  readonly flag: string
}

row(
  'C16',
  'certificates that are expired, self-signed, for another host or purpose, and old TLS: refused by name',
  { fast: true },
  async () => {
    const [good, unknown, expired, elsewhere, client] = await Promise.all([
      makePki(),
      makePki(),
      makePki({ expired: true }),
      makePki({ hosts: ['mail.elsewhere.test'] }),
      makePki({ purpose: 'client' }),
    ])
    const of = ({ cert, key }: Pki) => ({ cert, key })
    const old = { ciphers: 'DEFAULT@SECLEVEL=0', minVersion: 'TLSv1', maxVersion: 'TLSv1' } as const
    const cases: Readonly<Record<string, BadCertificate>> = {
      'unknown authority': { tls: of(unknown), flag: 'tls_certificate_untrusted' },
      expired: { tls: of(expired), flag: 'tls_certificate_untrusted' },
      'another host': { tls: of(elsewhere), flag: 'tls_certificate_untrusted' },
      'not for servers': { tls: of(client), flag: 'tls_certificate_untrusted' },
      'TLS 1.0': { tls: { ...of(good), ...old }, flag: 'tls_version_unsupported' },
    }
    try {
      const caPem = [good, expired, elsewhere, client].map(({ ca }) => ca).join('\n')
      return await withOutbound({ caPem }, async ({ sender }) => {
        const flags = new Set<string>()
        for (const [what, { tls, flag }] of Object.entries(cases))
          for (const security of ['tls', 'starttls'] as const) {
            const found = await refused(await sender({ security, tls }), `${what}, ${security}`)
            expect([what, found]).toEqual([what, flag])
            flags.add(found)
          }
        const trusted = await sender({ security: 'tls', tls: of(good) })
        const id = await trusted.submit('eins')
        await trusted.drain()
        expect((await trusted.row(id)).state).toBe('sent')
        const count = 2 * Object.keys(cases).length
        return `refused ${count} of ${count}, credentials seen 0; flags: ${[...flags].join(', ')}; a good certificate of the same authority: sent`
      })
    } finally {
      for (const pki of [good, unknown, expired, elsewhere, client]) await pki.stop()
    }
  },
)
