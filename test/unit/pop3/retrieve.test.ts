import { randomBytes } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { PopSession } from '../../../src/pop3/session.ts'
import { bytewise, cutAt, onTheWire, type PopScript, type ScriptedPop3 } from '../../support/scripted-pop3.ts'
import { failureOf, open, read, readAll } from './open.ts'
import { random } from './random.ts'

const mail = (text: string) => Buffer.from(text, 'latin1')
const many = (count: number) =>
  Array.from({ length: count }, (_, i) => mail(`Subject: ${i}\r\n\r\n.${'x'.repeat(i)}\r\n`))
const numbers = (messages: readonly unknown[]) => messages.map((_, i) => i + 1)
const texts = (bodies: readonly Buffer[]) => bodies.map((bytes) => bytes.toString('latin1'))

describe('messages arrive byte for byte', () => {
  const hard = [
    '',
    '\r\n',
    '.\r\n',
    '..\r\n.\r\n',
    'a\r.\n.\r\n\n.\r\n',
    '\0\xff\xe4\r\n',
    '.\ra\r\n',
    '+OK\r\n-ERR x\r\n',
  ].map(mail)

  test.each<[string, PopScript]>([
    ['bytewise', { cut: bytewise }],
    ['merged into few segments', { merge: true }],
    ['one segment per reply', {}],
  ])('%s', async (_name, script) => {
    const { session } = await open({ ...script, messages: hard })
    expect(texts(await readAll(session, numbers(hard)))).toEqual(texts(hard))
  })

  test('wherever the terminator is split', async () => {
    const message = mail('Subject: x\r\n\r\n..\r\nend.\r\n')
    const length = onTheWire(message).length
    for (let offset = -7; offset < 0; offset += 1) {
      const { session } = await open({ messages: [message], cut: cutAt(offset) })
      expect(texts(await readAll(session, [1, 1]))).toEqual(texts([message, message]))
      session.close()
    }
    expect(length).toBeGreaterThan(7)
  })

  test('under random segmentation of many pipelined replies', async () => {
    const next = random(4_711)
    const alphabet = ['.', '..', '\r\n', '\r', '\n', '\r\n.', 'abc', '\0', '\xff']
    const messages = Array.from({ length: 60 }, () =>
      mail(`${Array.from({ length: next(40) }, () => alphabet[next(alphabet.length)]).join('')}\r\n`),
    )
    const cut = (bytes: Buffer) => {
      const pieces: Buffer[] = []
      for (let at = 0; at < bytes.length; at += pieces.at(-1)!.length)
        pieces.push(bytes.subarray(at, at + 1 + next(30)))
      return pieces
    }
    for (const merge of [false, true]) {
      const { session } = await open({ messages, cut, merge })
      expect(texts(await readAll(session, numbers(messages)))).toEqual(texts(messages))
    }
  })
})

describe('pipelining', () => {
  const messages = many(100)

  test('asks ahead, in order, and no further than the window', async () => {
    const { server, session } = await open({ messages })
    const reading = session.retrieve(numbers(messages))
    const first = await reading.next()
    await server.waitFor(() => server.seen.commands.length === 1 + 64)
    expect(first.value).toMatchObject({ number: 1 })
    await reading.return()
    expect(server.seen.commands.slice(1)).toEqual(
      numbers(messages)
        .slice(0, 64)
        .map((n) => `RETR ${n}`),
    )
    expect(texts(await readAll(session, numbers(messages)))).toEqual(texts(messages))
    expect(server.seen.commands.filter((command) => command.startsWith('RETR'))).toHaveLength(64 + 100)
  })

  test.each([
    ['of 1 MB each, no more than 4 MiB', 1_000_000, 4],
    ['of 25 MB each, two', 25_000_000, 2],
    ['of 6 KB each, 64', 6_000, 64],
  ])('asks ahead by what sizes were announced: %s', async (_name, sizeBytes, ahead) => {
    const { server, session } = await open({ messages })
    const reading = session.retrieve(numbers(messages), () => sizeBytes)
    await reading.next()
    await server.waitFor(() => server.seen.commands.length === 1 + ahead)
    // one is being read now, and at least one more must be on its way behind it
    for (let n = 2; n <= 10; n += 1) {
      expect((await reading.next()).value).toMatchObject({ number: n })
      await server.waitFor(() => server.seen.commands.includes(`RETR ${n + 1}`))
    }
    await reading.return()
    expect(await session.stat()).toMatchObject({ count: 100 })
    const asked = server.seen.commands.filter((command) => command.startsWith('RETR')).length
    expect(asked).toBeGreaterThanOrEqual(10)
    expect(asked).toBeLessThanOrEqual(10 + ahead)
  })

  test('of one message asks for no capabilities', async () => {
    const { server, session } = await open({ messages })
    expect(texts(await readAll(session, [7]))).toEqual(texts([messages[6]!]))
    expect(server.seen.commands).toEqual(['RETR 7'])
  })

  test('is not done where the server does not announce it: the next command waits for the whole body before', async () => {
    const answer = (line: string) => (line.startsWith('RETR') ? { raw: '+OK\r\nhalf\r\n' } : undefined)
    const { server, session } = await open({ answer, capabilities: ['UIDL'] })
    const reading = session.retrieve([1, 2, 3])
    await reading.next()
    const second = reading.next() // the first is skipped, but the server is still sending it
    for (let i = 0; i < 50; i += 1) await turn()
    expect(server.seen.commands.at(-1)).toBe('RETR 1')
    server.say('.\r\n')
    expect((await second).value).toMatchObject({ number: 2 })
    expect(server.seen.commands.at(-1)).toBe('RETR 2')
    server.say('.\r\n')
    await reading.return()
    expect(await session.stat()).toMatchObject({ count: 0 })
  })

  test('-ERR to one message concerns this message only', async () => {
    const answer = (line: string) => (line === 'RETR 3' ? '-ERR [SYS/TEMP] message 3 is damaged' : undefined)
    const { session } = await open({ messages: messages.slice(0, 6), answer, merge: true })
    const outcome: (string | number)[] = []
    for await (const message of session.retrieve([1, 2, 3, 4, 99, 6])) {
      if ('failure' in message) outcome.push(`${message.number} ${message.failure.step} ${message.failure.evidence}`)
      else outcome.push((await read(message)).length)
    }
    const length = (n: number) => messages[n - 1]!.length
    expect(outcome).toEqual([
      length(1),
      length(2),
      '3 retr -ERR [SYS/TEMP] message 3 is damaged',
      length(4),
      "99 retr -ERR There's no message 99.",
      length(6),
    ])
  })
})

describe('the heads of many messages', () => {
  const messages = many(100)
  const heads = async (session: PopSession, wanted: readonly number[], lines = 0) => {
    const got: string[] = []
    for await (const message of session.tops(wanted, lines)) {
      if ('failure' in message) got.push(`${message.number} ${message.failure.step} ${message.failure.evidence}`)
      else got.push(message.head.toString('latin1'))
    }
    return got
  }

  test.each<[string, PopScript]>([
    ['bytewise', { cut: bytewise }],
    ['merged', { merge: true }],
    ['where nothing is pipelined', { capabilities: ['TOP'] }],
  ])('come in order, %s', async (_name, script) => {
    const { server, session } = await open({ messages, ...script })
    expect(await heads(session, numbers(messages), 3)).toEqual(texts(messages))
    expect(server.seen.commands.slice(0, 3)).toEqual(['CAPA', 'TOP 1 3', 'TOP 2 3'])
  })

  test('are asked for ahead', async () => {
    const { server, session } = await open({ messages })
    const reading = session.tops(numbers(messages), 0)
    await reading.next()
    await server.waitFor(() => server.seen.commands.length === 1 + 64)
    await reading.return()
    expect(await session.stat()).toMatchObject({ count: 100 })
  })

  test('are bounded: of an endless header the beginning is kept', async () => {
    const endless = mail(`Subject: ${'x'.repeat(500_000)}\r\n`)
    for (const capabilities of [['PIPELINING'], []]) {
      const { session } = await open({ messages: [endless, ...messages], capabilities })
      const [first, second] = await heads(session, [1, 2])
      expect(first).toBe(endless.toString('latin1', 0, 64 * 1024))
      expect(second).toBe(messages[0]!.toString('latin1'))
    }
  })

  test('come without the one that is refused', async () => {
    const answer = (line: string) => (line === 'TOP 2 0' ? '-ERR no such thing' : undefined)
    const { session } = await open({ messages, answer })
    expect(await heads(session, [1, 2, 3])).toEqual([
      messages[0]!.toString('latin1'),
      '2 top -ERR no such thing',
      messages[2]!.toString('latin1'),
    ])
  })

  test('are not taken for complete where one breaks off', async () => {
    const answer = (line: string) =>
      line === 'TOP 2 0' ? ({ raw: '+OK\r\nSub', hangUp: 'close' } as const) : undefined
    const { session } = await open({ messages, answer })
    expect(await failureOf(heads(session, [1, 2, 3]))).toMatchObject({
      step: 'top',
      evidence: 'localhost closed the connection',
    })
  })
})

describe('the sizes of messages', () => {
  const messages = many(100)
  const asked = (server: ScriptedPop3) => server.seen.commands.filter((command) => command.startsWith('LIST'))
  const sizeReply = (line: string) => {
    const number = Number(/^LIST (\d+)$/.exec(line)?.[1])
    return number > 0 ? `+OK ${number} ${number * 10}` : undefined
  }

  test('are asked for one by one where they are few', async () => {
    const { server, session } = await open({ messages, answer: sizeReply })
    await session.stat()
    expect([...(await session.sizesOf([3, 99]))]).toEqual([
      [3, 30],
      [99, 990],
    ])
    expect(asked(server)).toEqual(['LIST 3', 'LIST 99'])
  })

  test.each([
    ['many of the maildrop', 26, ['PIPELINING']],
    ['more than a handful, one round trip each', 9, []],
  ])('are asked for in one list where they are %s', async (_name, count, capabilities) => {
    const { server, session } = await open({ messages, answer: sizeReply, capabilities })
    await session.stat()
    const sizes = await session.sizesOf(numbers(messages).slice(0, count))
    expect(sizes.get(9)).toBe(messages[8]!.length)
    expect(asked(server)).toEqual(['LIST'])
  })

  test('are left out where the server refuses, or answers something else', async () => {
    const answers: Record<string, string> = {
      'LIST 1': '-ERR no',
      'LIST 2': '+OK 3 30',
      'LIST 3': '+OK what?',
      'LIST 4': '+OK 4 40',
      'LIST 5': '+OK 5 -1',
    }
    const { session } = await open({ messages, answer: (line) => answers[line] })
    expect([...(await session.sizesOf([1, 2, 3, 4, 5]))]).toEqual([[4, 40]])
  })

  test('of no message are asked for by nobody', async () => {
    const { server, session } = await open({ messages })
    expect((await session.sizesOf([])).size).toBe(0)
    expect(server.seen.commands).toEqual([])
  })
})

describe('a reader that', () => {
  const messages = many(40)

  test('skips every other message gets the others whole', async () => {
    const { session } = await open({ messages, cut: cutAt(25) })
    const got: Buffer[] = []
    for await (const message of session.retrieve(numbers(messages)))
      if (message.number % 2 === 0) got.push(await read(message))
    expect(texts(got)).toEqual(texts(messages.filter((_, i) => i % 2 === 1)))
  })

  test('stops in the middle of a body leaves a session that works', async () => {
    const large = [Buffer.alloc(3_000_000, 'abcdefgh\r\n'), ...messages]
    const { session } = await open({ messages: large })
    for await (const message of session.retrieve(numbers(large))) {
      if ('failure' in message) throw message.failure
      for await (const batch of message.chunks) if (batch.length > 0) break
      break
    }
    expect(await session.stat()).toMatchObject({ count: large.length })
    expect(texts(await readAll(session, [2, 3]))).toEqual(texts([messages[0]!, messages[1]!]))
  })

  test('comes back to a body it has passed by is told, not given half of it', async () => {
    const { session } = await open({ messages })
    const reading = session.retrieve([1, 2])
    const first = await reading.next()
    await reading.next()
    await expect(read(first.value!)).rejects.toThrow('given up')
  })

  test('is slow stops the server, and memory stays bounded', async () => {
    const size = 67 * 1024 * 1024
    const line = Buffer.concat([randomBytes(60).map((byte) => 65 + (byte % 26)), Buffer.from('\r\n')])
    const message = Buffer.alloc(size - (size % line.length), line)
    const raw = Buffer.concat([Buffer.from('+OK\r\n'), onTheWire(message)])
    const answer = (line: string) => (line === 'RETR 1' ? { raw } : undefined)
    const { session } = await open({ answer }, { idleTimeoutMs: 1_000 })
    let highest = 0
    let received = 0
    for await (const item of session.retrieve([1])) {
      if ('failure' in item) throw item.failure
      for await (const batch of item.chunks) {
        if (received === 0) {
          // longer than the idle timeout: the reader is slow, the server is not silent
          const before = performance.now()
          while (session.heldBytes <= 1024 * 1024 || performance.now() - before < 1_300) await turn()
        }
        highest = Math.max(highest, session.heldBytes)
        for (const piece of batch) {
          for (const at of [0, piece.length - 1])
            if (piece[at] !== message[received + at]) throw new Error('other bytes')
          received += piece.length
        }
        await turn()
      }
    }
    expect(received).toBe(message.length)
    expect(highest).toBeLessThan(2 * 1024 * 1024)
    expect(session.heldBytes).toBe(0)
  })
})

describe('a message that breaks off', () => {
  test.each([
    '+OK\r\nSubject: half',
    '+OK\r\nSubject: half\r\n',
    '+OK\r\nSubject: half\r\n.',
    '+OK\r\nSubject: half\r\n.\r',
    '+OK\r\n',
  ])('is never taken for complete: %j', async (raw) => {
    const messages = many(3)
    const answer = (line: string) => (line === 'RETR 2' ? ({ raw, hangUp: 'close' } as const) : undefined)
    const { session } = await open({ messages, answer })
    const whole: number[] = []
    const failure = await failureOf(
      (async () => {
        for await (const message of session.retrieve([1, 2, 3])) {
          await read(message)
          whole.push(message.number)
        }
      })(),
    )
    expect(whole).toEqual([1])
    expect(failure).toMatchObject({ stage: 'pop3', step: 'retr', evidence: 'localhost closed the connection' })
    expect(await failureOf(session.stat())).toBe(failure)
  })

  test('does not take the messages with it that were there before', async () => {
    const messages = many(3)
    const answer = (line: string) => (line === 'RETR 3' ? ({ raw: '+OK\r\nhal', hangUp: 'close' } as const) : undefined)
    const { server, session } = await open({ messages, answer, merge: true })
    const reading = session.retrieve([1, 2, 3])
    const first = await reading.next()
    await server.waitFor(() => server.seen.open === 0)
    expect(texts([await read(first.value!), await read((await reading.next()).value!)])).toEqual(
      texts(messages.slice(0, 2)),
    )
    await failureOf(reading.next().then(({ value }) => read(value!)))
  })
})
