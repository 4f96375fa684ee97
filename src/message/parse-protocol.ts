// What the pool and a parsing thread say to each other. One message at a time; every piece of bytes is asked for or acknowledged, so
// that neither side has more of a message in memory than a few pieces.

import type { ParseLimits } from './limits.ts'
import type { ParsedMessage } from './parse.ts'

export const PIECE_BYTES = 256 * 1024

/** `job` tells a late word about the last message from one about this. */
export type ToThread = { readonly job: number } & (
  | { readonly say: 'begin'; readonly limits: ParseLimits }
  | { readonly say: 'bytes'; readonly bytes: Uint8Array }
  | { readonly say: 'end' }
  | { readonly say: 'written' }
)

export type FromThread =
  | { readonly say: 'ready' }
  | ({ readonly job: number } & (
      | { readonly say: 'want' }
      | { readonly say: 'attachment'; readonly ordinal: number; readonly bytes: Uint8Array }
      | { readonly say: 'parsed'; readonly message: ParsedMessage }
      | { readonly say: 'refused'; readonly reason: string }
      /** `error`: its name only; its text may quote the message. */
      | { readonly say: 'failed'; readonly error: string }
    ))
