// The words of handing a message over: the phases of a submission, what goes in, and the outcomes that come out.

import type { Failure } from '../base/failure.ts'

export const PHASES = [
  'connect',
  'greeting',
  'ehlo',
  'starttls',
  'auth',
  'mail',
  'rcpt',
  'data',
  'handing_over',
  'done',
] as const
export type Phase = (typeof PHASES)[number]

export interface Envelope {
  /** '' is the null sender of a bounce. */
  readonly from: string
  readonly recipients: readonly string[]
}

export interface SendOptions {
  /** Size of the body, announced where the server takes SIZE. */
  readonly sizeBytes: number
  /** Whether the body may contain 8-bit octets; true unless said otherwise. */
  readonly eightBit?: boolean
  /**
   * Awaited when the last byte of the body has left and before the final dot does. If it throws, the connection is
   * dropped, the message was not sent, and send() throws the same error.
   */
  readonly beforeFinalDot: () => Promise<void>
}

export interface RecipientOutcome {
  /** As given in the envelope. */
  readonly address: string
  readonly accepted: boolean
  readonly reply: string
  readonly code: number
  readonly enhancedCode?: string
  /** Present where the recipient was refused. */
  readonly failure?: Failure
}

export interface HandOver {
  /** The reply to the final dot, all lines; '' where no recipient was accepted and nothing was sent. */
  readonly reply: string
  /** In the order of the envelope. */
  readonly recipients: readonly RecipientOutcome[]
}

/** The final dot was released and no complete, readable reply came back: the message may or may not be on its way. */
export class UncertainOutcome extends Error {
  override readonly name = 'UncertainOutcome'
  readonly phase: Phase = 'handing_over'
  /** What the server said after the dot, complete or not. */
  readonly seen: string

  constructor(seen: string, options?: ErrorOptions) {
    super(`no final reply after the message was handed over; seen: ${JSON.stringify(seen)}`, options)
    this.seen = seen
  }
}
