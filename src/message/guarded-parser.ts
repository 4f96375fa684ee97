// mailparser's MailParser behind a guard: every node is looked at before mailparser reads its header, and every leaf comes out as a
// stream of decoded bytes, text as well, because what is text and in which charset is decided here.

import { MailParser, type AttachmentStream } from 'mailparser'
import { Fields, readStructured, type RawField, type Structured } from './fields.ts'
import { ParseRefused, type ParseLimits } from './limits.ts'

/** What mailsplit knows of a node when its header block is complete. */
interface SplitNode {
  readonly type: 'node' | 'data' | 'body'
  readonly parentNode: SplitNode | false
  readonly contentType: string | false
  readonly multipart: string | false
  readonly _boundary: Buffer | false
  readonly headers: { getList(): RawField[] }
}

/** Of one leaf, from its header. */
export interface Part {
  readonly fields: Fields
  /** In lower case; text/plain where none is declared. */
  readonly contentType: string
  readonly type: Structured
  readonly disposition: Structured
  /** Type of the multipart it lies in; '' for a message that is no multipart. */
  readonly parentType: string
  /** The alternative it is one side of. */
  readonly alternative: object | undefined
}

/** mailparser's own seams, of the version that is pinned; it types only its public ones. */
interface Seams {
  textTypes: string[]
  processChunk(data: SplitNode, done: (error?: Error) => void): void
}
const Base = MailParser as unknown as new (options: object) => MailParser & Seams

export class GuardedParser extends Base {
  /** Of the message itself. */
  rootFields = new Fields([])
  rootType: Structured = { value: 'text/plain', params: new Map() }
  readonly notes = new Set<string>()
  readonly #limits: ParseLimits
  readonly #parts: Part[] = []

  constructor(limits: ParseLimits) {
    super({
      maxHeadSize: limits.headerBytes,
      maxChildNodes: limits.parts,
      ignoreEmbedded: true, // an attached message stays a file with its bytes
      keepDeliveryStatus: true,
      checksumAlgo: false,
      skipHtmlToText: true,
      skipTextToHtml: true,
    })
    this.textTypes = []
    this.#limits = limits
  }

  /** The leaf that comes next out of the stream; parts and streams come in the same order. */
  nextPart(): Part | undefined {
    return this.#parts.shift()
  }

  override processChunk(data: SplitNode, done: (error?: Error) => void): void {
    try {
      if (data.type === 'node') this.#inspect(data)
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)))
      return
    }
    super.processChunk(data, done)
  }

  #inspect(node: SplitNode): void {
    const ancestors = ancestorsOf(node)
    if (ancestors.length > this.#limits.depth) {
      throw new ParseRefused(`its parts are nested deeper than ${this.#limits.depth} levels`)
    }
    const lines = node.headers.getList()
    checkAddresses(lines, this.#limits)
    const fields = new Fields(lines)
    const type = readStructured(fields.raw('content-type') ?? '')
    if (node.parentNode === false) {
      this.rootFields = fields
      this.rootType = type
    }
    if (node.contentType !== false && node.contentType.startsWith('multipart/')) {
      if (!node._boundary) this.notes.add('a multipart names no boundary: its parts could not be told apart')
      return
    }
    const [parent] = ancestors
    this.#parts.push({
      fields,
      contentType: node.contentType && node.contentType.includes('/') ? node.contentType : 'text/plain',
      type,
      disposition: readStructured(fields.raw('content-disposition') ?? ''),
      parentType: (parent && parent.contentType) || '',
      alternative: ancestors.find(({ contentType }) => contentType === 'multipart/alternative'),
    })
  }
}

/** Nearest first. */
function ancestorsOf(node: SplitNode): SplitNode[] {
  const found: SplitNode[] = []
  for (let parent = node.parentNode; parent; parent = parent.parentNode) found.push(parent)
  return found
}

const ADDRESS_FIELDS = new Set(
  'from sender reply-to to cc bcc delivered-to return-path disposition-notification-to'.split(' '),
)

/** mailparser makes an object, and a piece of HTML, of every address; a comment may be as much work as one. */
function checkAddresses(lines: readonly RawField[], limits: ParseLimits): void {
  let count = 0
  for (const { key, line } of lines) {
    if (!ADDRESS_FIELDS.has(key) && !key.startsWith('list-')) continue
    for (const character of line) if (character === ',' || character === ';' || character === '(') count++
  }
  if (count > limits.addresses) throw new ParseRefused(`it names more than ${limits.addresses} addresses`)
}

/** What mailsplit says of its own limits, in our words; any other error of the parser is one too: it is about these bytes. */
export function refusal(error: unknown, limits: ParseLimits): unknown {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'EMAXLEN') return error
  return new ParseRefused(
    /child nodes/.test(error.message)
      ? `it has more than ${limits.parts} parts`
      : `a header block is larger than ${limits.headerBytes / 1024} kB`,
    { cause: error },
  )
}

export type { AttachmentStream }
