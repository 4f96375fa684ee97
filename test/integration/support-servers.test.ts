// The private servers of the tests: each one starts, speaks its protocol, and leaves nothing behind.

import { createHash } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { Redis } from 'ioredis'
import { createTransport } from 'nodemailer'
import { Client } from 'pg'
import { afterEach, expect, inject, test, vi } from 'vitest'
import { aliveInSession, isAlive, sessionOf } from '../support/child.ts'
import { startDovecot } from '../support/dovecot.ts'
import { startIntrospection } from '../support/introspection.ts'
import { makePki, type Pki } from '../support/pki.ts'
import { answers } from '../support/ports.ts'
import { startPostfix } from '../support/postfix.ts'
import { createDatabase, dropDatabase, startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'

const running: { stop(): Promise<void> }[] = []

const until = <T extends { stop(): Promise<void> }>(server: T): T => {
  running.unshift(server)
  return server
}

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

/** Sends the lines one after another, each after a reply, and returns the replies' first lines. */
async function talk(socket: TLSSocket, lines: readonly string[]): Promise<string[]> {
  const replies: string[] = []
  const rest = [...lines]
  let received = ''
  for await (const chunk of socket.setEncoding('latin1')) {
    received += String(chunk)
    if (!received.endsWith('\r\n')) continue
    replies.push(received.split('\r\n')[0] ?? '')
    received = ''
    const next = rest.shift()
    if (next === undefined) break
    socket.write(`${next}\r\n`)
  }
  socket.destroy()
  return replies
}

const pops = (port: number, pki: Pki): TLSSocket =>
  connectTls({ host: '127.0.0.1', port, ca: pki.ca, servername: 'localhost' })

const xoauth2 = (user: string, token: string): string =>
  Buffer.from(`user=${user}\x01auth=Bearer ${token}\x01\x01`).toString('base64')

test('Postgres clones a database from a template and is gone after stop', async () => {
  const server = until(await startPostgres({ fsync: true }))
  const template = await server.createDatabase('template_one')
  const first = new Client({ connectionString: template })
  await first.connect()
  await first.query('CREATE TABLE letter (id int)')
  await first.end()
  const copy = new Client({ connectionString: await server.createDatabase('copy', 'template_one') })
  await copy.connect()
  const { rows } = await copy.query("SELECT to_regclass('letter')::text AS found, current_setting('fsync') AS fsync")
  await copy.end()
  expect(rows).toEqual([{ found: 'letter', fsync: 'on' }])
  await server.stop()
  expect([isAlive(server.pid), await answers(server.port)]).toEqual([false, false])
})

test('the Postgres that all test files share takes a database of their own', async () => {
  const url = await createDatabase(inject('postgresUrl'), 'support_servers')
  const client = new Client({ connectionString: url })
  await client.connect()
  const { rows } = await client.query('SELECT current_database() AS name')
  await client.end()
  await dropDatabase(inject('postgresUrl'), 'support_servers')
  expect(rows).toEqual([{ name: 'support_servers' }])
})

test.each([
  { evicting: false, policy: 'noeviction' },
  { evicting: true, policy: 'allkeys-lru' },
])('Redis runs with the policy $policy and is gone after stop', async ({ evicting, policy }) => {
  const server = until(await startRedis({ evicting }))
  const redis = new Redis(server.url)
  expect(await redis.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', policy])
  await redis.quit()
  await server.stop()
  expect([isAlive(server.pid), await answers(server.port)]).toEqual([false, false])
})

test('Dovecot opens a maildrop by token or password, refuses a revoked token at once, and offers pipelining', async () => {
  const pki = until(await makePki())
  const tokens = until(await startIntrospection())
  const server = until(await startDovecot({ pki, introspectionUrl: tokens.url }))
  const raw = Buffer.from('Subject: one\r\n\r\n.hidden dot\r\n\xff\r\n', 'latin1')
  server.deliver('anna@example.test', raw)
  tokens.allow('good', 'anna@example.test')

  const byToken = await talk(pops(server.popsPort, pki), [
    'AUTH XOAUTH2',
    xoauth2('anna@example.test', 'good'),
    'STAT',
    'QUIT',
  ])
  expect(byToken[2]).toMatch(/^\+OK Logged in/)
  expect(byToken[3]).toBe(`+OK 1 ${raw.length}`)
  const byPassword = await talk(pops(server.popsPort, pki), [
    'USER anna@example.test',
    `PASS ${server.password}`,
    'QUIT',
  ])
  expect(byPassword[2]).toMatch(/^\+OK Logged in/)

  tokens.revoke('good')
  const startedAt = performance.now()
  const refused = await talk(pops(server.popsPort, pki), [
    'AUTH XOAUTH2',
    xoauth2('anna@example.test', 'good'),
    '',
    'CAPA',
  ])
  expect(refused[2]).toMatch(/^\+ ey/)
  expect(refused[3]).toMatch(/^-ERR/)
  expect(performance.now() - startedAt).toBeLessThan(2_000)

  const plain = connectTcp(server.popPort, '127.0.0.1')
  let capabilities = ''
  plain.once('data', () => plain.write('CAPA\r\n'))
  plain.on('data', (chunk: Buffer) => (capabilities += chunk.toString()))
  await vi.waitFor(() => expect(capabilities).toContain('\r\n.\r\n'))
  plain.destroy()
  expect(capabilities).toMatch(/^STLS/m)
  expect(capabilities).toMatch(/^PIPELINING/m)
  expect(capabilities).toMatch(/^SASL .*XOAUTH2/m)

  const session = sessionOf(server.pid)
  await server.stop()
  expect([aliveInSession(session), await answers(server.popPort)]).toEqual([[], false])
})

test('Dovecot serves fifty maildrops at once, in the order of delivery', async () => {
  const pki = until(await makePki())
  const server = until(await startDovecot({ pki }))
  const users = Array.from({ length: 50 }, (_, n) => `user${n}@example.test`)
  for (const user of users)
    for (let n = 0; n < 40; n++) server.deliver(user, Buffer.from(`Subject: ${n}\r\n\r\n${'x'.repeat(n)}\r\n`))
  const login = (user: string): string[] => [`USER ${user}`, `PASS ${server.password}`, 'STAT', 'LIST 40', 'QUIT']
  const dialogues = await Promise.all(users.map((user) => talk(pops(server.popsPort, pki), login(user))))
  expect(new Set(dialogues.map((replies) => replies[4]))).toEqual(new Set([`+OK 40 ${15 + 39 + 2}`]))
  const stored = server.stored('user7@example.test')
  expect(stored).toHaveLength(40)
  expect(stored[3]?.sha256).toBe(createHash('sha256').update('Subject: 3\r\n\r\nxxx\r\n').digest('hex'))
})

test('Postfix takes a message by token and by password, refuses a recipient, and delivers once', async () => {
  const pki = until(await makePki())
  const tokens = until(await startIntrospection())
  const dovecot = until(await startDovecot({ pki, introspectionUrl: tokens.url }))
  const server = until(
    await startPostfix({
      pki,
      saslPort: dovecot.saslPort,
      recipientReplies: { 'gone@elsewhere.test': '550 5.1.1 No such user' },
    }),
  )
  tokens.allow('good', 'anna@example.test')
  const user = 'anna@example.test'
  const common = { host: '127.0.0.1', tls: { ca: pki.ca, servername: 'localhost' } }
  const byToken = createTransport({
    ...common,
    port: server.submissionPort,
    requireTLS: true,
    auth: { type: 'OAuth2', user, accessToken: 'good' },
  })
  const byPassword = createTransport({
    ...common,
    port: server.submissionsPort,
    secure: true,
    auth: { user, pass: dovecot.password },
  })
  const to = ['ben@elsewhere.test', 'gone@elsewhere.test', 'cara@elsewhere.test']
  const info = await byToken.sendMail({ from: user, to, messageId: '<one@example.test>', text: 'Hello\n.dot\n' })
  await byPassword.sendMail({ from: user, to: 'ben@elsewhere.test', messageId: '<two@example.test>', text: 'Again' })
  expect(info.rejected).toEqual(['gone@elsewhere.test'])
  await vi.waitFor(() => expect(server.delivered()).toHaveLength(2), { timeout: 10_000 })
  const one = server.delivered().find((message) => message.messageId === '<one@example.test>')
  expect(one).toMatchObject({ from: user, recipients: ['ben@elsewhere.test', 'cara@elsewhere.test'] })
  expect(one?.raw.toString()).toMatch(/\r\n\r\nHello\r\n\.dot\r\n$/)

  const session = sessionOf(server.pid)
  await server.stop()
  expect([aliveInSession(session), await answers(server.submissionPort)]).toEqual([[], false])
})
