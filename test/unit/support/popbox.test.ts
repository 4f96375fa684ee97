import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { createNet } from '../../../src/net/dial.ts'
import type { Login } from '../../../src/net/net.ts'
import { PopSession } from '../../../src/pop3/session.ts'
import { makePki } from '../../support/pki.ts'
import { startPopbox, type BoxOptions, type Popbox } from '../../support/popbox.ts'

const USER = 'a@example.test'
const PASSWORD: Login = { mechanism: 'password', username: USER, password: 'correct-horse' }

async function open(box: Popbox, o: { ca?: string; options?: BoxOptions } = {}): Promise<PopSession> {
  const net = createNet({ allowPrivate: ['127.0.0.0/8', '::1'], ...(o.ca !== undefined && { extraCaPem: o.ca }) })
  const target = {
    host: 'localhost',
    port: box.port,
    security: o.options?.security ?? 'none',
    provider: o.options?.provider ?? 'generic',
  } as const
  const session = await PopSession.open(net, target, { signal: AbortSignal.timeout(20_000) })
  onTestFinished(() => session.close())
  return session
}

async function enter(box: Popbox): Promise<PopSession> {
  const session = await open(box)
  await session.login(PASSWORD)
  return session
}

async function serve(options: BoxOptions = {}): Promise<Popbox> {
  const box = await startPopbox(options)
  box.maildrop(USER)
  onTestFinished(() => box.stop())
  return box
}

async function read(session: PopSession, numbers: readonly number[]): Promise<string[]> {
  const sums: string[] = []
  for (const number of numbers) {
    const [, body] = await session.command('RETR', number)
    const hash = createHash('sha256')
    for await (const piece of body) hash.update(piece as Buffer)
    sums.push(hash.digest('hex'))
  }
  return sums
}

async function lines(session: PopSession, command: string): Promise<string[]> {
  const [, body] = await session.command(command)
  return (await text(body)).split('\r\n').slice(0, -1)
}

describe('the popbox', () => {
  test.each(['none', 'tls', 'starttls'] as const)('serves what was put in, over %s', async (security) => {
    const pki = await makePki()
    const box = await serve({ security, tls: pki })
    const drop = box.maildrop(USER)
    drop.add(Buffer.from('Subject: 1\r\n\r\n.\r\n..\r\nohne Ende'))
    drop.addGenerated({ sizeBytes: 3_000_000 })
    drop.addGenerated({ sizeBytes: 500_000, oneLine: true })
    const session = await open(box, { ca: pki.ca, options: { security } })
    await session.login(PASSWORD)
    expect(await read(session, [1, 2, 3])).toEqual(drop.messages.map((message) => message.sha256))
    expect(await lines(session, 'LIST')).toEqual(drop.messages.map(({ sizeBytes }, i) => `${i + 1} ${sizeBytes}`))
    expect(await lines(session, 'UIDL')).toEqual(drop.messages.map(({ uidl }, i) => `${i + 1} ${uidl}`))
    expect(await lines(session, 'TOP 1 0')).toEqual(['Subject: 1', ''])
  })

  test('deletes at QUIT and not before, and has one session per maildrop', async () => {
    const box = await serve()
    const drop = box.maildrop(USER)
    for (let n = 0; n < 3; n++) drop.add(Buffer.from(`Subject: ${n}\r\n\r\n`))
    const first = await enter(box)
    await first.dele([1, 3])
    await expect(enter(box)).rejects.toThrow('IN-USE')
    first.close()
    await box.waitFor(() => drop.holder === undefined)
    expect(drop.messages).toHaveLength(3)
    const second = await enter(box)
    await second.dele([2])
    expect(await second.quit()).toBe(true)
    expect(drop.messages).toHaveLength(2)
    expect(drop.deleted.map(({ head }) => head.toString())).toEqual(['Subject: 1\r\n\r\n'])
    expect(box.seen.logins.map(({ accepted }) => accepted)).toEqual([true, false, true])
  })

  test('shows a slice, and not again what was retrieved, where that is its habit', async () => {
    const box = await serve({ habits: { listed: 2, showsOnce: true } })
    for (let n = 0; n < 3; n++) box.maildrop(USER).add(Buffer.from(`Subject: ${n}\r\n\r\n`))
    const first = await enter(box)
    await read(first, [1, 2])
    await first.quit()
    const second = await enter(box)
    expect(await second.stat()).toMatchObject({ count: 1 })
  })

  test('closes on a token in one line as Exchange does', async () => {
    const box = await serve({ provider: 'microsoft' })
    const session = await open(box)
    await expect(session.command('AUTH', 'XOAUTH2', 'dG9rZW4=')).rejects.toThrow('Connection is closed. 10')
  })

  test('a hook sees every command before it is answered, and may answer otherwise, cut, or hang up', async () => {
    const box = await serve()
    box.maildrop(USER).add(Buffer.from('Subject: 1\r\n\r\nText\r\n'))
    const answered: string[] = []
    box.hooks = {
      seen: ({ verb, nth }) => {
        if (verb === 'STAT') return { reply: '-ERR [SYS/TEMP] later' }
        return verb === 'RETR' && nth === 2 ? { cutAfter: 12 } : undefined
      },
      answered: ({ verb, message }) => void answered.push(`${verb} ${message?.uidl ?? ''}`.trim()),
    }
    const session = await enter(box)
    await expect(session.stat()).rejects.toThrow('later')
    await read(session, [1])
    await expect(read(session, [1])).rejects.toThrow(Failure)
    expect(answered).toContain(`RETR ${box.maildrop(USER).messages[0]?.uidl}`)
  })

  test('what QUIT deleted is gone although its answer is lost; where QUIT is refused, nothing goes', async () => {
    const box = await serve()
    const drop = box.maildrop(USER)
    for (let n = 0; n < 2; n++) drop.add(Buffer.from(`Subject: ${n}\r\n\r\n`))
    for (const [twist, left] of [
      [{ reply: '-ERR some messages were not removed' }, 2],
      [{ cutAfter: 0, hangUp: 'reset' }, 1],
    ] as const) {
      box.hooks = { seen: ({ verb }) => (verb === 'QUIT' ? twist : undefined) }
      const session = await enter(box)
      await session.dele([1])
      expect(await session.quit()).toBe(false)
      expect(drop.messages).toHaveLength(left)
      await box.waitFor(() => drop.holder === undefined)
    }
  })
})
