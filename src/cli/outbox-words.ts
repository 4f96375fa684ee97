// What the commands of `poststelle outbox` say, in German and English.

import type { Change, Refusal } from '../db/outbox-changes.ts'
import type { HoldReason } from '../db/outbox.ts'
import type { OutboundState, RecipientState, AttemptOutcome } from '../db/schema-outbound.ts'
import type { Language } from '../health/verdict.ts'

type Words = readonly [german: string, english: string]

export const say = ([german, english]: Words, language: Language): string => (language === 'de' ? german : english)

const STATES: Readonly<Record<OutboundState, Words>> = {
  scheduled: ['Geplant', 'Scheduled'],
  queued: ['Wartet', 'Waiting'],
  sending: ['Wird gesendet', 'Being sent'],
  deferred: ['Zurückgestellt', 'Deferred'],
  held: ['Angehalten', 'Held'],
  uncertain: ['Ungewiss', 'Uncertain'],
  sent: ['Übergeben', 'Handed over'],
  partial: ['Teilweise übergeben', 'Partly handed over'],
  failed: ['Abgelehnt', 'Rejected'],
  expired: ['Frist abgelaufen', 'Expired'],
  bounced: ['Rückläufer erhalten', 'Bounced'],
  cancelled: ['Storniert', 'Cancelled'],
}

const HOLD_REASONS: Readonly<Record<HoldReason, Words>> = {
  manual: ['von Hand', 'by hand'],
  after_restore: ['nach Wiederherstellung', 'after a restore'],
  account_blocked: ['Konto gesperrt', 'account blocked'],
  account_paused: ['Versand aus', 'sending is off'],
  rate_limit: ['Mengenbegrenzung', 'rate limit'],
}

export function stateWords(state: OutboundState, holdReason: string | null, language: Language): string {
  const word = say(STATES[state], language)
  if (holdReason === null) return word
  const reason = HOLD_REASONS[holdReason as HoldReason] as Words | undefined
  return `${word} (${reason ? say(reason, language) : holdReason})`
}

const RECIPIENT_STATES: Readonly<Record<RecipientState, Words>> = {
  pending: ['offen', 'open'],
  accepted: ['übergeben', 'handed over'],
  deferred: ['zurückgestellt', 'deferred'],
  rejected: ['abgelehnt', 'rejected'],
  bounced: ['Rückläufer', 'bounced'],
}
export const recipientWords = (state: RecipientState, language: Language): string =>
  say(RECIPIENT_STATES[state], language)

const OUTCOMES: Readonly<Record<AttemptOutcome, Words>> = {
  sent: ['übergeben', 'handed over'],
  partial: ['teilweise übergeben', 'partly handed over'],
  failed: ['abgelehnt', 'rejected'],
  deferred: ['zurückgestellt', 'deferred'],
  uncertain: ['ungewiss', 'uncertain'],
  returned: ['abgebrochen, zählt nicht', 'broken off, does not count'],
}
export const outcomeWords = (outcome: AttemptOutcome | null, language: Language): string =>
  outcome === null ? say(['läuft', 'under way'], language) : say(OUTCOMES[outcome], language)

/** How far an attempt came decides whether a repeat may make a double. */
const PHASES: Readonly<Record<'claimed' | 'handing_over' | 'done', Words>> = {
  claimed: ['vor dem Datenende', 'before the end of data'],
  handing_over: ['Datenende erreicht, keine Bestätigung', 'end of data reached, no confirmation'],
  done: ['bestätigt', 'confirmed'],
}
export const phaseWords = (phase: 'claimed' | 'handing_over' | 'done', language: Language): string =>
  say(PHASES[phase], language)

const REFUSALS: Readonly<Record<Refusal, Words>> = {
  not_found: ['gibt es nicht', 'not there'],
  already: ['war es schon', 'was so before'],
  finished: ['ist abgeschlossen', 'is finished'],
  sending: ['wird gerade gesendet', 'is being sent'],
  handing_over: ['wird gerade übergeben', 'is being handed over'],
  uncertain: [
    'ist vielleicht schon übergeben; "outbox resolve" entscheidet, was gilt',
    'may have been handed over; "outbox resolve" decides what holds',
  ],
  not_uncertain: ['ist nicht ungewiss', 'is not uncertain'],
  held: ['ist angehalten; "outbox release" gibt frei', 'is held; "outbox release" lets it go'],
  not_held: ['ist nicht von Hand angehalten', 'is not held by hand'],
  scheduled: ['ist für später geplant', 'is scheduled for later'],
  busy: ['ist gerade in anderer Hand; gleich noch einmal', 'is in other hands; try again'],
  account_paused: ['der Versand des Kontos ist aus', 'sending is off for its account'],
}
export const refusalWords = (refusal: Refusal, language: Language): string => say(REFUSALS[refusal], language)

/** Before the number of messages. */
const PLANS: Readonly<Record<Change, Words>> = {
  retry: ['Sofort versuchen', 'To be tried at once'],
  hold: ['Anhalten', 'To be held'],
  release: ['Freigeben', 'To be released'],
  cancel: ['Stornieren', 'To be cancelled'],
  resolve_sent: ['Als übergeben werten', 'To be taken as handed over'],
  resolve_resend: ['Erneut senden, kann doppelt ankommen', 'To be sent again, may arrive twice'],
}
export const planWords = (change: Change, language: Language): string => say(PLANS[change], language)

/** Behind the number of messages. */
const DONE: Readonly<Record<Change, Words>> = {
  retry: ['zum sofortigen Versuch vorgemerkt', 'due now'],
  hold: ['angehalten', 'held'],
  release: ['freigegeben', 'released'],
  cancel: ['storniert', 'cancelled'],
  resolve_sent: ['als übergeben gewertet', 'taken as handed over'],
  resolve_resend: ['zum erneuten Senden vorgemerkt', 'to be sent again'],
}
export const doneWords = (change: Change, language: Language): string => say(DONE[change], language)

export const messages = (count: number, language: Language): string =>
  `${count} ${language === 'de' ? (count === 1 ? 'Nachricht' : 'Nachrichten') : count === 1 ? 'message' : 'messages'}`

const SOON_MS = 60_000
const DAY_MS = 86_400_000

/** "geht 14:05", with the day where it is another; in the time zone of this machine. Empty: nothing happens by itself. */
export function etaWords(eta: Date | null, now: Date, language: Language): string {
  if (eta === null) return ''
  if (eta.getTime() - now.getTime() < SOON_MS) return say(['geht gleich', 'goes now'], language)
  return `${say(['geht', 'goes'], language)} ${timeWords(eta, now, language)}`
}

/** "14:05" today, "27.11. 14:05" or "27 Nov 14:05" otherwise. */
export function timeWords(at: Date, now: Date, language: Language): string {
  const locale = language === 'de' ? 'de-DE' : 'en-GB'
  const time = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }).format(at)
  if (at.toDateString() === now.toDateString() && Math.abs(at.getTime() - now.getTime()) < DAY_MS) return time
  const day = new Intl.DateTimeFormat(
    locale,
    language === 'de' ? { day: '2-digit', month: '2-digit' } : { day: 'numeric', month: 'short' },
  ).format(at)
  return `${day} ${time}`
}
