import { describe, expect, test } from 'vitest'
import { DAY_MS, later, MINUTE_MS } from '../../../src/base/clock.ts'
import { Failure, type Persistence, type Scope } from '../../../src/base/failure.ts'
import type { ClaimedMessage } from '../../../src/db/outbound.ts'
import type { UncertainPolicy } from '../../../src/db/schema.ts'
import type { OutboundState, RecipientState } from '../../../src/db/schema-outbound.ts'
import {
  decide,
  isLaneFault,
  type AttemptResult,
  type Circumstances,
  type RecipientReply,
} from '../../../src/delivery/outcome.ts'

const NOW = new Date('2026-03-11T10:00:00Z')
const ABOUT: Circumstances = {
  now: NOW,
  random: 0.5,
  policy: 'retry_once',
  transcript: 'C: MAIL FROM:<a@b.example>',
  accountEmail: 'a@b.example',
}

const BEFORE: ClaimedMessage['before'] = { state: 'queued', repeated: false, nextAttemptAt: later(NOW, -DAY_MS) }

const failure = (scope: Scope, persistence: Persistence, step = 'rcpt', retryAfterMs?: number): Failure =>
  new Failure(
    {
      flag: `${scope}_${persistence}`,
      scope,
      persistence,
      blocks: [],
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    },
    { stage: 'smtp', step, evidence: `what ${scope} said` },
  )

/** Recipients r1, r2 ... in the given states. */
const message = (states: readonly RecipientState[], over: Partial<ClaimedMessage> = {}): ClaimedMessage => ({
  id: 1,
  attempt: 1,
  attempts: 1,
  envelopeFrom: 'a@b.example',
  sizeBytes: 100,
  repeated: false,
  before: BEFORE,
  expiresAt: later(NOW, DAY_MS),
  recipients: states.map((state, i) => ({ ordinal: i + 1, address: `r${i + 1}@c.example`, state })),
  ...over,
})

const REFUSALS = {
  '4yz': failure('recipient', 'transient'),
  '5yz': failure('recipient', 'permanent'),
  account: failure('account', 'human'),
  'account for good': failure('account', 'permanent'),
}
type Answer = 'ok' | keyof typeof REFUSALS

const reply = (number: number, answer: Answer): RecipientReply => {
  const address = `r${number}@c.example`
  if (answer === 'ok') return { address, accepted: true, code: 250, reply: '250 ok' }
  return {
    address,
    accepted: false,
    code: answer === '4yz' ? 450 : 550,
    enhancedCode: '5.1.1',
    reply: 'no',
    failure: REFUSALS[answer],
  }
}
const replied = (answers: Readonly<Record<number, Answer>>): AttemptResult => ({
  kind: 'replied',
  reply: '250 queued',
  recipients: Object.entries(answers).map(([number, answer]) => reply(Number(number), answer)),
})

describe('the recipients of one attempt and of earlier ones fold into one state', () => {
  test.each<[RecipientState[], Record<number, Answer>, string, string]>([
    [['pending'], { 1: 'ok' }, 'sent', 'sent'],
    [['pending', 'pending'], { 1: 'ok', 2: 'ok' }, 'sent', 'sent'],
    [['pending', 'pending'], { 1: 'ok', 2: '5yz' }, 'partial', 'partial'],
    [['pending', 'pending'], { 1: 'ok', 2: '4yz' }, 'deferred', 'deferred'],
    [['pending', 'pending', 'pending'], { 1: 'ok', 2: '4yz', 3: '5yz' }, 'deferred', 'deferred'],
    [['pending', 'pending'], { 1: '5yz', 2: '4yz' }, 'deferred', 'deferred'],
    [['pending', 'pending'], { 1: '5yz', 2: '5yz' }, 'failed', 'failed'],
    [['accepted', 'deferred'], { 2: 'ok' }, 'sent', 'sent'],
    [['accepted', 'deferred'], { 2: '4yz' }, 'deferred', 'deferred'],
    [['accepted', 'deferred'], { 2: '5yz' }, 'partial', 'partial'],
    [['rejected', 'deferred'], { 2: 'ok' }, 'partial', 'partial'],
    [['rejected', 'deferred'], { 2: '5yz' }, 'failed', 'failed'],
    [['accepted', 'rejected', 'deferred'], { 3: 'ok' }, 'partial', 'partial'],
    [['bounced', 'deferred'], { 2: 'ok' }, 'partial', 'partial'],
    [['bounced', 'deferred'], { 2: '5yz' }, 'bounced', 'failed'],
  ])('%j answered %j: %s', (before, answers, state, outcome) => {
    const { settlement, laneFailure } = decide(message(before), replied(answers), ABOUT)
    expect([settlement.state, settlement.outcome]).toEqual([state, outcome])
    expect(settlement.giveBack).toBe(false)
    expect(settlement.nextAttemptAt !== null).toBe(state === 'deferred')
    expect(laneFailure).toBeUndefined()
  })

  test('and each answer is kept with its codes, text and flag', () => {
    const { settlement } = decide(message(['accepted', 'pending', 'pending']), replied({ 2: 'ok', 3: '5yz' }), ABOUT)
    expect(settlement.recipients).toEqual([
      { ordinal: 2, state: 'accepted', code: 250, enhancedCode: null, reply: '250 ok', flag: null },
      { ordinal: 3, state: 'rejected', code: 550, enhancedCode: '5.1.1', reply: 'no', flag: 'recipient_permanent' },
    ])
    expect(settlement.flag).toBe('recipient_permanent')
    expect(settlement.transcript).toBe(ABOUT.transcript)
  })

  test('and of a message that was sent no transcript is kept', () => {
    expect(decide(message(['pending']), replied({ 1: 'ok' }), ABOUT).settlement).toMatchObject({
      transcript: null,
      flag: null,
      reply: '250 queued',
    })
  })
})

describe('whose fault a refusal of the whole message is', () => {
  test.each<[string, Failure, string, RecipientState | undefined]>([
    ['a 4yz about the message', failure('message', 'transient', 'data'), 'deferred', 'deferred'],
    ['a 5yz about the message', failure('message', 'permanent', 'data'), 'failed', 'rejected'],
    ['a 5yz about the recipient', failure('recipient', 'permanent'), 'failed', 'rejected'],
    ['a message that needs a human', failure('message', 'human', 'data'), 'deferred', 'deferred'],
    ['a connection lost within the message', failure('network', 'transient', 'data'), 'deferred', 'deferred'],
    ['a connection lost for good within the message', failure('network', 'permanent', 'data'), 'deferred', 'deferred'],
  ])('is the message: %s', (_what, fault, state, recipient) => {
    const { settlement, laneFailure } = decide(
      message(['pending', 'pending', 'accepted', 'rejected']),
      { kind: 'refused', failure: fault },
      ABOUT,
    )
    expect(settlement.state).toBe(state === 'failed' ? 'partial' : state)
    expect(settlement.recipients.map((r) => [r.ordinal, r.state])).toEqual([
      [1, recipient],
      [2, recipient],
    ])
    expect(settlement).toMatchObject({ giveBack: false, flag: fault.flag, step: fault.step, reply: fault.evidence })
    expect(laneFailure).toBeUndefined()
    expect(decide(message(['pending']), { kind: 'refused', failure: fault }, ABOUT).settlement.state).toBe(state)
  })

  const scopes: Scope[] = ['account', 'tenant', 'app', 'server', 'service']
  const persistences: Persistence[] = ['transient', 'permanent', 'human']
  test.each(scopes.flatMap((scope) => persistences.map((persistence) => [scope, persistence] as const)))(
    'is the %s (%s): the message waits on, and the attempt is given back',
    (scope, persistence) => {
      const fault = failure(scope, persistence, 'mail')
      const { settlement, laneFailure } = decide(
        message(['pending', 'accepted']),
        { kind: 'refused', failure: fault },
        ABOUT,
      )
      expect(settlement).toEqual({
        state: 'queued',
        nextAttemptAt: NOW,
        giveBack: true,
        outcome: 'returned',
        recipients: [],
        step: 'mail',
        reply: fault.evidence,
        flag: fault.flag,
        transcript: ABOUT.transcript,
      })
      expect(laneFailure).toBe(fault)
    },
  )

  test.each([
    ['dns', true],
    ['egress', true],
    ['connect', true],
    ['tls', true],
    ['greeting', true],
    ['ehlo', true],
    ['starttls', true],
    ['auth', true],
    ['mail', false],
    ['rcpt', false],
    ['data', false],
    ['handing_over', false],
  ])('is the network at %s: %s', (step, lane) => {
    const fault = failure('network', 'transient', step)
    expect(isLaneFault(fault)).toBe(lane)
    expect(decide(message(['pending']), { kind: 'refused', failure: fault }, ABOUT).settlement.giveBack).toBe(lane)
  })

  test('is never the message after its time is over either, where the account is at fault', () => {
    const late = message(['pending'], { expiresAt: later(NOW, -1) })
    expect(
      decide(late, { kind: 'refused', failure: failure('account', 'human', 'auth') }, ABOUT).settlement.state,
    ).toBe('queued')
  })
})

describe('a fault of the account among the answers to the recipients', () => {
  test('is the account alone where nobody was accepted', () => {
    const { settlement, laneFailure } = decide(
      message(['pending', 'pending']),
      replied({ 1: '5yz', 2: 'account' }),
      ABOUT,
    )
    expect(settlement).toMatchObject({ state: 'queued', giveBack: true, recipients: [] })
    expect(laneFailure?.flag).toBe('account_human')
  })

  test.each<Answer>(['account', 'account for good'])(
    'lets that recipient wait where others were accepted, and rejects nobody (%s)',
    (answer) => {
      const { settlement, laneFailure } = decide(
        message(['pending', 'pending']),
        replied({ 1: 'ok', 2: answer }),
        ABOUT,
      )
      expect(settlement.state).toBe('deferred')
      expect(settlement.recipients.map((r) => r.state)).toEqual(['accepted', 'deferred'])
      expect(laneFailure).toBeUndefined()
    },
  )
})

describe('an outcome that nobody knows', () => {
  test.each<[UncertainPolicy, boolean, number | null]>([
    ['retry_once', false, 15],
    ['retry_once', true, null],
    ['retry', false, 15],
    ['retry', true, 15],
    ['hold', false, null],
    ['hold', true, null],
  ])('under the policy %s, repeated before: %s, is repeated after %s minutes', (policy, repeated, minutes) => {
    const result: AttemptResult = {
      kind: 'unknown',
      step: 'handing_over',
      evidence: 'the connection broke after the final dot',
    }
    const { settlement, laneFailure } = decide(message(['pending'], { repeated }), result, { ...ABOUT, policy })
    expect(settlement).toEqual({
      state: 'uncertain',
      nextAttemptAt: minutes === null ? null : later(NOW, minutes * MINUTE_MS),
      giveBack: false,
      outcome: 'uncertain',
      recipients: [],
      step: 'handing_over',
      reply: 'the connection broke after the final dot',
      flag: 'outcome_unknown',
      transcript: ABOUT.transcript,
    })
    // whoever dropped this reply would drop the next one too
    expect(laneFailure?.verdict).toMatchObject({ flag: 'outcome_unknown', persistence: 'transient' })
  })
})

test('a service that stops gives the attempt back and blames nobody', () => {
  const { settlement, laneFailure } = decide(message(['pending']), { kind: 'interrupted' }, ABOUT)
  expect(settlement).toMatchObject({
    state: 'queued',
    nextAttemptAt: BEFORE.nextAttemptAt,
    giveBack: true,
    flag: null,
    recipients: [],
  })
  expect(laneFailure).toBeUndefined()
})

describe('an attempt that is given back leaves the message as it was', () => {
  test.each<[OutboundState, OutboundState]>([
    ['scheduled', 'queued'],
    ['queued', 'queued'],
    ['deferred', 'deferred'],
    ['uncertain', 'uncertain'],
  ])('%s: %s', (state, after) => {
    const { settlement } = decide(
      message(['pending'], { before: { ...BEFORE, state } }),
      { kind: 'interrupted' },
      ABOUT,
    )
    expect(settlement).toMatchObject({ state: after, outcome: 'returned' })
  })

  test('in its old place where it had no say, behind the others where it had: it may be the reason', () => {
    const at = (step: string) =>
      decide(message(['pending']), { kind: 'refused', failure: failure('account', 'human', step) }, ABOUT).settlement
    expect(at('auth').nextAttemptAt).toEqual(BEFORE.nextAttemptAt)
    expect(at('dot').nextAttemptAt).toEqual(NOW)
  })
})

describe('a sender that may not be named', () => {
  const denied = new Failure(
    { flag: 'send_as_denied', scope: 'account', persistence: 'human', blocks: ['send'] },
    { stage: 'smtp', step: 'mail', evidence: '550 5.7.60 no' },
  )

  test('stops the message that names it and not the lane, where it is not the account itself', () => {
    const { settlement, laneFailure, concern } = decide(
      message(['pending'], { envelopeFrom: 'other@b.example' }),
      { kind: 'refused', failure: denied },
      ABOUT,
    )
    expect(laneFailure).toBeUndefined()
    expect(concern).toBe(denied)
    expect(settlement).toMatchObject({ state: 'queued', giveBack: true, nextAttemptAt: later(NOW, 60 * MINUTE_MS) })
  })

  test('stops the lane where it is', () => {
    const { laneFailure, concern } = decide(
      message(['pending'], { envelopeFrom: 'A@B.example' }),
      { kind: 'refused', failure: denied },
      ABOUT,
    )
    expect(laneFailure).toBe(denied)
    expect(concern).toBeUndefined()
  })
})

describe('more recipients than the server takes at once', () => {
  const tooMany = new Failure(
    { flag: 'recipient_limit_exceeded', scope: 'message', persistence: 'transient', blocks: [] },
    { stage: 'smtp', step: 'rcpt', evidence: '452 4.5.3 too many recipients' },
  )
  const refusal = (number: number): RecipientReply => ({ ...reply(number, '4yz'), failure: tooMany })

  test('go on at once with those that are left, and nobody was refused', () => {
    const result: AttemptResult = { kind: 'replied', reply: '250 queued', recipients: [reply(1, 'ok'), refusal(2)] }
    const { settlement } = decide(message(['pending', 'pending']), result, ABOUT)
    expect(settlement).toMatchObject({ state: 'queued', nextAttemptAt: NOW, giveBack: true, outcome: 'partial' })
    expect(settlement.recipients.map((r) => [r.ordinal, r.state])).toEqual([[1, 'accepted']])
  })

  test('wait like anything else where not one was taken', () => {
    const result: AttemptResult = { kind: 'replied', reply: '', recipients: [refusal(1)] }
    expect(decide(message(['pending']), result, ABOUT).settlement).toMatchObject({ state: 'deferred', giveBack: false })
  })

  test.each<[RecipientState, Answer, string]>([
    ['pending', 'ok', 'queued'],
    ['pending', '4yz', 'queued'],
    ['deferred', '4yz', 'deferred'],
    ['deferred', 'ok', 'queued'],
  ])('go on at once unless somebody would be asked again: %s, %s: %s', (before, answer, state) => {
    const result: AttemptResult = { kind: 'replied', reply: '', recipients: [reply(1, answer)] }
    expect(decide(message([before, before]), result, ABOUT).settlement.state).toBe(state)
  })
})

describe('the next attempt of a deferred message', () => {
  test('follows the schedule by the attempts that count', () => {
    const { settlement } = decide(message(['pending'], { attempts: 3 }), replied({ 1: '4yz' }), ABOUT)
    expect(settlement.nextAttemptAt).toEqual(later(NOW, 20 * MINUTE_MS))
  })

  test('comes when the server asked for it, and after the longest wait of several', () => {
    const wait = (number: number, minutes: number): RecipientReply => ({
      ...reply(number, '4yz'),
      failure: failure('recipient', 'transient', 'rcpt', minutes * MINUTE_MS),
    })
    const result: AttemptResult = { kind: 'replied', reply: '', recipients: [wait(1, 7), wait(2, 30)] }
    expect(decide(message(['pending', 'pending']), result, { ...ABOUT, random: 0 }).settlement.nextAttemptAt).toEqual(
      later(NOW, 30 * MINUTE_MS),
    )
    const refused: AttemptResult = { kind: 'refused', failure: failure('message', 'transient', 'data', 7 * MINUTE_MS) }
    expect(decide(message(['pending']), refused, { ...ABOUT, random: 0 }).settlement.nextAttemptAt).toEqual(
      later(NOW, 7 * MINUTE_MS),
    )
  })

  test('is not later than the end of its time', () => {
    const expiresAt = later(NOW, 2 * MINUTE_MS)
    expect(decide(message(['pending'], { expiresAt }), replied({ 1: '4yz' }), ABOUT).settlement).toMatchObject({
      state: 'deferred',
      nextAttemptAt: expiresAt,
    })
  })
})

describe('when the time of a message is over', () => {
  const expiresAt = NOW
  test.each<[RecipientState[], Record<number, Answer>, string]>([
    [['pending'], { 1: '4yz' }, 'expired'],
    [['pending', 'pending'], { 1: '4yz', 2: '5yz' }, 'expired'],
    [['pending', 'pending'], { 1: '4yz', 2: 'ok' }, 'partial'],
    [['accepted', 'deferred'], { 2: '4yz' }, 'partial'],
    [['pending'], { 1: 'ok' }, 'sent'],
    [['pending'], { 1: '5yz' }, 'failed'],
  ])('%j answered %j ends as %s', (before, answers, state) => {
    const { settlement } = decide(message(before, { expiresAt, attempts: 2 }), replied(answers), ABOUT)
    expect(settlement).toMatchObject({ state, nextAttemptAt: null })
  })

  test('because it had waited for its account, its first attempt is not its last', () => {
    const { settlement } = decide(message(['pending'], { expiresAt, attempts: 1 }), replied({ 1: '4yz' }), ABOUT)
    expect(settlement).toMatchObject({ state: 'deferred', nextAttemptAt: later(NOW, 5 * MINUTE_MS) })
  })
})
