// Turns what a peer said into a named verdict, by the ordered rules of the catalogue. Pure.

import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { Failure, type Direction, type Refusal, type Stage, type Verdict } from '../base/failure.ts'
import { flagEntryOf, UNCLASSIFIED, type FlagEntry } from './catalogue.ts'
import { evidenceOf } from './mask.ts'
import { factsOf } from './normalise.ts'
import { rules } from './rules.ts'

const LANES: Record<Stage, readonly Direction[]> = { token: ['receive', 'send'], pop3: ['receive'], smtp: ['send'] }
/** From here on a refusal concerns this message; whether the next one fares better is not known. */
const MESSAGE_STEPS = new Set(['mail', 'rcpt', 'data', 'dot'])

/** The flag, whose fault it is and whether waiting helps. What no rule knows is 'unclassified', and temporary. */
export function classify(refusal: Refusal): Verdict {
  const facts = factsOf(refusal)
  const rule = rules.find((candidate) => candidate.matches(facts))
  const entry = flagEntryOf(rule?.flag ?? UNCLASSIFIED)
  const scope = rule?.scope ?? entry.scope
  const persistence = rule?.persistence ?? entry.persistence
  const ofMessage = scope === 'message' || scope === 'recipient'
  const unknownAtMessage = !rule && refusal.stage === 'smtp' && MESSAGE_STEPS.has(refusal.step ?? '')
  const blocks = ofMessage || unknownAtMessage ? [] : lanesOf(entry, refusal.stage)
  const said = refusal.retryAfterMs ?? (persistence === 'transient' ? waitIn(facts.text) : undefined)
  const waitMs = said ?? (entry.waitSeconds === undefined ? undefined : entry.waitSeconds * 1_000)
  return { flag: entry.flag, scope, persistence, blocks, ...(waitMs !== undefined && { retryAfterMs: waitMs }) }
}

const lanesOf = ({ blocks }: FlagEntry, stage: Stage): readonly Direction[] =>
  blocks === 'stage' ? LANES[stage] : blocks

const WAIT =
  /\b(?:try(?:ing)? again|retry|retry[- ]after|wait|come back|gr[ae]y-?listed)(?: (?:in|after|for|at least|about|another)){0,2}:? (\d{1,6}) ?(s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b/i
const UNIT_MS: Readonly<Record<string, number>> = { s: SECOND_MS, m: MINUTE_MS, h: HOUR_MS }

/** A wait told in words, as "try again in 300 seconds"; more than a day is not believed. */
function waitIn(text: string): number | undefined {
  const [, count, unit] = WAIT.exec(text) ?? []
  const unitMs = UNIT_MS[unit?.[0]?.toLowerCase() ?? '']
  return unitMs === undefined ? undefined : Math.min(DAY_MS, Number(count) * unitMs)
}

/** Classifies and wraps in one step; the evidence is the reply with everything secret masked. */
export function refuse(refusal: Refusal, cause?: unknown): Failure {
  return new Failure(
    classify(refusal),
    { stage: refusal.stage, step: refusal.step ?? '', evidence: evidenceOf(refusal) },
    cause === undefined ? undefined : { cause },
  )
}
