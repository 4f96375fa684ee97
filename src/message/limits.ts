// How much of a message the parser takes on before it gives up, and the reason it then gives. A message that is over a limit is
// kept raw and quarantined; an operator may have it parsed once more with the raised values.

export interface ParseLimits {
  /** Levels of multiparts within multiparts. */
  readonly depth: number
  readonly parts: number
  /** Of the header block of one part; short lines count as more than they have. */
  readonly headerBytes: number
  /** In the address fields of one part. */
  readonly addresses: number
  /** What is kept of the text and of the HTML; the rest is cut off and noted. */
  readonly bodyBytes: number
  /** Time the thread itself may take; while it waits for us the clock stands. */
  readonly deadlineMs: number
  readonly heapMb: number
}

export const LIMITS: ParseLimits = {
  depth: 30,
  parts: 1_000,
  headerBytes: 256 * 1024,
  addresses: 5_000,
  bodyBytes: 2 * 1024 * 1024,
  deadlineMs: 10_000,
  heapMb: 256,
}

export const RAISED_LIMITS: ParseLimits = {
  depth: 200,
  parts: 20_000,
  headerBytes: 4 * 1024 * 1024,
  addresses: 100_000,
  bodyBytes: 8 * 1024 * 1024,
  deadlineMs: 60_000,
  heapMb: 1_024,
}

/** The message itself is the reason; its text is shown to operators and applications. */
export class ParseRefused extends Error {
  override readonly name = 'ParseRefused'
}
