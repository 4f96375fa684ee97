import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { refreshUnderLease } from '../../src/credentials/refresh.ts'
import { resolveLogin } from '../../src/credentials/resolve.ts'
import { findAccount } from '../../src/db/accounts.ts'
import { wakeNow } from '../../src/db/lanes.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import { drainLane } from '../../src/delivery/drain-lane.ts'
import { pollMaildrop } from '../../src/retrieval/poll-maildrop.ts'
import { startSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts'
import { openHouse, type TestHouse } from '../support/house.ts'

/** What each account of the simulator must show: the flag of its receiving and of its sending half; null: all is well. */
const EXPECTED: readonly (readonly [name: string, receive: string | null, send: string | null])[] = [
  ['info', null, null],
  ['buchhaltung', null, null],
  ['verkauf', null, null],
  ['service', null, null],
  ['lager', null, null],
  ['versand', null, 'smtp_auth_disabled_tenant'],
  ['einkauf', null, 'smtp_auth_disabled_mailbox'],
  ['personal', 'client_secret_expired', 'client_secret_expired'],
  ['chef', 'security_defaults_block', 'security_defaults_block'],
  ['archiv', 'admin_consent_missing', 'admin_consent_missing'],
  ['privat', 'pop3_disabled_mailbox', null],
  ['alt', 'invalid_credentials', 'invalid_credentials'],
  ['werkstatt', 'server_speaks_garbage', 'server_speaks_garbage'],
]

describe('what only Microsoft and Google do', () => {
  let sandbox: Sandbox
  let house: TestHouse
  const ids = new Map<string, number>()
  beforeAll(async () => {
    sandbox = await startSandbox({ accessTokenSeconds: 600 })
    house = await openHouse({ caPem: sandbox.caPem })
    for (const { email, id } of await house.importAccounts([...sandbox.accounts]))
      ids.set(email.split('@')[0] ?? '', id)
  })
  afterAll(async () => {
    await house.close()
    await sandbox.close()
  })

  const idOf = (name: string): number => ids.get(name) ?? 0
  const signal = new AbortController().signal
  const poll = async (name: string) => await pollMaildrop(house, await house.lease(idOf(name), 'receive'), signal)
  const drain = async (name: string) => await drainLane(house, await house.lease(idOf(name), 'send'), signal)
  const submit = (name: string) =>
    submitMessage(house.db, {
      account: String(idOf(name)),
      envelopeFrom: `${name}@muster.example`,
      recipients: ['kundschaft@muster.example'],
      raw: Buffer.from(`Subject: Von ${name}\r\n\r\nText\r\n`),
      idempotencyKey: null,
    })
  const status = async (name: string) =>
    (
      await sql<{ receive: string; send: string; flags: { direction: string; flag: string }[]; waiting: number }>`
      select receive_state as receive, send_state as send, flags, waiting_count as waiting from poststelle.account_status where id = ${idOf(name)}`.execute(
        house.db,
      )
    ).rows[0]
  const flagOf = async (name: string, direction: string) =>
    (await status(name))?.flags.find((one) => one.direction === direction)?.flag ?? null

  test.each(EXPECTED)('%s@: receive %s, send %s', async (name, receive, send) => {
    const message = await submit(name)
    const polled = await poll(name)
    const drained = await drain(name)
    expect([await flagOf(name, 'receive'), await flagOf(name, 'send')]).toEqual([receive, send])
    expect([polled.failure?.flag ?? null, drained.failure?.flag ?? null]).toEqual([receive, send])
    expect(polled.stored).toBe(receive === null ? 3 : 0)
    const { rows } = await sql`select state, attempts from poststelle.outbox where id = ${message}`.execute(house.db)
    expect(rows[0]).toEqual(send === null ? { state: 'sent', attempts: 1 } : { state: 'held', attempts: 0 })
  })

  test('a cause that needs a human blocks at once; one that may pass does not', async () => {
    expect(await status('personal')).toMatchObject({ receive: 'blocked', send: 'blocked', waiting: 1 })
    expect(await status('versand')).toMatchObject({ receive: 'ok', send: 'blocked', waiting: 1 })
    expect(await status('werkstatt')).toMatchObject({ receive: 'new', send: 'new', waiting: 1 })
  })

  test('a refused grant is not asked for again until its probe is due', async () => {
    const before = sandbox.tokens.requests.length
    for (const name of ['personal', 'chef', 'archiv', 'alt']) {
      expect((await poll(name)).failure?.flag).toBe(EXPECTED.find(([known]) => known === name)?.[1])
      await drain(name)
    }
    expect(sandbox.tokens.requests.length).toBe(before)
  })

  test('an SMTP AUTH that is switched off costs one login per try and no token', async () => {
    const logins: string[] = []
    const stop = sandbox.on('login', (event) => logins.push(`${event.protocol} ${event.email}`))
    const before = sandbox.tokens.requests.length
    await drain('einkauf')
    expect(logins).toEqual(['smtp einkauf@muster.example'])
    expect(sandbox.tokens.requests.length).toBe(before)
    stop()
  })

  test('once the cause is gone, the next probe clears the flags and the waiting mail goes out', async () => {
    for (const [name, receive, send] of EXPECTED) {
      if (receive === null && send === null) continue
      sandbox.heal(`${name}@muster.example`)
      await wakeNow(house.db, idOf(name), ['receive', 'send', 'token'])
      // the time for the next probe of its app registration has come
      await sql`update poststelle.client_breakers set open_until = now() where open_until is not null`.execute(house.db)
      await poll(name)
      await drain(name)
      expect(await status(name), name).toMatchObject({ receive: 'ok', send: 'ok', flags: [], waiting: 0 })
    }
  })

  test('a token is refreshed on purpose, and the rotated refresh token is used from then on', async () => {
    for (const name of ['buchhaltung', 'verkauf']) {
      for (let round = 1; round <= 3; round++) await refreshUnderLease(house, await house.lease(idOf(name), 'token'))
      expect(await status(name)).toMatchObject({ receive: 'ok', flags: [] })
      const lane = await house.db
        .selectFrom('lanes')
        .selectAll()
        .where('account_id', '=', idOf(name))
        .where('lane', '=', 'token')
        .executeTakeFirstOrThrow()
      const seconds = ((lane.due_at?.getTime() ?? 0) - Date.now()) / 1000
      expect(seconds).toBeGreaterThan(0.45 * 600)
      expect(seconds).toBeLessThan(0.85 * 600)
    }
  })

  test('many sessions that meet one expired token make one request', async () => {
    await sql`update poststelle.grants set access_expires_at = now() where account_id = ${idOf('info')}`.execute(
      house.db,
    )
    const before = sandbox.tokens.requests.length
    const account = await findAccount(house.db, String(idOf('info')))
    if (!account.pop3) throw new Error('no POP3 server')
    const host = account.pop3
    const logins = await Promise.all(Array.from({ length: 50 }, () => resolveLogin(house, account, host)))
    expect(new Set(logins.map(({ login }) => JSON.stringify(login))).size).toBe(1)
    expect(sandbox.tokens.requests.length - before).toBe(1)
  })
})
