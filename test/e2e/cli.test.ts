import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeFolder, tempFolder } from '../support/child.ts'
import { runCommand, type CommandOptions, type CommandResult } from '../support/command.ts'
import { freshDatabase, type TestDatabase } from '../support/database.ts'
import { passwordAccount } from '../support/house.ts'
import { sampleMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'

const KEY = `k1:${randomBytes(32).toString('base64')}`
const BIN = resolve(import.meta.dirname, '../../bin/poststelle')
const SECRET = /canary|correct-horse|[A-Za-z0-9+/]{43}=/

describe('the command', () => {
  let world: MailWorld
  let database: TestDatabase
  const folder = tempFolder('cli')
  let env: Record<string, string>

  beforeAll(async () => {
    world = await startMailWorld({ oauthAccounts: 1, passwordAccounts: 1 })
    database = await freshDatabase({ migrated: false })
    env = {
      DATABASE_URL: database.url,
      POSTSTELLE_KEYS: KEY,
      POSTSTELLE_DATA: join(folder, 'data'),
      POSTSTELLE_CA_FILE: world.pki.caFile,
      POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8',
    }
  })
  afterAll(async () => {
    await database.drop()
    await world.stop()
    removeFolder(folder)
  })

  const run = (args: string[], o: CommandOptions = {}): Promise<CommandResult> =>
    runCommand(args, { ...o, env: { ...env, ...o.env } })
  const file = (name: string, content: unknown): string => {
    const path = join(folder, name)
    writeFileSync(path, typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content))
    return path
  }

  test('a database that was never migrated is named, and migrate up makes it ready', async () => {
    const before = await run(['status'])
    expect(before).toMatchObject({ code: 1, out: '' })
    expect(before.err).toMatch(/lacks the migrations .*poststelle migrate up/)
    const up = await run(['migrate', 'up', '--json'])
    expect(JSON.parse(up.out)).toMatchObject({ applied: expect.arrayContaining(['0001_accounts']) })
    expect((await run(['migrate', 'up'])).out).toContain('nothing to do')
    const status = JSON.parse((await run(['migrate', 'status', '--json'])).out) as {
      name: string
      applied_at: string | null
    }[]
    expect(status.every(({ applied_at: at }) => at !== null)).toBe(true)
  })

  test('an empty installation says how to begin', async () => {
    expect((await run(['status'])).out).toContain('poststelle account import')
    expect((await run(['account', 'list'])).out).toContain('poststelle account import')
  })

  test('accounts are imported from a file or standard input, and listed without a secret', async () => {
    const dry = await run(['account', 'import', '-', '--dry-run'], { input: JSON.stringify(world.accounts) })
    expect(dry.out).toContain('would be created')
    expect(JSON.parse((await run(['account', 'list', '--json'])).out)).toEqual([])
    const imported = await run(['account', 'import', file('accounts.json', world.accounts)])
    expect(imported).toMatchObject({ code: 0, err: '' })
    const list = await run(['account', 'list', '--json'])
    expect(JSON.parse(list.out)).toHaveLength(2)
    expect(list.out).not.toMatch(SECRET)
  })

  test('poll fetches at once and says what came', async () => {
    world.dovecot.deliver('oauth1@example.test', sampleMessage('oauth1@example.test', 1, 500))
    const polled = await run(['account', 'poll', 'oauth1@example.test', '--json'])
    expect(JSON.parse(polled.out)).toEqual({
      account: 'oauth1@example.test',
      stored: 1,
      skipped: 0,
      suppressed: 0,
      deleted: 0,
      more: false,
    })
  })

  test('what was fetched is listed, shown, and comes out of a pipe byte for byte', async () => {
    const [message] = world.dovecot.stored('oauth1@example.test')
    const { out } = await run(['inbox', 'list', '--json'])
    const { messages } = JSON.parse(out) as { messages: { id: number; subject: string }[] }
    expect(messages).toMatchObject([{ account: 'oauth1@example.test', subject: expect.stringMatching(/^Nachricht 1/) }])
    const id = String(messages[0]?.id)
    expect((await run(['inbox', 'show', id])).out).toContain('absender@example.test')
    const target = join(folder, 'export')
    expect((await run(['inbox', 'export', '--format', 'eml', '--output', target])).out).toContain('1 message in')
    const piped = execFileSync('sh', ['-c', '"$0" inbox show "$1" --raw | sha256sum', BIN, id], {
      env: { PATH: process.env.PATH, ...env },
      encoding: 'utf8',
    })
    const exported = createHash('sha256').update(readFileSync(join(target, `${id}.eml`)))
    expect([piped.split(' ')[0], exported.digest('hex')]).toEqual([message?.sha256, message?.sha256])
  })

  test('send accepts a message once per idempotency key, and names what is wrong with it', async () => {
    const eml = file('mail.eml', 'Subject: Hallo\n\nText\n')
    const args = [
      'send',
      '--account',
      'plain1@example.test',
      '--to',
      'b@example.test',
      'c@example.test',
      '--file',
      eml,
      '--idempotency-key',
      'k',
      '--json',
    ]
    const first = await run(args)
    expect(first).toMatchObject({ code: 0, err: '' })
    expect((await run(args)).out).toBe(first.out)
    const bad = await run(['send', '--account', 'plain1@example.test', '--to', 'no address', '--file', eml])
    expect(bad).toMatchObject({
      code: 1,
      out: '',
      err: "poststelle: recipients: 'no address' is not a plain e-mail address\n",
    })
    expect(
      await run(['send', '--account', 'plain1@example.test', '--to', 'b@example.test', '--file', '/no/such/file']),
    ).toMatchObject({ code: 2 })
  })

  test('send makes a message of its parts, and refuses in one line what is wrong with them', async () => {
    const account = ['send', '--account', 'plain1@example.test']
    const text = file('text.txt', 'Grüße\n')
    const pdf = file('Rechnung März.pdf', '%PDF-1.7')
    const parts = [
      '--to',
      'b@example.test',
      '--cc',
      'c@example.test',
      '--bcc',
      'd@example.test',
      '--from-name',
      'Büro, 2. OG',
    ]
    const more = ['--reply-to', 'r@example.test', '--subject', 'Hallo', '--html', '<p>Hallo</p>', '--attach', pdf, text]
    const due = ['--send-after', '2h', '--urgent', '--idempotency-key', 'parts']
    const first = await run([...account, ...parts, ...more, '--text', `@${text}`, ...due, '--json'])
    expect(first).toMatchObject({ code: 0, err: '' })
    const again = await run([...account, ...parts, ...more, '--text', '@-', ...due], { input: 'Grüße\n' })
    expect(again.out).toBe(`accepted as message ${String(JSON.parse(first.out).id)}\n`)
    const to = ['--to', 'b@example.test']
    const latin1 = file('latin1.txt', Buffer.from('Gr\xfc\xdfe', 'latin1'))
    const refused: [string[], number, string][] = [
      [
        [...to, '--subject', 'a\nb', '--text', 'x'],
        1,
        'parts.subject: contains a line break or another control character',
      ],
      [
        [...to, '--text', 'y', '--idempotency-key', 'parts'],
        1,
        "idempotency_key: 'parts' was used for another message",
      ],
      [to, 2, 'the message is missing'],
      [[...to, '--file', text, '--subject', 'x'], 2, '--file: is a complete message'],
      [[...to, '--text', `@${latin1}`], 2, `--text: ${latin1} is not UTF-8 text`],
      [[...to, '--attach', '/no/such/file'], 2, '/no/such/file: cannot be read'],
    ]
    const results = await Promise.all(refused.map(([args]) => run([...account, ...args])))
    for (const [i, [, code, sentence]] of refused.entries()) {
      expect(results[i]).toMatchObject({ code, out: '' })
      expect(results[i]?.err).toMatch(/^poststelle: .*\n$/)
      expect(results[i]?.err).toContain(sentence)
    }
  })

  test('status has the promised shape, and says that no worker runs', async () => {
    const { out, code } = await run(['status', '--json'])
    expect(code).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      verdict: expect.any(String),
      accounts: [
        {
          email: 'oauth1@example.test',
          receive: { state: 'ok', since: expect.any(String), last_ok_at: expect.any(String) },
          send: { state: 'new' },
          flags: [],
          waiting: { count: 0, oldest_at: null },
        },
        { email: 'plain1@example.test', waiting: { count: 2, oldest_at: expect.any(String) } },
      ],
    })
    expect((await run(['status', '--lang', 'de'])).out).toMatch(/^Der Dienst steht\./)
    expect((await run(['status', '--lang', 'en'])).out).toMatch(/^The service has stopped\./)
  })

  test('classify names a pasted refusal', async () => {
    const reply =
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. Visit https://aka.ms/smtp_auth_disabled for more information. [FR0P281CA0001.DEUP281.PROD.OUTLOOK.COM]'
    const { out } = await run(['classify', '--provider', 'microsoft', '--stage', 'smtp', '--json'], { input: reply })
    expect(JSON.parse(out)).toMatchObject({
      flag: 'smtp_auth_disabled_tenant',
      scope: 'tenant',
      persistence: 'human',
      blocks: ['send'],
    })
    const german = await run(['classify', '--provider', 'microsoft', '--stage', 'smtp', '--lang', 'de'], {
      input: reply,
    })
    expect(german.out).toContain('Nachrichtenfluss')
    expect(await run(['classify', '--provider', 'microsoft', '--stage', 'smtp'], { input: '' })).toMatchObject({
      code: 2,
    })
  })

  test('key generate prints a key that POSTSTELLE_KEYS takes', async () => {
    const { out } = await run(['key', 'generate'])
    expect((await run(['status', '--json'], { env: { POSTSTELLE_KEYS: `${out.trim()},${KEY}` } })).code).toBe(0)
  })

  test.each([
    [
      'a wrong key',
      ['status'],
      { POSTSTELLE_KEYS: `k1:${Buffer.alloc(32).toString('base64')}` },
      1,
      /grants:\d+:credential does not open with key "k1"/,
    ],
    [
      'a missing key',
      ['status'],
      { POSTSTELLE_KEYS: `k2:${Buffer.alloc(32).toString('base64')}` },
      1,
      /sealed with key "k1", which POSTSTELLE_KEYS does not have/,
    ],
    ['no key at all', ['status'], { POSTSTELLE_KEYS: '' }, 2, /POSTSTELLE_KEYS: is required with DATABASE_URL/],
    ['an unknown setting', ['status'], { POSTSTELLE_COLOUR: 'red' }, 2, /POSTSTELLE_COLOUR: is not a setting/],
    [
      'two wrong settings at once',
      ['status'],
      { POSTSTELLE_HTTP: 'x', POSTSTELLE_LOG: 'loud' },
      2,
      /POSTSTELLE_HTTP: .*\n.*POSTSTELLE_LOG: /,
    ],
    [
      'a database that is not there',
      ['status'],
      { DATABASE_URL: 'postgres://u:canary@127.0.0.1:1/x' },
      1,
      /DATABASE_URL: the database cannot be used/,
    ],
    [
      'an unknown account',
      ['account', 'poll', 'nobody@example.test'],
      {},
      1,
      /there is no account "nobody@example.test"/,
    ],
    ['an unknown command', ['frobnicate'], {}, 2, /unknown command/],
    ['an unknown option', ['status', '--loud'], {}, 2, /unknown option/],
    ['a missing option', ['send'], {}, 2, /required option '--account <id or e-mail>'/],
    ['nothing pasted', ['classify'], {}, 2, /standard input: is empty; paste the reply of the server into it/],
    ['an unknown choice', ['classify', '--provider', 'yahoo', '--stage', 'smtp'], {}, 2, /--provider/],
  ])('%s: one clear sentence and the right exit code', async (_, args, over, code, sentence) => {
    const result = await run(args, { env: over })
    expect(result.err).toMatch(sentence)
    expect(result.code).toBe(code)
    expect(result.out).toBe('')
    expect(result.err).not.toMatch(/ {4}at |canary/)
  })

  test.each([
    ['malformed JSON', '{"email": "a@example.test", "auth": {"password": "canary"', /is not valid JSON/],
    [
      'an unknown field',
      passwordAccount('x@example.test', { colour: 'red' }),
      /account 1 \(x@example.test\): colour: is not a field/,
    ],
    [
      'a bad port',
      passwordAccount('x@example.test', { pop3: { host: 'h.example', port: 99999, security: 'tls' } }),
      /account 1 \(x@example.test\): pop3.port: is not a port/,
    ],
    [
      'an e-mail address twice',
      [passwordAccount('x@example.test'), passwordAccount('X@example.test')],
      /account 2 \(X@example.test\): email: stands there twice/,
    ],
    [
      'a private host that is not allowed',
      passwordAccount('x@example.test', { pop3: { host: '10.0.0.5', port: 995, security: 'tls' } }),
      /pop3.host: 10.0.0.5 is in a private network/,
    ],
    [
      'a token endpoint without https',
      passwordAccount('x@example.test', {
        auth: {
          type: 'oauth2',
          flow: 'password',
          token_endpoint: 'http://login.example/x',
          client_id: 'c',
          scope: 's',
          password: 'canary',
        },
      }),
      /account 1 \(x@example.test\): auth.token_endpoint: does not begin with https/,
    ],
  ])('importing %s: names file, account and field, and leaves nothing half-done', async (_, content, sentence) => {
    const before = await sql<{ n: number }>`select count(*) as n from poststelle.accounts`.execute(database.db)
    const path = file('bad.json', content)
    const result = await run(['account', 'import', path])
    expect(result.code).toBe(2)
    expect(result.err).toMatch(sentence)
    expect(result.err).toContain(path)
    expect(result.err).not.toContain('canary')
    const after = await sql<{ n: number }>`select count(*) as n from poststelle.accounts`.execute(database.db)
    expect(after.rows).toEqual(before.rows)
  })

  test('a file in another encoding is refused before a password is stored as another one', async () => {
    const path = join(folder, 'latin1.json')
    writeFileSync(path, Buffer.from(JSON.stringify(passwordAccount('x@example.test', { label: 'Büro' })), 'latin1'))
    const { code, err } = await run(['account', 'import', path])
    expect(code).toBe(2)
    expect(err).toContain('is not UTF-8 text')
  })

  test('a command that only looks does not make an installation', async () => {
    const data = join(folder, 'nowhere')
    const { code, err } = await runCommand(['status'], { env: { POSTSTELLE_DATA: data } })
    expect(code).toBe(1)
    expect(err).toContain(`there is no installation in ${data} yet`)
    expect(existsSync(data)).toBe(false)
  })

  test.each(['abc', '-1', '0', '3000000'])('demo --seconds %s is asked for wrongly', async (seconds) => {
    expect(await run(['demo', '--seconds', seconds])).toMatchObject({ code: 2, out: '' })
  })

  test('every command explains itself', async () => {
    for (const args of [
      [],
      ['start'],
      ['migrate'],
      ['migrate', 'up'],
      ['demo'],
      ['account'],
      ['account', 'import'],
      ['account', 'list'],
      ['account', 'poll'],
      ['account', 'adopt-seen'],
      ['inbox'],
      ['inbox', 'list'],
      ['inbox', 'show'],
      ['inbox', 'export'],
      ['inbox', 'ack'],
      ['inbox', 'reparse'],
      ['send'],
      ['status'],
      ['classify'],
      ['key', 'generate'],
    ]) {
      const { code, out } = await run([...args, '--help'])
      expect(code, args.join(' ')).toBe(0)
      expect(out).toContain('Usage: poststelle')
    }
  })

  test('a database newer than the code is refused', async () => {
    await sql`insert into poststelle.kysely_migration (name, timestamp) values ('9999_future', '2030-01-01T00:00:00Z')`.execute(
      database.db,
    )
    const { code, err } = await run(['start'])
    expect(code).toBe(1)
    expect(err).toMatch(/newer than this version of Poststelle/)
  })
})
