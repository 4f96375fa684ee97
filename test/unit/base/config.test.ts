import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseKeys, readConfig, type Environment } from '../../../src/base/config.ts'
import { UserError } from '../../../src/base/failure.ts'

const KEY = Buffer.alloc(32, 7).toString('base64')
const OLD_KEY = Buffer.alloc(32, 9).toString('base64')
const DATABASE = 'postgres://app:canary-password@db.example/poststelle'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'config-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string, text: string): string {
  const at = path.join(folder, name)
  writeFileSync(at, text)
  return at
}

function problems(env: Environment): string[] {
  try {
    readConfig(env)
  } catch (error) {
    if (!(error instanceof UserError) || error.exitCode !== 2) throw error
    return error.message.split('\n')
  }
  return []
}

describe('the configuration', () => {
  test('needs no setting at all', () => {
    expect(readConfig({ PATH: '/bin', HOME: '/root' })).toEqual({
      databaseUrl: undefined,
      redisUrl: undefined,
      dataFolder: path.resolve('data'),
      keys: undefined,
      http: { host: '127.0.0.1', port: 8470 },
      publicUrl: undefined,
      environment: '',
      extraCaPem: undefined,
      egressAllow: [],
      notifyCommands: new Map(),
      logLevel: 'info',
    })
  })

  test('takes every setting', () => {
    const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'
    const config = readConfig({
      DATABASE_URL: ` ${DATABASE} `,
      REDIS_URL: 'rediss://redis.example:6380',
      POSTSTELLE_DATA: folder,
      POSTSTELLE_KEYS: `new:${KEY},old:${OLD_KEY}`,
      POSTSTELLE_HTTP: '0.0.0.0:80',
      POSTSTELLE_CA_FILE: file('ca.pem', pem),
      POSTSTELLE_EGRESS_ALLOW: '10.1.0.0/16, 192.168.5.7',
      POSTSTELLE_NOTIFY_COMMANDS: 'pager=/usr/local/bin/page-me',
      POSTSTELLE_LOG: 'debug',
    })
    expect(config).toMatchObject({
      databaseUrl: DATABASE,
      redisUrl: 'rediss://redis.example:6380',
      dataFolder: folder,
      http: { host: '0.0.0.0', port: 80 },
      extraCaPem: pem,
      egressAllow: ['10.1.0.0/16', '192.168.5.7'],
      notifyCommands: new Map([['pager', '/usr/local/bin/page-me']]),
      logLevel: 'debug',
    })
    expect(config.keys?.map(({ id }) => id)).toEqual(['new', 'old'])
  })

  test('says all its problems at once, each with the name of its setting', () => {
    const found = problems({
      DATABASE_URL: 'mysql://db.example/x',
      REDIS_URL: 'redis.example:6379',
      POSTSTELLE_KEYS: 'short:AAAA',
      POSTSTELLE_HTTP: '8470',
      POSTSTELLE_CA_FILE: path.join(folder, 'absent.pem'),
      POSTSTELLE_EGRESS_ALLOW: 'intranet',
      POSTSTELLE_LOG: 'loud',
      POSTSTELLE_COLOUR: 'blue',
    })
    expect(new Set(found.map((line) => line.split(':')[0]))).toEqual(
      new Set([
        'DATABASE_URL',
        'POSTSTELLE_CA_FILE',
        'POSTSTELLE_COLOUR',
        'POSTSTELLE_EGRESS_ALLOW',
        'POSTSTELLE_HTTP',
        'POSTSTELLE_KEYS',
        'POSTSTELLE_LOG',
        'REDIS_URL',
      ]),
    )
    expect(found).toHaveLength(8)
  })

  test.each(['POSTSTELLE_KEY', 'POSTSTELLE_DATA_FOLDER', 'POSTSTELLE_CA', 'POSTSTELLE_', 'POSTSTELLE_LOGS_FILE'])(
    'refuses %s, which is not a setting, instead of ignoring it',
    (name) => {
      expect(problems({ [name]: 'x' })).toEqual([
        expect.stringMatching(`^${name}: is not a setting; known are DATABASE_URL, `),
      ])
    },
  )

  test('treats a setting that is empty or blank as not set', () => {
    expect(readConfig({ DATABASE_URL: '', REDIS_URL: '  ', POSTSTELLE_LOG: '' })).toMatchObject({
      databaseUrl: undefined,
      redisUrl: undefined,
      logLevel: 'info',
    })
  })

  test('asks for the key ring where the database is not the embedded one', () => {
    expect(problems({ DATABASE_URL: DATABASE })).toEqual([
      expect.stringMatching(/^POSTSTELLE_KEYS: is required with DATABASE_URL/),
    ])
  })
})

describe('a setting in a file', () => {
  test('is read from there, without the line break at its end', () => {
    const config = readConfig({
      DATABASE_URL_FILE: file('url', `${DATABASE}\n`),
      POSTSTELLE_KEYS_FILE: file('keys', `k1:${KEY}\n`),
    })
    expect(config.databaseUrl).toBe(DATABASE)
    expect(config.keys).toEqual([{ id: 'k1', bytes: Buffer.alloc(32, 7) }])
  })

  test('may not be set directly as well', () => {
    expect(problems({ REDIS_URL: 'redis://a.example', REDIS_URL_FILE: file('redis', 'redis://b.example') })).toEqual([
      'REDIS_URL: is set twice, also as REDIS_URL_FILE',
    ])
  })

  test('that cannot be read is said once, and what stands in place of its path is not repeated', () => {
    expect(problems({ DATABASE_URL: DATABASE, POSTSTELLE_KEYS_FILE: `k1:${KEY}` })).toEqual([
      'POSTSTELLE_KEYS: the file of POSTSTELLE_KEYS_FILE cannot be read (ENOENT)',
    ])
  })

  test('that is empty is a mistake: the embedded database must not be used by accident', () => {
    expect(problems({ DATABASE_URL_FILE: file('nothing', '\n') })).toEqual([
      'DATABASE_URL: the file of DATABASE_URL_FILE is empty',
    ])
  })
})

describe('the key ring', () => {
  test('keeps its order, for the first key seals', () => {
    expect(parseKeys(`b:${KEY} , a:${OLD_KEY}`).map(({ id }) => id)).toEqual(['b', 'a'])
  })

  test.each([
    ['no id', KEY, 'key 1 is not of the form id:base64'],
    ['an empty id', `:${KEY}`, 'key 1 is not of the form id:base64'],
    ['an id with a dot, which ends it in a sealed value', `a.b:${KEY}`, 'key 1 is not of the form id:base64'],
    ['an id of 33 characters', `${'a'.repeat(33)}:${KEY}`, 'key 1 is not of the form id:base64'],
    ['no key', 'k1:', 'key 1 is not of the form id:base64'],
    ['a key that is not base64', `k1:${'ä'.repeat(32)}`, 'key 1 is not of the form id:base64'],
    ['a comma at the end', `k1:${KEY},`, 'key 2 is not of the form id:base64'],
    ['a key of 31 bytes', `k1:${Buffer.alloc(31).toString('base64')}`, 'key "k1" has 31 bytes, needed are 32'],
    ['a key of 33 bytes', `k1:${Buffer.alloc(33).toString('base64')}`, 'key "k1" has 33 bytes, needed are 32'],
    ['an id that stands there twice', `k1:${KEY},k1:${OLD_KEY}`, 'key id "k1" stands there twice'],
  ])('with %s is refused', (_what, text, message) => {
    expect(() => parseKeys(text)).toThrow(message)
  })
})

describe('the address of the dashboard', () => {
  test.each([
    ['127.0.0.1:8470', { host: '127.0.0.1', port: 8470 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['[::1]:8470', { host: '::1', port: 8470 }],
    ['[::]:65535', { host: '::', port: 65_535 }],
  ])('may be %s', (text, http) => {
    expect(readConfig({ POSTSTELLE_HTTP: text }).http).toEqual(http)
  })

  test.each([
    '8470',
    ':8470',
    'localhost',
    'localhost:',
    '::1:8470',
    '[::1]',
    '[:::]:80',
    '[localhost]:80',
    '127.0.0.1:65536',
    '127.0.0.1:http',
    'http://localhost:80',
  ])('may not be %s', (text) => {
    expect(problems({ POSTSTELLE_HTTP: text })).toEqual([`POSTSTELLE_HTTP: "${text}" is not of the form address:port`])
  })
})

describe('the private networks that may be dialled', () => {
  test.each([
    ['10.1.0.0/16', ['10.1.0.0/16']],
    ['192.168.5.7', ['192.168.5.7']],
    ['fd00::/8, ::1 ,', ['fd00::/8', '::1']],
  ])('may be %s', (text, networks) => {
    expect(readConfig({ POSTSTELLE_EGRESS_ALLOW: text }).egressAllow).toEqual(networks)
  })

  test.each(['page-me', 'pager=page-me', '=/bin/true', 'two words=/bin/true'])('names no command by %s', (text) => {
    expect(() => readConfig({ POSTSTELLE_NOTIFY_COMMANDS: text })).toThrow(
      /POSTSTELLE_NOTIFY_COMMANDS: ".*" is not a name and a program/,
    )
  })

  test.each([
    '10.1.0.0/33',
    '10.1.0.0/',
    '10.1.0.0/16/8',
    '10.1.0/16',
    'fd00::/129',
    'intranet.example',
    '*',
    '10.1.0.0-10.2.0.0',
  ])('may not be %s', (text) => {
    expect(problems({ POSTSTELLE_EGRESS_ALLOW: `127.0.0.1,${text}` })).toEqual([
      `POSTSTELLE_EGRESS_ALLOW: "${text}" is not an address or a network like 10.1.0.0/16`,
    ])
  })
})

test.each([
  ['a database URL', { DATABASE_URL: 'postgers://app:canary@db.example/x' }],
  ['a Redis URL', { REDIS_URL: 'http://:canary@redis.example' }],
  ['a key without id', { POSTSTELLE_KEYS: 'canary' }],
  ['a key of the wrong length', { POSTSTELLE_KEYS: 'k1:canary' }],
  ['a key in place of its file', { POSTSTELLE_KEYS_FILE: 'k1:canary' }],
  ['a URL in place of its file', { DATABASE_URL_FILE: 'postgres://app:canary@db.example/x' }],
])('%s that is wrong is not repeated in the message', (_what, env) => {
  const found = problems(env)
  expect(found).not.toEqual([])
  expect(found.join('\n')).not.toContain('canary')
})
