// The classifier on the catalogue's real refusals, on the same refusals with everything incidental changed, and on hostile input.

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Provider, Refusal, Scope, Stage } from '../../../src/base/failure.ts'
import { flagEntryOf } from '../../../src/failures/catalogue.ts'
import { classify, refuse } from '../../../src/failures/classify.ts'
import { rules } from '../../../src/failures/rules.ts'

interface Sample {
  readonly id: string
  readonly provider: Provider
  readonly stage: Stage
  readonly sample: string
  readonly httpStatus?: number
  readonly flag: string
  readonly scope: Scope
  readonly retryable: boolean
}

const file = path.join(import.meta.dirname, '../../fixtures/refusals.json')
const samples = JSON.parse(readFileSync(file, 'utf8')) as readonly Sample[]

const refusalOf = (s: Sample, reply = s.sample): Refusal => ({
  provider: s.provider,
  stage: s.stage,
  reply,
  ...(s.httpStatus !== undefined && { httpStatus: s.httpStatus }),
})

/** The reply alone cannot tell this one from exo_pop_token_too_long; we never send the one-line form, so the token was too long. */
const SAME_WORDS = new Map([['exo_pop_one_line_auth', 'exo_pop_token_too_long']])
const expectedOf = (sample: Sample): Sample => samples.find(({ id }) => id === SAME_WORDS.get(sample.id)) ?? sample

/** The samples know neither recipient, server nor service: where the owner of a fault is named more exactly here, and why. */
const FINER: Readonly<Record<string, Scope>> = {
  // one address is refused; the other recipients of the message are not concerned
  recipient_rejected: 'recipient',
  recipient_rate_limited: 'recipient',
  // the network is fine: the peer itself answers that it cannot
  pop3_server_unavailable: 'server',
  pop3_connection_limit: 'server',
  smtp_temp_failure: 'server',
  smtp_rate_limited: 'server',
  token_endpoint_unavailable: 'server',
  // our own clock is wrong
  clock_skew: 'service',
}
const COARSE: readonly Scope[] = ['network', 'message']
const scopeOf = ({ flag, scope }: Sample): Scope => {
  const finer = FINER[flag]
  // a greylisted message stays the message's
  if (finer === undefined || !COARSE.includes(scope) || (scope === 'message' && finer !== 'recipient')) return scope
  return finer
}

describe('the refusals of the catalogue', () => {
  it('are 204', () => expect(samples).toHaveLength(204))

  it.each(samples)('$id is named, charged and dated', (sample) => {
    const expected = expectedOf(sample)
    const verdict = classify(refusalOf(sample))
    expect(verdict).toMatchObject({ flag: expected.flag, scope: scopeOf(expected) })
    const forGood = verdict.scope === 'message' || verdict.scope === 'recipient' ? 'permanent' : 'human'
    expect(verdict.persistence).toBe(expected.retryable ? 'transient' : forGood)
  })
})

const GUID = /\b[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}\b/gi
const shoutWords = (json: string): string =>
  json.replace(
    /("error_description"\s*:\s*")((?:[^"\\]|\\.)*)/,
    (_all, name: string, words: string) => name + words.replace(/[a-z]+/g, (w) => (w.length > 1 ? w.toUpperCase() : w)),
  )

const variants: readonly (readonly [string, (text: string) => string])[] = [
  ['other ids', (text) => text.replace(GUID, '01234567-89ab-cdef-0123-456789abcdef')],
  [
    'another host',
    (text) =>
      text.replace(
        /\[(?:Hostname=)?[A-Z\d.]+\.(?:outlook|exchangelabs)\.com[^\]]*\]/gi,
        '[AM0PR01CA0001.eurprd01.prod.exchangelabs.com 2023-09-12T20:59:57.214Z 08DBB276B7E699C4]',
      ),
  ],
  ['another session id', (text) => text.replace(/\S+ - gsmtp/, 'd9443c01a7336-1e2f0 - gsmtp')],
  ['another time', (text) => text.replace(/2026-03-11/g, '2031-12-30')],
  ['bare line feeds', (text) => text.replaceAll('\r\n', '\n').replaceAll(String.raw`\r\n`, String.raw`\n`)],
  ['one single line', (text) => text.replaceAll('\r\n', ' ').replaceAll(String.raw`\r\n`, ' ')],
  ['no-break spaces', (text) => text.replace(/(?<=[a-z]) (?=[a-z])/g, '\u00a0')],
  ['double spaces', (text) => text.replace(/(?<=[a-z]) (?=[a-z])/g, '  ')],
  ['capitals', (text) => (text.trimStart().startsWith('{') ? shoutWords(text) : text.toUpperCase())],
]

describe.each(variants)('with %s', (_name, change) => {
  it('every refusal keeps its name', () => {
    const named = samples.map((s) => [s.id, classify(refusalOf(s, change(s.sample))).flag])
    expect(named).toEqual(samples.map((s) => [s.id, expectedOf(s).flag]))
  })
})

describe('a provider that is not known', () => {
  const abroad = samples.filter((s) => s.provider !== 'generic')

  it('gets the same names for the words of Microsoft and Google', () => {
    const named = abroad.map((s) => [s.id, classify({ ...refusalOf(s), provider: 'generic' }).flag])
    expect(named).toEqual(abroad.map((s) => [s.id, expectedOf(s).flag]))
  })
})

describe('the rules', () => {
  it('only use flags of the catalogue', () => {
    for (const { flag } of rules) expect(flagEntryOf(flag).flag).toBe(flag)
  })

  it('never call a refused Exchange token a wrong password', () => {
    for (const step of ['auth', 'stat', undefined]) {
      const reply = '-ERR Authentication failure: unknown user name or bad password.'
      const verdict = classify({ provider: 'microsoft', stage: 'pop3', reply, ...(step && { step }) })
      expect(verdict).toMatchObject({ flag: 'pop3_auth_rejected', persistence: 'transient' })
    }
  })
})

describe('which lanes stop', () => {
  const token = '{"error":"invalid_client","error_description":"AADSTS7000222: expired","error_codes":[7000222]}'

  it.each<[string, Refusal, readonly string[]]>([
    ['both, without a token', { provider: 'microsoft', stage: 'token', reply: token }, ['receive', 'send']],
    ['receiving, for POP3', { provider: 'generic', stage: 'pop3', step: 'auth', reply: '-ERR [AUTH] no' }, ['receive']],
    ['sending, for SMTP', { provider: 'generic', stage: 'smtp', step: 'auth', reply: '535 5.7.8 no' }, ['send']],
    ['none, for one recipient', { provider: 'generic', stage: 'smtp', step: 'rcpt', reply: '550 5.1.1 no' }, []],
    ['none, for one message', { provider: 'generic', stage: 'smtp', step: 'dot', reply: '451 4.3.0 no' }, []],
    ['none, for the unknown at a message', { provider: 'generic', stage: 'smtp', step: 'dot', reply: 'what' }, []],
    ['its own, for the unknown', { provider: 'generic', stage: 'smtp', step: 'noop', reply: 'what' }, ['send']],
  ])('%s', (_name, refusal, blocks) => expect(classify(refusal).blocks).toEqual(blocks))
})

describe('how long to wait', () => {
  const wait = (reply: string): number | undefined =>
    classify({ provider: 'generic', stage: 'smtp', step: 'rcpt', reply }).retryAfterMs

  it('is read from the words of a temporary refusal', () => {
    expect(wait('451 4.7.1 Greylisted, please try again in 300 seconds')).toBe(300_000)
    expect(wait('450 4.2.0 Greylisted for 5 minutes')).toBe(300_000)
    expect(wait('421 4.7.0 retry after 2 hours')).toBe(7_200_000)
    expect(wait('450 4.7.1 try again in 999999 hours')).toBe(86_400_000)
  })

  it('is not read from a refusal for good, and not invented', () => {
    expect(wait('550 5.1.1 try again in 300 seconds')).toBeUndefined()
    expect(wait('451 4.7.1 try again later')).toBeUndefined()
  })

  it('is what a header said, where there was one', () => {
    const refusal: Refusal = { provider: 'google', stage: 'token', httpStatus: 429, reply: '', retryAfterMs: 7_000 }
    expect(classify(refusal)).toMatchObject({ flag: 'token_endpoint_throttled', retryAfterMs: 7_000 })
  })
})

describe('hostile input', () => {
  const MIB = 1024 * 1024
  const pieces = [
    'a',
    ' ',
    '[',
    '"',
    '{"error":',
    '535 5.7.8 ',
    '-ERR [AUTH] ',
    'AADSTS50126: ',
    'pop ',
    'sender not ',
    '[a.',
    '"aud""iss"',
    'account ',
    '\0',
    '\u00a0',
    '- gsmtp ',
  ]

  it.each(pieces)('of a megabyte of %j is judged in no time', (piece) => {
    const reply = piece.repeat(MIB / piece.length)
    const start = performance.now()
    for (const stage of ['token', 'pop3', 'smtp'] as const) {
      for (const prefix of ['', '550 ', '-ERR ', '{']) {
        const failure = refuse({ provider: 'generic', stage, step: 'auth', httpStatus: 200, reply: prefix + reply })
        expect(failure.evidence.length).toBeLessThanOrEqual(1_000)
      }
    }
    expect(performance.now() - start).toBeLessThan(4_000)
  })

  it('in a token answer is no reason to throw', () => {
    for (const reply of [
      '',
      'null',
      '[]',
      '{"error":null}',
      '{"error":{"status":7}}',
      '{"error":"x","error_codes":[null,"a",-1]}',
      '{"error":"x","error_codes":{}}',
    ]) {
      expect(['unclassified', 'token_response_invalid']).toContain(
        classify({ provider: 'microsoft', stage: 'token', reply, httpStatus: 400 }).flag,
      )
    }
  })
})
