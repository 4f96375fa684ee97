// Moving in from getmail, fetchmail and mpop: the real tools retrieve from a real Dovecot, and what they remember is adopted.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeFolder, tempFolder } from '../support/child.ts'
import { startDovecot, type TestDovecot } from '../support/dovecot.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { sampleMessage } from '../support/mail-world.ts'
import { runFetchmail, runGetmail, runMpop, type OtherMaildrop } from '../support/other-pop3-tools.ts'
import { makePki, type Pki } from '../support/pki.ts'
import { programOn, type RunProgram } from '../support/program.ts'

const TOOLS = { getmail: runGetmail, fetchmail: runFetchmail, mpop: runMpop }

describe('poststelle account adopt-seen', () => {
  let pki: Pki
  let dovecot: TestDovecot
  let house: TestHouse
  let run: RunProgram
  const folder = tempFolder('adopt')

  beforeAll(async () => {
    pki = await makePki()
    dovecot = await startDovecot({ pki })
    house = await openHouse({ caPem: pki.ca })
    run = programOn(house, { POSTSTELLE_CA_FILE: pki.caFile, POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8' })
  })
  afterAll(async () => {
    await house.close()
    await dovecot.stop()
    await pki.stop()
    removeFolder(folder)
  })

  const account = async (email: string): Promise<number> => {
    const pop3 = { host: 'localhost', port: dovecot.popPort, security: 'starttls' }
    const [imported] = await house.importAccounts([passwordAccount(email, { pop3, smtp: null })])
    return imported?.id ?? 0
  }
  const dropOf = (user: string): OtherMaildrop => ({
    host: 'localhost',
    port: dovecot.popPort,
    user,
    password: dovecot.password,
  })
  const deliver = (user: string, count: number): void => {
    for (let i = 1; i <= count; i++) dovecot.deliver(user, sampleMessage(user, i, 300))
  }
  const adopt = (email: string, file: string, tool: string, ...more: string[]) =>
    run(['account', 'adopt-seen', email, file, '--from', tool, ...more])
  const poll = async (email: string): Promise<unknown> =>
    JSON.parse((await run(['account', 'poll', email, '--json'])).out) as unknown
  const ledger = (accountId: number) =>
    house.db
      .selectFrom('maildrop_uidls')
      .select(['uidl', 'ordinal', 'state', 'reason', 'retry_at', 'size_bytes', 'message_id'])
      .where('account_id', '=', accountId)
      .orderBy('uidl')
      .orderBy('ordinal')
      .execute()
  const write = (name: string, content: string): string => {
    const path = join(folder, name)
    writeFileSync(path, content, 'latin1')
    return path
  }

  test.each(Object.entries(TOOLS))(
    'what %s retrieved is not retrieved again, and new mail is',
    async (tool, runTool) => {
      const email = `${tool}@example.test`
      const other = `${tool}-other@example.test`
      const id = await account(email)
      deliver(email, 3)
      deliver(other, 2)
      const home = tempFolder('tool')
      await runTool(home, dropOf(other))
      const file = await runTool(home, dropOf(email))
      const dry = await adopt(email, file, tool, '--dry-run', '--json')
      expect(JSON.parse(dry.out)).toMatchObject({
        account: email,
        dry_run: true,
        read: 3,
        new: 3,
        known: 0,
        unreadable: 0,
      })
      expect(await ledger(id)).toEqual([])

      const adopted = await adopt(email, file, tool)
      expect(adopted).toMatchObject({ code: 0, err: '' })
      expect(adopted.out).toContain(`${email}: 3 UIDLs read, 3 adopted, 0 known before\n`)
      expect(adopted.out.includes('2 lines are of other maildrops')).toBe(tool !== 'getmail')
      expect(await ledger(id)).toMatchObject(
        Array.from({ length: 3 }, () => ({
          ordinal: 1,
          state: 'skipped',
          reason: `retrieved earlier by ${tool} (adopt-seen)`,
          retry_at: null,
          size_bytes: 0,
        })),
      )
      expect((await adopt(email, file, tool)).out).toContain('3 UIDLs read, 0 adopted, 3 known before')

      expect(await poll(email)).toMatchObject({ stored: 0, skipped: 0 })
      deliver(email, 1)
      expect(await poll(email)).toMatchObject({ stored: 1, skipped: 0 })
      expect(dovecot.stored(email)).toHaveLength(4)
      const gaps = await house.database.pool.query('select from poststelle.ledger_gaps where account_id = $1', [id])
      expect(gaps.rowCount).toBe(0)
      removeFolder(home)
    },
  )

  test('what is stored stays stored, what was only listed is adopted, and equal UIDLs are counted', async () => {
    const id = await account('rows@example.test')
    await house.db
      .insertInto('maildrop_uidls')
      .values([
        {
          account_id: id,
          uidl: 'kept',
          state: 'stored',
          size_bytes: 9,
          sha256: Buffer.alloc(32),
          message_id: 5,
          stored_at: new Date(),
        },
        { account_id: id, uidl: 'seen', state: 'listed', size_bytes: 7, sha256: null, message_id: null },
      ])
      .execute()
    const line = (uidl: string): string => `rows@example.test@localhost ${uidl}\n`
    const file = write('rows', line('kept') + line('twice') + line('seen') + line('twice'))
    expect(JSON.parse((await adopt('rows@example.test', file, 'fetchmail', '--json')).out)).toMatchObject({
      read: 4,
      new: 3,
      known: 1,
    })
    expect(await ledger(id)).toMatchObject([
      { uidl: 'kept', state: 'stored', message_id: 5, size_bytes: 9 },
      { uidl: 'seen', state: 'skipped', retry_at: null },
      { uidl: 'twice', ordinal: 1, state: 'skipped' },
      { uidl: 'twice', ordinal: 2, state: 'skipped' },
    ])
  })

  test('a file with unreadable lines changes nothing and names them; they may be left out', async () => {
    const id = await account('bad@example.test')
    const file = write('bad', `good\x001795646406\nno time\nalso-good\x001795646406\n\x07\x001795646406\n`)
    const refused = await adopt('bad@example.test', file, 'getmail')
    expect(refused).toMatchObject({ code: 1, out: '' })
    expect(refused.err).toBe(
      `poststelle: ${file}: line 2 is not a UIDL, a NUL and a time, and 1 more cannot be read; nothing was adopted; check that it is the right file, or add --skip-bad\n`,
    )
    expect(await ledger(id)).toEqual([])
    const { out, code } = await adopt('bad@example.test', file, 'getmail', '--skip-bad')
    expect(code).toBe(0)
    expect(out).toBe(
      'bad@example.test: 2 UIDLs read, 2 adopted, 0 known before\n' +
        '  left out: line 2 is not a UIDL, a NUL and a time\n' +
        '  left out: line 4 has control characters in its UIDL\n',
    )
    const again = await adopt('bad@example.test', file, 'getmail', '--skip-bad', '--json')
    expect(JSON.parse(again.out)).toMatchObject({
      unreadable: 2,
      unreadable_lines: [{ line: 2 }, { line: 4, reason: 'has control characters in its UIDL' }],
    })
  })

  test('a file of another maildrop is refused, and may be named as the other tool does', async () => {
    await account('mine@example.test')
    const file = write('ids', 'Me@Old.example.test abc\n')
    const refused = await adopt('mine@example.test', file, 'fetchmail')
    expect(refused).toMatchObject({ code: 1 })
    expect(refused.err).toMatch(
      /has no line of mine@example\.test@localhost, but of Me@Old\.example\.test; --user and --host say which/,
    )
    const named = await adopt('mine@example.test', file, 'fetchmail', '--user', 'me', '--host', 'old.example.test')
    expect(named.out).toContain('1 adopted')
    const oldmail = write('oldmail-pop.example.test-995-someone', 'abc\x001795646406\n')
    expect(await adopt('mine@example.test', oldmail, 'getmail')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/is by its name not of mine@example\.test at localhost/),
    })
    const options = ['--user', 'someone', '--host', 'pop.example.test']
    expect(await adopt('mine@example.test', oldmail, 'getmail', ...options)).toMatchObject({ code: 0 })
  })

  test('a maildrop that is being polled is left alone, and its schedule stays', async () => {
    const id = await account('busy@example.test')
    const file = write('busy', 'abc\x001795646406\n')
    const lane = () =>
      house.db
        .selectFrom('lanes')
        .select(['due_at', 'lease_token', 'parked_until'])
        .where('account_id', '=', id)
        .where('lane', '=', 'receive')
        .executeTakeFirstOrThrow()
    const before = await lane()
    expect(await adopt('busy@example.test', file, 'getmail')).toMatchObject({ code: 0 })
    expect(await lane()).toEqual(before)
    await house.lease(id, 'receive')
    const refused = await adopt('busy@example.test', file, 'getmail')
    expect(refused).toMatchObject({
      code: 1,
      err: 'poststelle: the maildrop of busy@example.test is being polled right now; try again when that is done\n',
    })
    expect((await adopt('busy@example.test', file, 'getmail', '--dry-run')).code).toBe(0)
  })

  test('a hundred thousand lines are one import', async () => {
    const id = await account('many@example.test')
    const count = 100_000
    const lines = Array.from({ length: count }, (_, i) => `uidl-${i}-${'x'.repeat(20)}\n`)
    const file = write('many', `# comment\n ${count} localhost many@example.test\n${lines.join('')}`)
    expect(readFileSync(file).length).toBeGreaterThan(3_000_000)
    expect((await adopt('many@example.test', file, 'mpop')).out).toContain(`${count} adopted`)
    const { rows } = await house.database.pool.query<{ n: number }>(
      'select count(*) as n from poststelle.maildrop_uidls where account_id = $1',
      [id],
    )
    expect(rows[0]?.n).toBe(count)
  })

  test.each([
    ['an unknown account', ['nobody@example.test', 'x', '--from', 'mpop'], 1, /there is no account/],
    ['an unknown tool', ['busy@example.test', 'x', '--from', 'mutt'], 2, /--from/],
    ['no tool', ['busy@example.test', 'x'], 2, /--from/],
  ])('%s: one clear sentence and the right exit code', async (_, args, code, sentence) => {
    const result = await run(['account', 'adopt-seen', ...args])
    expect(result.err).toMatch(sentence)
    expect(result).toMatchObject({ code, out: '' })
  })

  test('a file that is not there is named', async () => {
    await account('file@example.test')
    expect(await adopt('file@example.test', '/no/such/file', 'mpop')).toMatchObject({
      code: 2,
      err: 'poststelle: /no/such/file: cannot be read (ENOENT)\n',
    })
  })
})
