import { expect, test } from 'vitest'
import { lanesToWake, type Change } from '../../../src/accounts/what-changed.ts'
import type { Account } from '../../../src/db/accounts.ts'

const host = (name: string) => ({ host: name, port: 995, security: 'tls' as const, username: 'a' })
const client = { id: 1, provider: 'microsoft' as const, tokenEndpoint: 'https://t.example/', clientId: 'c' }
const account = (over: object = {}): Account =>
  ({
    id: 1,
    email: 'a@example.test',
    label: '',
    pop3: host('pop.example'),
    smtp: host('smtp.example'),
    auth: { type: 'oauth2', client, flow: 'refresh_token', scope: 's' },
    uncertainPolicy: 'retry_once',
    sending: { connections: null },
    ...over,
  }) as unknown as Account

const wakes = (
  after: object,
  about: { failed?: Partial<Change['failedAt']>; secret?: boolean; maildrop?: number } = {},
) => {
  const { probe, look } = lanesToWake({
    before: { account: account(), maildrop: 1 },
    after: { account: account(after), maildrop: about.maildrop ?? 1 },
    newCredential: about.secret ?? false,
    failedAt: { receive: [], send: [], ...about.failed },
  })
  return `${probe.join(' ')} | ${look.join(' ')}`
}
const password = { auth: { type: 'password' } }
const [receive, send] = [['token'], ['token']]

test.each([
  ['a name', wakes({ label: 'x' }), ' | '],
  ['the POP3 server', wakes({ pop3: host('x') }), 'receive | '],
  [
    'the POP3 server of a lane that failed there',
    wakes({ pop3: host('x') }, { failed: { receive: ['pop3'] } }),
    'receive | ',
  ],
  ['the POP3 server of a lane that has no token', wakes({ pop3: host('x') }, { failed: { receive } }), ' | receive'],
  ['the SMTP server', wakes({ smtp: host('x') }, { failed: { receive: ['pop3'], send: ['smtp'] } }), 'send | '],
  ['both servers', wakes({ pop3: host('x'), smtp: host('x') }), 'receive send | '],
  ['the secret, while nothing is wrong', wakes({}, { secret: true }), 'token receive send | '],
  [
    'the secret of lanes that have no token: they come with it',
    wakes({}, { secret: true, failed: { receive, send } }),
    'token | ',
  ],
  [
    'the secret, where the token was good and POP3 refused it',
    wakes({}, { secret: true, failed: { receive: ['pop3'], send } }),
    'token receive | ',
  ],
  ['the app registration', wakes({ auth: { type: 'oauth2', client: { ...client, id: 2 } } }), 'token receive send | '],
  ['tokens for a password', wakes(password, { secret: true, failed: { receive, send } }), 'receive send | '],
  ['policies of the maildrop', wakes({}, { maildrop: 2, failed: { receive: ['pop3'] } }), ' | receive'],
  ['limits of sending', wakes({ sending: { connections: 2 } }), ' | send'],
])('who changes %s wakes exactly what that may mend', (_what, woken, expected) => {
  expect(woken).toBe(expected)
})
