// The ordered rules that name a refusal: data in rules/*.json, checked and compiled when they are loaded. All matchers a rule
// gives must hold; the first rule that matches wins.

import { z } from 'zod'
import { PERSISTENCES, PROVIDERS, SCOPES, STAGES } from '../base/failure.ts'
import { readData } from './catalogue.ts'
import type { Facts } from './normalise.ts'

const some = <T extends z.ZodType>(item: T) => z.array(item).min(1)

const rule = z.strictObject({
  flag: z.string(),
  /** Only where the same words mean different things. */
  provider: z.enum(PROVIDERS).optional(),
  stage: z.enum(STAGES).optional(),
  step: some(z.string()).optional(),
  aadsts: some(z.int().positive()).optional(),
  oauthError: some(z.string()).optional(),
  errorSubtype: some(z.string()).optional(),
  httpStatus: some(z.union([z.int(), z.enum(['2xx', '3xx', '4xx', '5xx'])])).optional(),
  /** The response code of an -ERR line (RFC 2449 section 8), without brackets. */
  tag: z.string().optional(),
  /** SMTP reply codes, or their first digit. */
  code: some(z.union([z.int().min(400).max(599), z.enum(['4', '5'])])).optional(),
  enhanced: some(z.string().regex(/^[45]\.\d+\.\d+$/)).optional(),
  /** Codes of local errors; `*` stands for anything. */
  errorCode: some(z.string().regex(/^[A-Z_*\d]+$/)).optional(),
  /** A regular expression on the normalised text; case does not matter. */
  text: z.string().min(1).optional(),
  scope: z.enum(SCOPES).optional(),
  persistence: z.enum(PERSISTENCES).optional(),
})
export type RuleData = z.infer<typeof rule>

export interface Rule extends RuleData {
  readonly matches: (facts: Facts) => boolean
}

export const rules: readonly Rule[] = readData('rules', rule).map((data) => ({ ...data, matches: matcherOf(data) }))

const knownNumbers = new Set(rules.flatMap((data) => data.aadsts ?? []))

/** Of several numbers the last one that a rule knows is the cause; the first ones only say "credentials". */
export const decisiveNumber = (numbers: readonly number[]): number | undefined =>
  numbers.findLast((number) => knownNumbers.has(number)) ?? numbers.at(-1)

const has = <T>(list: readonly T[], value: T | undefined): boolean => value !== undefined && list.includes(value)

function matcherOf(data: RuleData): (facts: Facts) => boolean {
  const tests: ((facts: Facts) => boolean)[] = []
  const { provider, stage, step, aadsts, oauthError, errorSubtype, httpStatus, tag, code, enhanced, errorCode } = data
  if (stage) tests.push((f) => f.stage === stage)
  if (provider) tests.push((f) => f.provider === provider)
  if (step) tests.push((f) => has(step, f.step))
  if (aadsts) tests.push((f) => has(aadsts, decisiveNumber(f.aadsts)))
  // Entra's `error` misleads: where there is a number, it decides alone.
  if (oauthError) tests.push((f) => f.aadsts.length === 0 && has(oauthError, f.oauthError))
  if (errorSubtype) tests.push((f) => has(errorSubtype, f.errorSubtype))
  if (httpStatus)
    tests.push(
      ({ httpStatus: s }) => s !== undefined && httpStatus.some((h) => h === s || h === `${Math.trunc(s / 100)}xx`),
    )
  if (tag) tests.push((f) => f.tag === tag)
  if (code) tests.push((f) => has(code, f.code) || (f.replyClass !== undefined && code.some((c) => c === f.replyClass)))
  if (enhanced) tests.push((f) => has(enhanced, f.enhanced))
  if (errorCode) {
    const patterns = errorCode.map((pattern) => new RegExp(`^${pattern.replaceAll('*', '[A-Z_/\\d]*')}$`))
    tests.push((f) => f.errorCodes.some((c) => patterns.some((pattern) => pattern.test(c))))
  }
  if (data.text !== undefined) {
    const pattern = new RegExp(data.text, 'i')
    tests.push((f) => pattern.test(f.text))
  }
  return (facts) => tests.every((test) => test(facts))
}
