// How long each step of a submission may take. RFC 5321 4.5.3.2, except for the greeting.

import { MINUTE_MS, SECOND_MS } from '../base/clock.ts'

export interface Timeouts {
  readonly connectMs: number
  readonly tlsMs: number
  readonly greetingMs: number
  /** From any command to its complete reply. */
  readonly commandMs: number
  /** For one block of at most 64 KiB to leave the process. */
  readonly dataBlockMs: number
  /** From the final dot to its reply. Giving up early is how mail gets sent twice (RFC 1047). */
  readonly finalReplyMs: number
  readonly quitMs: number
}

export const DEFAULT_TIMEOUTS: Timeouts = {
  connectMs: 30 * SECOND_MS,
  tlsMs: 30 * SECOND_MS,
  // Plaintext spoken to a TLS port shows as silence; waiting the five minutes of RFC 5321 would hide it.
  greetingMs: MINUTE_MS,
  commandMs: 5 * MINUTE_MS,
  dataBlockMs: 3 * MINUTE_MS,
  finalReplyMs: 10 * MINUTE_MS,
  quitMs: 2 * SECOND_MS,
}
