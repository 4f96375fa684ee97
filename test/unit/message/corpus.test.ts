import { describe, expect, test } from 'vitest'
import { LIMITS } from '../../../src/message/limits.ts'
import { parseMessage, type ParsedMessage } from '../../../src/message/parse.ts'
import { summarise } from '../../../src/message/summary.ts'
import { mimeCorpus, type CorpusMail } from '../../support/mime-corpus.ts'

interface Read {
  readonly message: ParsedMessage
  readonly bytes: readonly Buffer[]
}

async function* pieces(raw: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < raw.length; at += size) yield Buffer.from(raw.subarray(at, at + size))
}

async function read(raw: Buffer, size = 256 * 1024): Promise<Read> {
  const bytes: Buffer[] = []
  const write = async (ordinal: number, piece: Buffer): Promise<void> => {
    bytes[ordinal - 1] = Buffer.concat([bytes[ordinal - 1] ?? Buffer.alloc(0), piece])
  }
  const message = await parseMessage(pieces(raw, size), write, LIMITS)
  return { message, bytes: message.attachments.map((_, i) => bytes[i] ?? Buffer.alloc(0)) }
}

const corpus = mimeCorpus()

/** Of everything that was read, what the corpus has an opinion on. */
function seen({ expected, raw }: CorpusMail, { message, bytes }: Read): Record<string, unknown> {
  const all: Record<string, unknown> = {
    text: message.bodyText,
    html: message.bodyHtml,
    subject: summarise(raw).subject,
    files: message.attachments.map(({ name }) => name),
    bytes: bytes.map(String),
    kind: message.kind,
  }
  return Object.fromEntries(Object.keys(expected).map((key) => [key, all[key]]))
}

describe(`a corpus of ${corpus.length} messages`, () => {
  test('is large enough', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(400)
  })

  test.each(corpus)('$name', async (mail) => {
    const { expected } = mail
    expect(seen(mail, await read(mail.raw))).toEqual({
      ...expected,
      ...(expected.bytes && { bytes: expected.bytes.map(String) }),
    })
  })

  test('reads the same however the bytes arrive', async () => {
    for (const mail of corpus.filter((_, i) => i % 7 === 0)) {
      const whole = await read(mail.raw)
      const single = await read(mail.raw, 1)
      expect(single.message, mail.name).toEqual(whole.message)
      expect(single.bytes.map(String), mail.name).toEqual(whole.bytes.map(String))
    }
  })

  test('stores nothing that Postgres or a file system would refuse', async () => {
    for (const mail of corpus) {
      const { message } = await read(mail.raw)
      const texts = [
        message.bodyText,
        message.bodyHtml,
        ...message.attachments.flatMap(({ name, contentId }) => [name, contentId]),
      ]
      for (const text of texts) {
        expect(text?.includes('\0') ?? false, mail.name).toBe(false)
        expect(text?.isWellFormed() ?? true, mail.name).toBe(true)
      }
      for (const { name } of message.attachments) {
        expect(name, mail.name).toMatch(/^[^/\\\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]+$/)
        expect(Array.from(name).length, mail.name).toBeLessThanOrEqual(200)
      }
    }
  })
})
