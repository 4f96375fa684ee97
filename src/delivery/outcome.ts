// What an attempt's result means for the message, its recipients and its lane. Pure.

import { jitter } from '../base/backoff.ts'
import { HOUR_MS, later } from '../base/clock.ts'
import { Failure, type Scope } from '../base/failure.ts'
import type { RecipientUpdate, Settlement } from '../db/delivery-attempts.ts'
import type { ClaimedMessage } from '../db/outbound.ts'
import type { UncertainPolicy } from '../db/schema.ts'
import type { RecipientState } from '../db/schema-outbound.ts'
import { EVIDENCE_WAIT_MS, nextAttempt } from './redelivery.ts'

export interface RecipientReply {
  readonly address: string
  readonly accepted: boolean
  readonly code: number
  readonly enhancedCode?: string
  readonly reply: string
  readonly failure?: Failure
}

export type AttemptResult =
  /** `recipients`: those that were offered; where there are more than the server takes at once the others follow. */
  | { readonly kind: 'replied'; readonly reply: string; readonly recipients: readonly RecipientReply[] }
  | { readonly kind: 'refused'; readonly failure: Failure }
  | { readonly kind: 'unknown'; readonly step: string; readonly evidence: string }
  /** The service is stopping, and the final dot had not left. */
  | { readonly kind: 'interrupted' }

export interface Decision {
  readonly settlement: Settlement
  /** The lane's own fault: it is to be parked, and the attempt was given back. */
  readonly laneFailure?: Failure
  /** A fault of the account that stops this message and not the others: it waits, and somebody must be told. */
  readonly concern?: Failure
}

const LANE_SCOPES: readonly Scope[] = ['account', 'tenant', 'app', 'server', 'network', 'service']
/** More recipients than the server takes in one transaction: no fault of theirs (RFC 5321 4.5.3.1.10). */
const TOO_MANY_RECIPIENTS = 'recipient_limit_exceeded'
/** Who may not be named as the sender: another message may well have another one. */
export const OF_THE_SENDER: readonly string[] = ['send_as_denied', 'from_domain_not_registered']
const CONCERN_WAIT_MS = HOUR_MS
/** Up to here nothing of the message has been said: a lost connection is not its fault. */
const STEPS_BEFORE_MESSAGE = ['dns', 'egress', 'connect', 'greeting', 'ehlo', 'starttls', 'tls', 'auth']

const isOpen = (state: RecipientState): boolean => state === 'pending' || state === 'deferred'

/** Addresses that the message is to be offered to next: those that were deferred wait for those that were never asked. */
export function openRecipients({ recipients }: Pick<ClaimedMessage, 'recipients'>): string[] {
  const open = recipients.filter(({ state }) => isOpen(state))
  const neverAsked = open.filter(({ state }) => state === 'pending')
  return (neverAsked.length > 0 ? neverAsked : open).map(({ address }) => address)
}

/** A fault of account, tenant, app, server or network is never charged to the message. */
export function isLaneFault(failure: Failure): boolean {
  if (failure.stage === 'token') return true
  if (!LANE_SCOPES.includes(failure.verdict.scope)) return false
  // a connection that breaks in the middle of this message may break because of it: that attempt counts
  return failure.verdict.scope !== 'network' || STEPS_BEFORE_MESSAGE.includes(failure.step)
}

/** Only what is the recipient's or the message's own fault is refused for good. */
const isFinal = (failure: Failure): boolean =>
  failure.verdict.persistence === 'permanent' && !LANE_SCOPES.includes(failure.verdict.scope)

export interface Circumstances {
  readonly now: Date
  /** In [0, 1): spreads the waits. */
  readonly random: number
  readonly policy: UncertainPolicy
  readonly transcript: string
  /** Address of the account: what it is refused as itself, it is refused for every message. */
  readonly accountEmail: string
}

export function decide(message: ClaimedMessage, result: AttemptResult, about: Circumstances): Decision {
  if (result.kind === 'interrupted') return { settlement: returned(message, about, { reply: 'the service stopped' }) }
  // whoever drops the reply to one message drops the next one's too: the lane waits before another is doubtful
  if (result.kind === 'unknown') {
    return { settlement: uncertain(message, result, about), laneFailure: unknownOutcome(result) }
  }
  if (result.kind === 'refused') return refused(message, result.failure, about)
  const laneFailure = result.recipients.find((r) => r.failure && isLaneFault(r.failure))?.failure
  if (laneFailure && !result.recipients.some((r) => r.accepted)) return refused(message, laneFailure, about)
  const someAccepted = result.recipients.some((r) => r.accepted)
  const tooMany = (answer: RecipientReply): boolean => someAccepted && answer.failure?.flag === TOO_MANY_RECIPIENTS
  const answers = new Map(result.recipients.map((answer) => [answer.address, answer]))
  const updates = message.recipients.flatMap((recipient): RecipientUpdate[] => {
    const answer = answers.get(recipient.address)
    return answer && !tooMany(answer) ? [toUpdate(recipient.ordinal, answer)] : []
  })
  const offered = new Set(updates.map(({ ordinal }) => ordinal))
  const left = message.recipients.filter(({ state, ordinal }) => isOpen(state) && !offered.has(ordinal))
  // the others go on at once as long as they were never asked, or as those before them were taken: nobody is asked twice in a row
  const again = message.recipients.some(({ state, ordinal }) => state === 'pending' && offered.has(ordinal))
  const stopped = again || updates.some(({ state }) => state === 'deferred')
  const more = left.some(({ state }) => state === 'pending') || (left.length > 0 && !stopped)
  const retryAfterMs = Math.max(0, ...result.recipients.map((r) => r.failure?.verdict.retryAfterMs ?? 0)) || undefined
  // no recipient was taken: there was no message to reply to
  const said = result.reply || (result.recipients.find((r) => !r.accepted)?.reply ?? '')
  const step = result.reply ? 'dot' : 'rcpt'
  return { settlement: fold(message, updates, about, { reply: said, step, retryAfterMs, more }) }
}

function toUpdate(ordinal: number, answer: RecipientReply): RecipientUpdate {
  const failure = answer.failure
  const state: RecipientState = answer.accepted ? 'accepted' : failure && isFinal(failure) ? 'rejected' : 'deferred'
  return {
    ordinal,
    state,
    code: answer.code || null,
    enhancedCode: answer.enhancedCode ?? null,
    reply: answer.reply,
    flag: failure?.flag ?? null,
  }
}

function refused(message: ClaimedMessage, failure: Failure, about: Circumstances): Decision {
  const said = { step: failure.step, reply: failure.evidence, flag: failure.flag }
  if (OF_THE_SENDER.includes(failure.flag) && message.envelopeFrom.toLowerCase() !== about.accountEmail.toLowerCase()) {
    const wait = jitter(CONCERN_WAIT_MS, 0.2, about.random)
    const settlement = { ...returned(message, about, said), nextAttemptAt: later(about.now, wait) }
    return { settlement, concern: failure }
  }
  if (isLaneFault(failure)) return { settlement: returned(message, about, said), laneFailure: failure }
  const state: RecipientState = isFinal(failure) ? 'rejected' : 'deferred'
  const updates = message.recipients
    .filter(({ state: before }) => isOpen(before))
    .map((recipient) => ({
      ordinal: recipient.ordinal,
      state,
      code: null,
      enhancedCode: null,
      reply: failure.evidence,
      flag: failure.flag,
    }))
  const { retryAfterMs } = failure.verdict
  return {
    settlement: fold(message, updates, about, {
      reply: failure.evidence,
      step: failure.step,
      flag: failure.flag,
      retryAfterMs,
    }),
  }
}

/**
 * The message waits on as before, and the attempt does not count. Where the message had its say, the others come first: it may be
 * the reason.
 */
export function returned(
  message: ClaimedMessage,
  about: Pick<Circumstances, 'now' | 'transcript'>,
  said: { step?: string; reply: string; flag?: string },
): Settlement {
  const { state, nextAttemptAt } = message.before
  const { step = '', reply, flag = null } = said
  return {
    state: state === 'uncertain' || state === 'deferred' ? state : 'queued',
    nextAttemptAt: step === '' || STEPS_BEFORE_MESSAGE.includes(step) ? nextAttemptAt : about.now,
    giveBack: true,
    outcome: 'returned',
    recipients: [],
    step,
    reply,
    flag,
    transcript: about.transcript || null,
  }
}

const unknownOutcome = ({ step, evidence }: { step: string; evidence: string }): Failure =>
  new Failure(
    { flag: 'outcome_unknown', scope: 'network', persistence: 'transient', blocks: ['send'] },
    { stage: 'smtp', step, evidence },
  )

function uncertain(
  message: ClaimedMessage,
  result: { step: string; evidence: string },
  about: Circumstances,
): Settlement {
  const mayRepeat = about.policy === 'retry' || (about.policy === 'retry_once' && !message.repeated)
  const repeat = mayRepeat && about.now < message.expiresAt
  return {
    state: 'uncertain',
    nextAttemptAt: repeat ? later(about.now, EVIDENCE_WAIT_MS) : null,
    giveBack: false,
    outcome: 'uncertain',
    recipients: [],
    step: result.step,
    reply: result.evidence,
    flag: 'outcome_unknown',
    transcript: about.transcript,
  }
}

/** Folds the recipients' states, of this attempt and of earlier ones, into the state of the message. */
function fold(
  message: ClaimedMessage,
  updates: readonly RecipientUpdate[],
  about: Circumstances,
  last: { reply: string; step: string; flag?: string; retryAfterMs: number | undefined; more?: boolean },
): Settlement {
  const states = message.recipients.map((r) => updates.find((u) => u.ordinal === r.ordinal)?.state ?? r.state)
  const some = (state: RecipientState) => states.includes(state)
  const open = some('deferred') || some('pending')
  // mail that has waited for its account until the deadline gets a second try of its own
  const expired = about.now >= message.expiresAt && message.attempts > 1
  const base = {
    giveBack: false,
    recipients: updates,
    step: last.step,
    reply: last.reply,
    flag: last.flag ?? updates.find((u) => u.flag !== null)?.flag ?? null,
    transcript: about.transcript || null,
  }
  if (last.more && open) {
    return { ...base, state: 'queued', nextAttemptAt: about.now, giveBack: true, outcome: 'partial' }
  }
  if (open && !expired) {
    const { retryAfterMs } = last
    const at = nextAttempt(message.attempts, about.now, {
      random: about.random,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
    const nextAttemptAt = at < message.expiresAt || message.expiresAt <= about.now ? at : message.expiresAt
    return { ...base, state: 'deferred', nextAttemptAt, outcome: 'deferred' }
  }
  if (open) {
    const state = some('accepted') || some('bounced') ? 'partial' : 'expired'
    return { ...base, state, nextAttemptAt: null, outcome: 'failed' }
  }
  if (!some('accepted')) {
    // a report about an earlier transaction of the same message may have come meanwhile
    return { ...base, state: some('bounced') ? 'bounced' : 'failed', nextAttemptAt: null, outcome: 'failed' }
  }
  const state = some('rejected') || some('bounced') ? 'partial' : 'sent'
  return { ...base, state, nextAttemptAt: null, outcome: state, transcript: state === 'sent' ? null : base.transcript }
}
