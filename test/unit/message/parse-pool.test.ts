import { createHash, randomBytes } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import { LIMITS, type ParseLimits } from '../../../src/message/limits.ts'
import { ParsePool } from '../../../src/message/parse-pool.ts'
import type { ParseOutcome } from '../../../src/message/parse-thread.ts'
import { threads, threadsMade } from '../../support/threads.ts'

async function* pieces(raw: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < raw.length; at += 256 * 1024) yield raw.subarray(at, at + 256 * 1024)
}
const nowhere = async (): Promise<void> => undefined

/** A file of so many bytes, in base64. */
const withFile = (bytes: Buffer): Buffer =>
  Buffer.from(
    `Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n${bytes.toString('base64').replace(/.{76}/g, '$&\r\n')}\r\n`,
  )

describe('the parsing threads', () => {
  let pool: ParsePool
  const open = (limits: Partial<ParseLimits> = {}, count = 1): ParsePool => {
    pool = new ParsePool({ threads: count, limits: { ...LIMITS, ...limits } })
    return pool
  }
  const parse = async (raw: string | Buffer): Promise<ParseOutcome> =>
    await pool.parse({ source: pieces(Buffer.from(raw)), write: nowhere, raised: false })
  afterEach(async () => {
    await pool.close()
  })

  test('hand back every byte of a large file, and are used again', async () => {
    const bytes = randomBytes(5_000_000)
    const hash = createHash('sha256')
    open()
    const outcome = await pool.parse({
      source: pieces(withFile(bytes)),
      write: async (ordinal, piece) => {
        expect(ordinal).toBe(1)
        hash.update(piece)
      },
    })
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'))
    expect(outcome).toMatchObject({
      state: 'parsed',
      message: { attachments: [{ name: 'a.pdf', sizeBytes: 5_000_000 }] },
    })
    for (let i = 0; i < 50; i++) expect((await parse('Subject: x\r\n\r\nText')).state).toBe('parsed')
    expect(threads()).toBe(1)
  })

  test('wait while nobody takes the bytes: a slow database is not the fault of the message', async () => {
    const gate = Promise.withResolvers<void>()
    open({ deadlineMs: 400 })
    let taken = 0
    const parsing = pool.parse({
      source: pieces(withFile(randomBytes(3_000_000))),
      write: async (_, piece) => {
        taken += piece.length
        await gate.promise
      },
    })
    await expect.poll(() => taken).toBeGreaterThan(0)
    const before = taken
    const end = performance.now() + 600
    await expect.poll(() => performance.now() > end, { timeout: 5_000 }).toBe(true)
    expect(taken).toBe(before)
    gate.resolve()
    expect((await parsing).state).toBe('parsed')
    expect(taken).toBe(3_000_000)
  })

  test('a message that takes too long loses its thread, and the next one gets another', async () => {
    open({ deadlineMs: 150 })
    expect(await parse(withFile(randomBytes(30_000_000)))).toEqual({
      state: 'broken',
      reason: 'the parser needed more than 0.15 s for it',
    })
    expect(await parse('Subject: x\r\n\r\nText')).toMatchObject({ state: 'parsed' })
    expect(threads()).toBe(1)
  })

  test('a message that takes too much memory ends its thread and nothing else', async () => {
    open({ heapMb: 32, parts: 1_000_000, deadlineMs: 60_000 })
    const parts = `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n\r\nx\r\n'.repeat(300_000)}`
    expect(await parse(parts)).toEqual({
      state: 'broken',
      reason: 'the parser needed more than 32 MB of memory for it',
    })
    expect(await parse('Subject: x\r\n\r\nText')).toMatchObject({ state: 'parsed' })
  })

  test('what the source or the writer throws comes through, and the next message is read', async () => {
    open()
    async function* breaks(): AsyncGenerator<Buffer> {
      yield Buffer.from('Subject: x\r\n')
      throw new Error('the database is away')
    }
    await expect(pool.parse({ source: breaks(), write: nowhere })).rejects.toThrow('the database is away')
    const full = async (): Promise<void> => {
      throw new Error('no room')
    }
    await expect(pool.parse({ source: pieces(withFile(randomBytes(1_000))), write: full })).rejects.toThrow('no room')
    expect(await parse('Subject: x\r\n\r\nText')).toMatchObject({ state: 'parsed' })
  })

  test('an abort ends the work at once and closes the source', async () => {
    open()
    const stop = new AbortController()
    let closed = false
    let given = 0
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        yield Buffer.from('Subject: x\r\n\r\n')
        for (; ; given++) yield Buffer.alloc(1_000, 'x\n')
      } finally {
        closed = true
      }
    }
    const parsing = pool.parse({ source: endless(), write: nowhere, signal: stop.signal })
    const ended = parsing.catch((error: unknown) => error)
    await expect.poll(() => given).toBeGreaterThan(10)
    stop.abort(new Error('stopping'))
    expect(await ended).toEqual(new Error('stopping'))
    expect(closed).toBe(true)
    expect(threads()).toBe(0)
  })

  test('more messages than threads wait for their turn', async () => {
    open({}, 2)
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => parse(`Message-ID: <${i}@x>\r\n\r\nText ${i}`)))
    expect(all.map((outcome) => outcome.state === 'parsed' && outcome.message.bodyText)).toEqual(
      Array.from({ length: 20 }, (_, i) => `Text ${i}`),
    )
    expect(threads()).toBe(2)
  })

  test('are made when they are needed, stay, and are gone when the pool is closed', async () => {
    const before = threadsMade()
    open({}, 2)
    expect(threadsMade()).toBe(before)
    for (let i = 0; i < 10; i++) await parse('Subject: x\r\n\r\nText')
    expect(threadsMade()).toBe(before + 1)
    await pool.close()
    expect(threads()).toBe(0)
    await expect(parse('Subject: x\r\n\r\nText')).rejects.toThrow('closed')
  })
})
