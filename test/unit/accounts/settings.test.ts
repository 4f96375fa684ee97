import { describe, expect, test } from 'vitest'
import type { HostCheck } from '../../../src/accounts/fields.ts'
import { parseAccounts } from '../../../src/accounts/settings.ts'
import {
  account,
  anyHost,
  GUID,
  host,
  oauth,
  ofFirst,
  one,
  problems,
  read,
  SECRET,
  type Fields,
} from './account-fields.ts'

const DEFAULTS = {
  pollIntervalSeconds: 300,
  pollIntervalMaxSeconds: null,
  deleteAfterDays: null,
  deleteAfterAck: false,
  firstSync: 'all',
  firstSyncDays: null,
  maxSessionMessages: 5_000,
  maxSessionBytes: 500 * 1024 * 1024,
  maxMessageBytes: 150 * 1024 * 1024,
  freshnessMinutes: null,
  canaryMinutes: null,
}

const BY_PRESET = { connections: null, messagesPerMinute: null, recipientsPerDay: null, recipientsPerMessage: null }

describe('an account', () => {
  test('as the manual has it is taken, and what was understood differently is said', () => {
    const [parsed] = read(
      account({
        label: 'Zentrale',
        default: true,
        pop3: host({ host: 'Outlook.office365.com', security: 'STARTTLS' }),
        smtp: { host: 'Smtp.office365.com', port: 587, security: 'STARTTLS', username: 'other@firma.example' },
        poll_interval_seconds: 60,
        delete_after_days: 0,
      }),
    )
    expect(parsed).toEqual({
      email: 'info@firma.example',
      label: 'Zentrale',
      isDefault: true,
      pop3: { host: 'outlook.office365.com', port: 995, security: 'tls', username: 'info@firma.example' },
      smtp: { host: 'smtp.office365.com', port: 587, security: 'starttls', username: 'other@firma.example' },
      auth: {
        type: 'oauth2',
        flow: 'password',
        tokenEndpoint: `https://login.microsoftonline.com/${GUID}/oauth2/v2.0/token`,
        clientId: GUID,
        proof: { kind: 'secret', secret: SECRET },
        scope: 'https://outlook.office365.com/.default',
        password: SECRET,
      },
      maildrop: { ...DEFAULTS, pollIntervalSeconds: 60, deleteAfterDays: 0 },
      sending: BY_PRESET,
      notes: ['pop3.security: port 995 speaks TLS from the first byte; "starttls" was stored as "tls"'],
    })
  })

  test('needs little: the rest has defaults', () => {
    expect(
      one({
        email: 'a@b.example',
        smtp: { host: 'mail.b.example', port: 465, security: 'tls' },
        auth: { type: 'password', password: SECRET },
      }),
    ).toEqual({
      email: 'a@b.example',
      label: '',
      isDefault: false,
      pop3: null,
      smtp: { host: 'mail.b.example', port: 465, security: 'tls', username: 'a@b.example' },
      auth: { type: 'password', password: SECRET },
      maildrop: DEFAULTS,
      sending: BY_PRESET,
      notes: [],
    })
  })

  test('may stand alone or in a list, behind a byte order mark as well', () => {
    expect(read(account())).toEqual(read([account()]))
    expect(parseAccounts(`\uFEFF${JSON.stringify(account())}`, 'accounts.json', anyHost)).toHaveLength(1)
  })
})

describe('encryption', () => {
  test.each([
    ['pop3', 110],
    ['smtp', 587],
    ['smtp', 25],
  ] as const)('of %s on port %i is STARTTLS, whatever the file says', (field, port) => {
    const parsed = one(account({ [field]: host({ port, security: 'tls' }) }))
    expect(parsed[field]?.security).toBe('starttls')
    expect(parsed.notes).toEqual([`${field}.security: port ${port} begins without TLS; "tls" was stored as "starttls"`])
  })

  test.each([
    ['tls', 'tls'],
    ['SSL', 'tls'],
    ['ssl/tls', 'tls'],
    [' StartTLS ', 'starttls'],
    ['STLS', 'starttls'],
  ])('%j is understood as %s', (security, understood) => {
    expect(one(account({ pop3: host({ port: 9_995, security }) })).pop3?.security).toBe(understood)
  })

  test.each([
    ['pop3', 995],
    ['smtp', 465],
  ] as const)('of %s on port %d is TLS from the first byte, whatever the file says', (field, port) => {
    const parsed = one(account({ [field]: host({ port, security: 'starttls' }) }))
    expect(parsed[field]?.security).toBe('tls')
    expect(parsed.notes).toEqual([
      `${field}.security: port ${port} speaks TLS from the first byte; "starttls" was stored as "tls"`,
    ])
  })

  test.each([
    ['pop3', 110],
    ['smtp', 587],
    ['smtp', 995],
  ] as const)('of %s on port %d stays STARTTLS', (field, port) => {
    const parsed = one(account({ [field]: host({ port, security: 'starttls' }) }))
    expect(parsed[field]?.security).toBe('starttls')
    expect(parsed.notes).toEqual([])
  })

  test.each(['localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.1', '::1'])(
    'may be left out towards this machine (%s)',
    (name) => {
      expect(one(account({ pop3: host({ host: name, security: 'none' }) })).pop3?.security).toBe('none')
    },
  )

  test.each(['mail.firma.example', '10.0.0.1', '127.0.0.1.evil.example', 'localhost.evil.example', '192.168.127.0'])(
    'may not be left out towards %s',
    (name) => {
      expect(problems(account({ pop3: host({ host: name, security: 'none' }) }))).toEqual(
        ofFirst('pop3.security: "none" is allowed for this machine only; use "tls" or "starttls"'),
      )
    },
  )

  test.each(['', 'yes', 'plain', 'tls1.0'])('%j is not one', (security) => {
    expect(problems(account({ pop3: host({ security }) }))).toEqual(
      ofFirst('pop3.security: must be "tls", "starttls" or "none"'),
    )
  })
})

describe('the token endpoint', () => {
  test('is cleaned of blanks and line breaks inside, and that is said', () => {
    const parsed = one(
      account({ auth: oauth({ token_endpoint: ` https://login.microsoftonline.com/${GUID} /oauth2/\nv2.0/token ` }) }),
    )
    expect(parsed.auth).toMatchObject({ tokenEndpoint: `https://login.microsoftonline.com/${GUID}/oauth2/v2.0/token` })
    expect(parsed.notes).toEqual(['auth.token_endpoint: a blank inside the URL was removed'])
  })

  test('may have blanks around it, of which nothing is said', () => {
    expect(one(account({ auth: oauth({ token_endpoint: '\thttps://id.example/token\n' }) })).notes).toEqual([])
  })

  test.each([
    ['http://login.example/token', ['does not begin with https://']],
    ['login.example/token', ['is not a URL']],
    ['', ['is not a URL']],
    ['ftp://login.example/token', ['does not begin with https://']],
    ['https://user:canary@login.example/token', ['contains a user name']],
    ['https://user@login.example/token', ['contains a user name']],
    ['http://:canary@login.example/token', ['does not begin with https://', 'contains a user name']],
    [
      'https://login.microsoftonline.com/{Mandanten-ID}/oauth2/v2.0/token',
      ['still contains a placeholder in braces; put the tenant ID there'],
    ],
    [
      'https://login.microsoftonline.com/{Mandanten ID}/oauth2/v2.0/token',
      ['still contains a placeholder in braces; put the tenant ID there'],
    ],
    ['https://{tenant ID}.example/token', ['still contains a placeholder in braces; put the tenant ID there']],
    ['{tenant}', ['still contains a placeholder in braces; put the tenant ID there', 'is not a URL']],
    [`https://login.example/${'x'.repeat(2_000)}`, ['is too long']],
  ])('is refused: %s', (token_endpoint, complaints) => {
    expect(problems(account({ auth: oauth({ token_endpoint }) }))).toEqual(
      ofFirst(...complaints.map((text) => `auth.token_endpoint: ${text}`)),
    )
  })
})

describe('hosts that must not be dialled', () => {
  const check: HostCheck = (name) => (/^(10\.|fd00:|intranet)/.test(name) ? `${name} is a private address` : undefined)

  test.each([
    ['pop3.host', account({ pop3: host({ host: '10.0.0.1' }) }), '10.0.0.1'],
    ['smtp.host', account({ smtp: host({ host: 'INTRANET', port: 25 }) }), 'intranet'],
    ['auth.token_endpoint', account({ auth: oauth({ token_endpoint: 'https://10.0.0.1:8443/token' }) }), '10.0.0.1'],
    ['auth.token_endpoint', account({ auth: oauth({ token_endpoint: 'https://0x0a000001/token' }) }), '10.0.0.1'],
    ['auth.token_endpoint', account({ auth: oauth({ token_endpoint: 'https://[fd00::1]/token' }) }), 'fd00::1'],
  ])('are refused as %s', (field, value, name) => {
    expect(problems(value, check)).toEqual(ofFirst(`${field}: ${name} is a private address`))
  })

  test('are not even asked about where the name is none', () => {
    const asked: string[] = []
    problems(account({ pop3: host({ host: 'mail firma.example' }) }), (name) => void asked.push(name))
    expect(asked).toEqual(['login.microsoftonline.com'])
  })
})

describe('the client secret', () => {
  test.each([
    ['missing', oauth({ client_secret: undefined })],
    ['null', oauth({ client_secret: null })],
  ])('that is %s makes a public client', (_how, auth) => {
    expect(one(account({ auth })).auth).toMatchObject({ proof: { kind: 'none' } })
  })

  test('that looks like an ID is taken, and the mistake is named', () => {
    const parsed = one(account({ auth: oauth({ client_secret: GUID.toUpperCase() }) }))
    expect(parsed.auth).toMatchObject({ proof: { kind: 'secret', secret: GUID.toUpperCase() } })
    expect(parsed.notes).toEqual([
      'auth.client_secret: looks like the ID of the secret; needed is the value (in Entra: "Wert", not "Geheime ID")',
    ])
  })
})

test('a Microsoft client ID that is no GUID is taken, and the mistake is named', () => {
  expect(one(account({ auth: oauth({ client_id: 'bm_mail' }) })).notes).toEqual([
    'auth.client_id: a Microsoft application ID has the form of a GUID',
  ])
  expect(
    one(account({ auth: oauth({ client_id: 'bm_mail', token_endpoint: 'https://oauth2.googleapis.com/token' }) }))
      .notes,
  ).toEqual([])
})

test.each([
  ['password', 'password'],
  ['refresh_token', 'refresh_token'],
])('the flow "%s" needs auth.%s', (flow, field) => {
  const complete = oauth({ flow, refresh_token: SECRET })
  expect(problems(account({ auth: complete }))).toEqual([])
  expect(problems(account({ auth: { ...complete, [field]: undefined } }))).toEqual(
    ofFirst(`auth.${field}: is missing; the flow "${flow}" needs it`),
  )
})

describe('a field', () => {
  test.each<[string, Fields, string[]]>([
    [
      'unknown',
      account({ colour: 'blue', pop3: host({ prot: 995 }), auth: oauth({ secret: SECRET }) }),
      ['pop3.prot: is not a field', 'auth.secret: is not a field', 'colour: is not a field'],
    ],
    [
      'missing',
      { email: 'info@firma.example', pop3: { port: 995 } },
      ['pop3.host: is missing', 'pop3.security: is missing', 'auth: is missing'],
    ],
    ['port 0', account({ pop3: host({ port: 0 }) }), ['pop3.port: is not a port (1 to 65535)']],
    ['port 65536', account({ smtp: host({ port: 65_536 }) }), ['smtp.port: is not a port (1 to 65535)']],
    ['port 99.5', account({ pop3: host({ port: 99.5 }) }), ['pop3.port: is not a whole number']],
    ['port as a text', account({ pop3: host({ port: '995' }) }), ['pop3.port: is not a whole number']],
    [
      'host as a URL',
      account({ pop3: host({ host: 'https://outlook.office365.com' }) }),
      ['pop3.host: is not a host name'],
    ],
    ['host as a list', account({ pop3: host({ host: ['a'] }) }), ['pop3.host: is not a text']],
    [
      'user name with a line break',
      account({ pop3: host({ username: 'a\r\nDELE 1' }) }),
      ['pop3.username: contains a line break or another control character'],
    ],
    [
      'password with a line break',
      account({ auth: { type: 'password', password: 'canary\n' } }),
      ['auth.password: contains a line break'],
    ],
    ['empty password', account({ auth: { type: 'password', password: '' } }), ['auth.password: is empty']],
    ['unknown kind of auth', account({ auth: { type: 'kerberos' } }), ['auth.type: must be "password" or "oauth2"']],
    [
      'unknown flow',
      account({ auth: oauth({ flow: 'device' }) }),
      [
        'auth.flow: must be one of password, refresh_token, client_credentials, authorization_code, device_code, service_account',
      ],
    ],
    ['server as a text', account({ pop3: 'outlook.office365.com' }), ['pop3: is not an object']],
    ['neither server', account({ pop3: null }), ['pop3: neither pop3 nor smtp is given']],
    ['default as a text', account({ default: 'yes' }), ['default: must be true or false']],
    ['interval of 4 s', account({ poll_interval_seconds: 4 }), ['poll_interval_seconds: is less than 5']],
    ['days below 0', account({ delete_after_days: -1 }), ['delete_after_days: is negative']],
    ['empty scope', account({ auth: oauth({ scope: ' ' }) }), ['auth.scope: is empty']],
  ])('is named with its path: %s', (_what, value, complaints) => {
    expect(problems(value)).toEqual(ofFirst(...complaints))
  })

  test.each([
    '',
    'info',
    'info@',
    '@firma.example',
    'a b@firma.example',
    'a@b@c.example',
    'Info <info@firma.example>',
    'a@b.example,c@d.example',
  ])('is no e-mail address: %j', (email) => {
    expect(problems(account({ email }))).toEqual([expect.stringMatching(/email: is not an e-mail address$/)])
  })

  test('with a secret in the wrong place is not repeated', () => {
    expect(
      problems(
        account({
          auth: oauth({ flow: SECRET, client_secret: [SECRET], scope: 5, password: { SECRET } }),
          default: SECRET,
        }),
      ),
    ).toHaveLength(5)
  })

  test('whose name or address has a line break does not make a second line', () => {
    expect(problems(account({ email: 'a\nb', 'x\ny': 1 }))).toEqual([
      'accounts.json: account 1 (a b): email: contains a line break or another control character',
      'accounts.json: account 1 (a b): x y: is not a field',
    ])
  })
})
