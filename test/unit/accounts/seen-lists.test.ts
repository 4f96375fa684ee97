import { describe, expect, test } from 'vitest'
import {
  isForeignGetmailFile,
  readSeenList,
  SEEN_TOOLS,
  type SeenEntry,
  type SeenTool,
} from '../../../src/accounts/seen-lists.ts'

const OWNER = { user: 'anna@example.test', host: 'pop.example.test' }

async function read(tool: SeenTool, pieces: string[], owner = OWNER): Promise<SeenEntry[]> {
  const entries: SeenEntry[] = []
  const bytes = async function* () {
    for (const piece of pieces) yield Buffer.from(piece, 'latin1')
  }
  for await (const some of readSeenList(bytes(), tool, owner)) entries.push(...some)
  return entries
}

const uidls = async (tool: SeenTool, text: string): Promise<string[]> =>
  (await read(tool, [text])).flatMap((entry) => ('uidl' in entry ? [entry.uidl] : []))

const FILES: Readonly<Record<SeenTool, string>> = {
  getmail: '000000016b0763c6\x001795647903\nGmailId19a\x80b"<x@y>\x00017\n\nid-3\x001\n',
  fetchmail:
    'anna@example.test@pop.example.test 0001\nBOB@pop.example.test 17\n  anna@example.test@POP.example.test \t <a@b>\n',
  mpop: '# mpop\n#\n 2 pop.example.test anna@example.test\n#id\nid two\n 1 pop.example.test bob\nx\n',
}

describe('what another tool remembers', () => {
  test('of getmail: a UIDL, a NUL and a time', async () => {
    expect(await uidls('getmail', FILES.getmail)).toEqual(['000000016b0763c6', 'GmailId19a\x80b"<x@y>', 'id-3'])
    expect(await read('getmail', ['a\nb\0x\n\x001\n5/INBOX/7\x001\na\0b\x001\n'])).toEqual([
      { line: 1, unreadable: 'is not a UIDL, a NUL and a time' },
      { line: 2, unreadable: 'has no time behind its UIDL' },
      { line: 3, unreadable: 'has no UIDL' },
      { line: 4, unreadable: 'is of an IMAP folder, not of a maildrop' },
      { line: 5, unreadable: 'is not a UIDL, a NUL and a time' },
    ])
  })

  test('of fetchmail: only the lines of this user and host, compared as fetchmail does', async () => {
    expect(await uidls('fetchmail', FILES.fetchmail)).toEqual(['0001', '<a@b>'])
    expect(await read('fetchmail', ['BOB@pop.example.test 17\n'])).toEqual([{ line: 1, other: 'BOB@pop.example.test' }])
    const blanks = { user: 'Anna Maria/Corp', host: 'notes.example.test' }
    expect(await read('fetchmail', ['Anna Maria/Corp@notes.example.test 5@x\n'], blanks)).toEqual([
      { line: 1, uidl: '5@x' },
    ])
    expect(await read('fetchmail', ['anna\n', 'anna@host\n', 'anna@example.test@pop.example.test  \n'])).toEqual([
      { line: 1, unreadable: 'is not user@host and a UIDL' },
      { line: 2, unreadable: 'is not user@host and a UIDL' },
      { line: 3, unreadable: 'has no UIDL' },
    ])
  })

  test('of mpop: the list of this server and user, "#" and blanks in UIDLs included', async () => {
    expect(await uidls('mpop', FILES.mpop)).toEqual(['#id', 'id two'])
    expect(await read('mpop', [' 1 pop.example.test ANNA@example.test\nx\n'])).toEqual([
      { line: 2, other: 'ANNA@example.test@pop.example.test' },
    ])
    expect(
      await read('mpop', ['stray\n 2 pop.example.test anna@example.test\na\n x pop\nb\n 3 pop.example.test bob\n1\n']),
    ).toEqual([
      { line: 1, unreadable: 'is not in the list of a server and user' },
      { line: 3, uidl: 'a' },
      { line: 4, unreadable: 'is not a number of UIDLs, a server and a user' },
      { line: 5, unreadable: 'is not in the list of a server and user' },
      { line: 7, other: 'bob@pop.example.test' },
      { line: 7, unreadable: 'is followed by the end of the file: 2 UIDLs are missing' },
    ])
    expect(await read('mpop', [' 2 h u\na\n 1 pop.example.test anna@example.test\nb\n'])).toEqual([
      { line: 2, other: 'u@h' },
      { line: 3, unreadable: 'begins the next list, and 1 UIDLs are missing before it' },
      { line: 4, uidl: 'b' },
    ])
  })

  test.each(SEEN_TOOLS)(
    'of %s is the same however the file is cut, with CRLF, and without a last line end',
    async (tool) => {
      const file = FILES[tool]
      const whole = await read(tool, [file])
      for (let cut = 0; cut <= file.length; cut++)
        expect(await read(tool, [file.slice(0, cut), file.slice(cut)])).toEqual(whole)
      expect(await read(tool, file.split(''))).toEqual(whole)
      expect(await read(tool, [file.replaceAll('\n', '\r\n')])).toEqual(whole)
      expect(await read(tool, [file.trimEnd()])).toEqual(whole)
      expect(await read(tool, [])).toEqual([])
    },
  )

  test.each(SEEN_TOOLS)('of %s: lines without an end, and UIDLs that no server sends, are unreadable', async (tool) => {
    const long = 'x'.repeat(3_000)
    const line: Record<SeenTool, (uidl: string) => string> = {
      getmail: (uidl) => `${uidl}\x001\n`,
      fetchmail: (uidl) => `anna@example.test@pop.example.test ${uidl}\n`,
      mpop: (uidl) => ` 1 pop.example.test anna@example.test\n${uidl}\n`,
    }
    const reasons = async (...pieces: string[]) =>
      (await read(tool, pieces)).map((entry) => ('unreadable' in entry ? entry.unreadable : entry))
    expect(await reasons(line[tool](long))).toEqual(['is longer than any UIDL'])
    expect(await reasons(line[tool]('a\u0007b'))).toEqual(['has control characters in its UIDL'])
    const endless = await read(tool, [...Array.from({ length: 20 }, () => long), '\n', line[tool]('ok')])
    expect(endless[0]).toEqual({ line: 1, unreadable: 'is longer than any UIDL' })
    expect(endless.at(-1)).toMatchObject({ uidl: 'ok' })
  })

  test.each(SEEN_TOOLS)('of %s: garbage is unreadable or of somebody else, and never an error', async (tool) => {
    const garbage = Array.from({ length: 4_000 }, (_, i) => String.fromCharCode((i * 7_919 + (i >> 3)) % 256)).join('')
    const entries = await read(tool, [garbage])
    expect(entries.length).toBeGreaterThan(0)
    expect(entries.filter((entry) => 'uidl' in entry)).toEqual([])
  })
})

test.each([
  ['oldmail-pop.example.test-995-anna@example.test', false],
  ['oldmail-POP.example.test-110-Anna@example.test', false],
  ['oldmail-pop.example.test-995-bob@example.test', true],
  ['oldmail-imap.example.test-995-anna@example.test', true],
  ['oldmail-pop.example.test-995-anna@example.test-INBOX', true],
  ['oldmail-pop.example.test-anna@example.test', true],
  ['seen.txt', false],
])('a getmail file called %s is of another maildrop: %s', (name, foreign) => {
  expect(isForeignGetmailFile(name, OWNER)).toBe(foreign)
})

test('getmail replaces what a file name must not have', () => {
  expect(isForeignGetmailFile('oldmail-h-995-corp-anna', { user: 'corp/anna', host: 'h' })).toBe(false)
})
