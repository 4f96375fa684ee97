// What other POP3 tools remember of a maildrop: the UIDLs they have retrieved. Pure readers of the files of getmail 6 (oldmail-*),
// fetchmail (its idfile, .fetchids) and mpop (its uidls_file). Bytes are one character each (latin1), as in the ledger.

export const SEEN_TOOLS = ['getmail', 'fetchmail', 'mpop'] as const
export type SeenTool = (typeof SEEN_TOOLS)[number]

/** Whose lines are taken out of a file that knows several maildrops. */
export interface SeenOwner {
  readonly user: string
  readonly host: string
}

/** One line: a UIDL of this owner; a line of another one; one that cannot be read, and why. */
export type SeenEntry =
  | { readonly line: number; readonly uidl: string }
  | { readonly line: number; readonly other: string }
  | { readonly line: number; readonly unreadable: string }

/** RFC 1939 says 70; the ledger takes no longer ones than this. */
const MAX_UIDL_BYTES = 1_000
const MAX_LINE_BYTES = 8 * 1024

/** The entries of a file, which comes in pieces cut anywhere; so many at once as a piece has. */
export async function* readSeenList(
  pieces: AsyncIterable<Buffer>,
  tool: SeenTool,
  owner: SeenOwner,
): AsyncGenerator<SeenEntry[]> {
  const reader = READERS[tool](owner)
  const lines = new Lines()
  for await (const piece of pieces) yield entriesOf(lines.push(piece), reader)
  yield entriesOf(lines.end(), reader)
  const missing = reader.end()
  if (missing !== undefined) yield [{ line: lines.count, unreadable: missing }]
}

function entriesOf(lines: readonly Line[], reader: Reader): SeenEntry[] {
  const entries: SeenEntry[] = []
  for (const { number: line, text } of lines) {
    const read = text === undefined ? { unreadable: 'is longer than any UIDL' } : reader.read(text)
    if (read) entries.push({ line, ...read })
  }
  return entries
}

interface Line {
  readonly number: number
  /** undefined: too long to be kept. */
  readonly text: string | undefined
}

/** Cuts pieces into lines; of a line without an end no more is kept than a line may have. */
class Lines {
  count = 0
  #rest = ''
  #tooLong = false

  push(piece: Buffer): Line[] {
    const texts = (this.#rest + piece.toString('latin1')).split('\n')
    this.#rest = texts.pop() ?? ''
    const lines = texts.map((text) => this.#line(text))
    if (this.#rest.length > MAX_LINE_BYTES) {
      this.#tooLong = true
      this.#rest = ''
    }
    return lines
  }

  end(): Line[] {
    return this.#rest === '' && !this.#tooLong ? [] : [this.#line(this.#rest)]
  }

  #line(text: string): Line {
    const tooLong = this.#tooLong || text.length > MAX_LINE_BYTES
    this.#tooLong = false
    this.count++
    return { number: this.count, text: tooLong ? undefined : text.replace(/\r$/, '') }
  }
}

type Read = { readonly uidl: string } | { readonly other: string } | { readonly unreadable: string }

interface Reader {
  /** undefined: the line says nothing. */
  read(line: string): Read | undefined
  /** What the file lacks at its end. */
  end(): string | undefined
}

const READERS: Readonly<Record<SeenTool, (owner: SeenOwner) => Reader>> = {
  getmail: () => ({ read: readGetmail, end: () => undefined }),
  fetchmail: (owner) => ({ read: (line) => readFetchmail(line, owner), end: () => undefined }),
  mpop: (owner) => new MpopReader(owner),
}

function checked(uidl: string): Read {
  if (uidl === '') return { unreadable: 'has no UIDL' }
  if (uidl.length > MAX_UIDL_BYTES) return { unreadable: 'is longer than any UIDL' }
  return /[\u0000-\u001f\u007f]/.test(uidl) ? { unreadable: 'has control characters in its UIDL' } : { uidl }
}

/** `UIDL NUL seconds`. What it remembers of IMAP has a "/" in it; it writes none for POP3. */
function readGetmail(line: string): Read | undefined {
  if (line.trim() === '') return undefined
  const [, uidl, seconds] = /^([^\0]*)\0([^\0]*)$/.exec(line.trim()) ?? []
  if (uidl === undefined || seconds === undefined) return { unreadable: 'is not a UIDL, a NUL and a time' }
  if (!/^\d{1,15}$/.test(seconds)) return { unreadable: 'has no time behind its UIDL' }
  return uidl.includes('/') ? { unreadable: 'is of an IMAP folder, not of a maildrop' } : checked(uidl)
}

/** `user@host UIDL`: the user may have blanks and "@" in it, the UIDL an "@". Names are compared as fetchmail does, in any case. */
function readFetchmail(line: string, owner: SeenOwner): Read | undefined {
  if (line.trim() === '') return undefined
  const at = line.indexOf('@')
  const blank = at < 0 ? -1 : line.indexOf(' ', at)
  if (blank < 0) return { unreadable: 'is not user@host and a UIDL' }
  const name = line.slice(0, blank).trim()
  const split = name.lastIndexOf('@')
  const [uidl = ''] = line.slice(blank).trim().split(/[ \t]/)
  const same = sameText(name.slice(0, split), owner.user) && sameText(name.slice(split + 1), owner.host)
  return same ? checked(uidl) : { other: name }
}

const sameText = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase()

/** Comments on top, then for each maildrop ` count host user` and so many lines with a UIDL. */
class MpopReader implements Reader {
  readonly #owner: SeenOwner
  #comments = true
  #left = 0
  /** '': the owner's. */
  #other = ''

  constructor(owner: SeenOwner) {
    this.#owner = owner
  }

  read(line: string): Read | undefined {
    if (this.#comments && line.startsWith('#')) return undefined
    this.#comments = false
    if (line.startsWith(' ')) return this.#head(line)
    if (this.#left === 0) return line === '' ? undefined : { unreadable: 'is not in the list of a server and user' }
    this.#left--
    return this.#other === '' ? checked(line) : { other: this.#other }
  }

  end(): string | undefined {
    return this.#left === 0 ? undefined : `is followed by the end of the file: ${this.#left} UIDLs are missing`
  }

  #head(line: string): Read | undefined {
    const missing = this.#left
    const [, count, host = '', user = ''] = /^ (\d{1,9}) (\S+) (\S.*)$/.exec(line) ?? []
    this.#left = Number(count ?? 0)
    const mine = user === this.#owner.user && sameText(host, this.#owner.host)
    this.#other = mine ? '' : `${user}@${host}`
    if (count === undefined) return { unreadable: 'is not a number of UIDLs, a server and a user' }
    return missing > 0 ? { unreadable: `begins the next list, and ${missing} UIDLs are missing before it` } : undefined
  }
}

/**
 * Whether a file is, by its name, of another maildrop: getmail writes one per server, port and user. A file under any other name may
 * be of everybody.
 */
export function isForeignGetmailFile(fileName: string, { user, host }: SeenOwner): boolean {
  const safe = (text: string): string => text.replace(/[/:;<>|]+/g, '-').toLowerCase()
  const name = fileName.toLowerCase()
  if (!name.startsWith('oldmail-')) return false
  const start = safe(`oldmail-${host}-`)
  const end = safe(`-${user}`)
  return !(
    name.startsWith(start) &&
    name.endsWith(end) &&
    /^\d+$/.test(name.slice(start.length, name.length - end.length))
  )
}
