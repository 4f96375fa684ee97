// `poststelle outbox` as a user runs it: the real command, its exit codes, a real Ctrl-C and a real terminal.

import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { removeFolder, tempFolder } from '../support/child.ts'
import { runCommand, startCommand, type CommandResult } from '../support/command.ts'
import { freshDatabase, type TestDatabase } from '../support/database.ts'
import { passwordAccount } from '../support/house.ts'
import { waitingMail } from '../support/outbox-rows.ts'

const BIN = resolve(import.meta.dirname, '../../bin/poststelle')
const MANY = 20_000
/** Runs a command on a terminal of its own and types a line when it is asked. */
const ON_A_TERMINAL = `
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[2], sys.argv[2:])
seen = b''
answered = False
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if not answered and b'eingeben: ' in seen:
        answered = True
        os.write(fd, sys.argv[1].encode() + b'\\r')
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`

describe('poststelle outbox', () => {
  let database: TestDatabase
  let env: Record<string, string>
  const folder = tempFolder('outbox')
  beforeAll(async () => {
    database = await freshDatabase()
    env = {
      DATABASE_URL: database.url,
      POSTSTELLE_KEYS: `k1:${randomBytes(32).toString('base64')}`,
      POSTSTELLE_DATA: folder,
      POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8',
    }
    const imported = await run(['account', 'import', '-'], JSON.stringify([passwordAccount('info@example.test')]))
    if (imported.code !== 0) throw new Error(imported.err)
  })
  afterAll(async () => {
    await database.drop()
    removeFolder(folder)
  })

  const run = (args: string[], input = ''): Promise<CommandResult> => runCommand(args, { env, input })
  const outbox = (args: string): Promise<CommandResult> => run(['outbox', ...args.split(' ')])
  const inState = async (state: string) =>
    (
      await sql<{
        n: number
      }>`select count(*)::int as n from poststelle.outbound_messages where state = ${state}`.execute(database.db)
    ).rows[0]?.n

  test('a message is found, held, released and cancelled, and every step has its exit code', async () => {
    const to = ['--to', 'kunde@example.org']
    const sent = await run(
      ['send', '--account', 'info@example.test', ...to, '--file', '-', '--json'],
      'Subject: Rechnung 1187\n\nText\n',
    )
    const { id } = JSON.parse(sent.out) as { id: number }
    const list = await outbox('list --lang de --to example.org')
    expect(list).toMatchObject({ code: 0, err: '' })
    expect(list.out).toMatch(/^Wartet 1\n\nNR\. .*\n\d+ .* kunde@example\.org +Wartet +geht gleich +Rechnung 1187\n$/)
    expect(await outbox(`hold ${id} --lang de`)).toEqual({ code: 0, out: '1 Nachricht angehalten\n', err: '' })
    expect((await outbox(`show ${id} --lang en`)).out).toMatch(/^state +Held \(by hand\)$/m)
    expect(await outbox(`release ${id} --lang en`)).toEqual({ code: 0, out: '1 message released\n', err: '' })
    expect(await outbox('cancel --subject Rechnung')).toMatchObject({ code: 2, out: '' })
    expect(await outbox('cancel --subject Rechnung --yes --lang en')).toMatchObject({
      code: 0,
      out: '1 message cancelled\n',
    })
    expect(await outbox(`retry ${id} --lang en`)).toEqual({
      code: 3,
      out: `0 messages due now\n1 refused: is finished (${id})\n`,
      err: 'poststelle: 1 of 1 message refused\n',
    })
    expect(await outbox('hold')).toMatchObject({ code: 2 })
  })

  test('Ctrl-C ends a long run behind a batch, and what it says is what the table has', async () => {
    const { id } = await database.db.selectFrom('accounts').select('id').executeTakeFirstOrThrow()
    await waitingMail(database.db, id, MANY)
    const command = startCommand(['outbox', 'hold', '--all', '--yes', '--json'], { env })
    await expect.poll(() => command.err(), { timeout: 60_000, interval: 5 }).toMatch(/^\d+\/20000$/m)
    command.child.kill('SIGINT')
    const { code, out, err } = await command.ended()
    const answer = JSON.parse(out) as { changed: number; left: number; refused: unknown[] }
    expect(code).toBe(1)
    expect(answer.left).toBeGreaterThan(0)
    expect(answer.changed % 500).toBe(0)
    expect(answer.changed + answer.left).toBe(MANY)
    expect(await inState('held')).toBe(answer.changed)
    expect(err).toMatch(
      new RegExp(`stopped: of ${MANY} messages ${answer.changed} changed, 0 refused, ${answer.left} left\n$`),
    )
  })

  test('on a terminal the number is asked for, and only that number is an answer', async () => {
    const held = (await inState('held')) ?? 0
    const onTerminal = async (typed: string) =>
      await promisify(execFile)(
        'python3',
        ['-c', ON_A_TERMINAL, typed, BIN, 'outbox', 'release', '--all', '--lang', 'de'],
        {
          env: { PATH: process.env['PATH'] ?? '', HOME: folder, LANG: 'C.UTF-8', ...env },
        },
      ).then(
        ({ stdout }) => ({ code: 0, stdout }),
        ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
      )
    const refused = await onTerminal('ja')
    expect(refused.code).toBe(1)
    expect(refused.stdout).toContain(`Freigeben: ${held} Nachrichten (1 Konto`)
    expect(refused.stdout).toContain('nothing was changed')
    expect(await inState('held')).toBe(held)
    const done = await onTerminal(String(held))
    expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining(`${held} Nachrichten freigegeben`) })
    expect(await inState('held')).toBe(0)
  })
})
