// Everything that goes wrong before the final dot, as a Failure: replies are classified with all their lines, lost
// connections by the code of the error, and what we refuse ourselves carries its verdict.

import { Failure, type Provider } from '../base/failure.ts'
import { refuse } from '../failures/classify.ts'
import { NetError } from '../net/net.ts'
import { Lost } from './channel.ts'
import { BareNewline } from './dot-stuffing.ts'
import { parseReply, replyClass, type Reply } from './reply.ts'
import { Refused } from './starttls.ts'

/** A reply that says no. */
export const refusedBy = (provider: Provider, step: string, reply: Reply): Failure =>
  refuse({ provider, stage: 'smtp', step, reply: reply.raw })

/** Turns what the connection threw into a Failure; an error that is not the connection's comes back as it is. */
export function asFailure(provider: Provider, step: string, error: unknown): unknown {
  if (error instanceof Refused) return refusedBy(provider, step, error.reply)
  if (error instanceof NetError) {
    // The name of the network's step says more than 'connect', and the same as 'starttls'.
    const refusal = { provider, stage: 'smtp', step: error.step, errorCode: error.code, reply: error.message } as const
    return refuse(refusal, error)
  }
  if (error instanceof BareNewline) {
    return new Failure(
      { flag: 'message_malformed', scope: 'message', persistence: 'permanent', blocks: [] },
      { stage: 'smtp', step, evidence: `not sent: ${error.message}` },
      { cause: error },
    )
  }
  if (!(error instanceof Lost)) return error
  const reply = parseReply(error.reply)
  if (reply !== undefined && replyClass(reply) >= 4) return refusedBy(provider, step, reply)
  const seen = error.reply === '' ? error.message : `${error.message}: ${error.reply}`
  return refuse({ provider, stage: 'smtp', step, errorCode: error.code, reply: seen }, error)
}

/** The reply a server with RFC 6531 in mind would give; it was not asked, because it could only misread the address. */
export const NO_SMTPUTF8: Reply = {
  code: 553,
  enhancedCode: '5.6.7',
  text: 'not sent: the mailbox name is not ASCII and the server does not offer SMTPUTF8',
  raw: '553 5.6.7 not sent: the mailbox name is not ASCII and the server does not offer SMTPUTF8',
}

/** The verdict is ours, not the peer's: this server can never take this address. */
export const needsUnofferedSmtpUtf8 = (whose: 'sender' | 'recipient'): Failure =>
  new Failure(
    {
      flag: whose === 'recipient' ? 'recipient_rejected' : 'message_malformed',
      scope: whose === 'recipient' ? 'recipient' : 'message',
      persistence: 'permanent',
      blocks: [],
    },
    { stage: 'smtp', step: whose === 'recipient' ? 'rcpt' : 'mail', evidence: NO_SMTPUTF8.raw },
  )

/** The server has said in EHLO that it will not take that much: it is not asked. */
export const tooLarge = ({ sizeBytes }: { sizeBytes: number }, maxBytes: number): Failure =>
  new Failure(
    { flag: 'message_too_large', scope: 'message', persistence: 'permanent', blocks: [] },
    {
      stage: 'smtp',
      step: 'mail',
      evidence: `not sent: the message has ${sizeBytes} bytes and the server takes at most ${maxBytes}`,
    },
  )
