// The connection dies, or falls silent, at every place of a submission: what that means for the message.

import { sql } from 'kysely'
import { expect, vi } from 'vitest'
import { MINUTE_MS, SECOND_MS } from '../../../src/base/clock.ts'
import { startFaultProxy } from '../../support/fault-proxy.ts'
import { row } from '../../support/figures.ts'
import { withOutbound, type Outbound, type Sender } from '../../support/outbound.ts'
import { makePki } from '../../support/pki.ts'
import type { SmtpScript, Step } from '../../support/scripted-smtp.ts'

const EXTENSIONS = ['8BITMIME', 'AUTH PLAIN LOGIN']
const PIPELINING = [...EXTENSIONS, 'PIPELINING']

interface Expected {
  readonly state: string
  readonly attempts: number
}
/** The lane is at fault: it is parked, and the message has lost nothing. */
const WAITS: Expected = { state: 'held', attempts: 0 }
/** The message may be at fault. */
const COUNTS: Expected = { state: 'deferred', attempts: 1 }
const UNKNOWN: Expected = { state: 'uncertain', attempts: 1 }

const end = 'reset'
const at = (word: string, step: Step = { end }): SmtpScript => ({
  answer: (command) => (command.startsWith(word) ? step : undefined),
})

const CUTS: readonly (readonly [string, SmtpScript, Expected])[] = [
  ['connect', { answer: (command) => (command === '(greeting)' ? { raw: '', end } : undefined) }, WAITS],
  ['half a greeting', at('(greeting)', { raw: '220 scrip', end: 'close' }), WAITS],
  ['EHLO', at('EHLO'), WAITS],
  ['half an EHLO reply', at('EHLO', { raw: '250-localhost\r\n250-8BIT', end }), WAITS],
  ['STARTTLS', { security: 'starttls', ...at('STARTTLS') }, WAITS],
  ['TLS', { security: 'starttls', ...at('STARTTLS', { raw: '220 go ahead\r\n', end: 'close' }) }, WAITS],
  [
    'EHLO within TLS',
    { security: 'starttls', answer: (c, secured) => (secured && c.startsWith('EHLO') ? { end } : undefined) },
    WAITS,
  ],
  ['AUTH', at('AUTH'), WAITS],
  ['MAIL', at('MAIL'), COUNTS],
  ['RCPT', at('RCPT'), COUNTS],
  ['DATA', at('DATA'), COUNTS],
  ['dot, RST', at('.'), UNKNOWN],
  ['dot, FIN', at('.', { end: 'close' }), UNKNOWN],
  ['dot, "250" without its end', at('.', { raw: '250 2.0.0 que', end: 'close' }), UNKNOWN],
  ['dot, "250-" without its last line', at('.', { raw: '250-2.0.0 queued\r\n', end: 'close' }), UNKNOWN],
]

async function cutAt(outbound: Outbound, what: string, script: SmtpScript, expected: Expected): Promise<void> {
  let cut = true
  const { answer } = script
  const sender = await outbound.sender({
    ...script,
    answer: (...asked) => (cut ? answer?.(...asked) : undefined),
  })
  const id = await sender.submit('eins')
  await sender.drain()
  const { state, attempts } = await sender.row(id)
  expect([what, { state, attempts }]).toEqual([what, expected])
  await endsWell(sender, id, 'eins', () => (cut = false))
}

/** The server is well again, and the message arrives; twice only where nobody can know better, and then it is said. */
async function endsWell(sender: Sender, id: number, name: string, mend: () => void): Promise<void> {
  const before = sender.copies(name)
  mend()
  await sender.makeDue()
  await sender.drain()
  const { state, repeated } = await sender.row(id)
  expect([state, sender.copies(name) - before]).toEqual(['sent', 1])
  if (before > 0) expect(repeated).toBe(true)
}

row(
  'C1',
  'the connection is cut after each phase: what the message becomes, and that it arrives',
  { fast: true },
  async () => {
    const pki = await makePki()
    try {
      return await withOutbound({ caPem: pki.ca }, async (outbound) => {
        for (const [what, script, expected] of CUTS)
          for (const extensions of [EXTENSIONS, PIPELINING])
            await cutAt(outbound, what, { ...script, tls: { cert: pki.cert, key: pki.key }, extensions }, expected)
        const named = (expected: Expected) => CUTS.filter((cut) => cut[2] === expected).length
        return `of ${CUTS.length} places: no attempt counted ${named(WAITS)}, deferred ${named(COUNTS)}, uncertain ${named(UNKNOWN)} (all after the dot); with and without PIPELINING`
      })
    } finally {
      await pki.stop()
    }
  },
)

/** Long enough for bytes and ends of connections that are on their way. */
const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
}

const POINTS = 50
const BODY_BYTES = 200_000

row('C1b', 'the connection is cut within the body: never uncertain, and it arrives once', { fast: true }, () =>
  withOutbound({}, async (outbound) => {
    const proxies: Awaited<ReturnType<typeof startFaultProxy>>[] = []
    let uncertain = 0
    try {
      for (let point = 0; point < POINTS; point++) {
        let release: (() => Promise<void>) | undefined
        const origin = await outbound.sender({
          // nothing of the hand-over can be committed before the cut is there to be seen
          before: async (command) => {
            if (command === 'DATA' && release === undefined) release = await outbound.holdCommits()
          },
        })
        const proxy = await startFaultProxy(origin.server.endpoint.port)
        proxies.push(proxy)
        await outbound.house.importAccounts([
          {
            email: origin.user,
            pop3: null,
            smtp: { host: 'localhost', port: proxy.port, security: 'none' },
            auth: { type: 'password', password: 'correct-horse' },
          },
        ])
        const id = await origin.submit('eins', { sizeBytes: BODY_BYTES })
        // the dialogue before the body has some 200 bytes; the last point lies just before the dot
        const cutAfterBytes = 300 + Math.floor(((BODY_BYTES - 400) * point) / (POINTS - 1))
        proxy.set({ up: { cutAfterBytes }, cut: point % 2 === 0 ? 'reset' : 'close' })
        const drained = origin.drain()
        await origin.server.waitFor(() => origin.server.seen.connections === 1 && origin.server.seen.open === 0)
        await turns()
        await release?.()
        await drained
        const { state, attempts } = await origin.row(id)
        expect([point, state, attempts]).toEqual([point, 'deferred', 1])
        if (state === 'uncertain') uncertain += 1
        await endsWell(origin, id, 'eins', () => proxy.set({}))
        expect(origin.copies('eins')).toBe(1)
      }
      return `uncertain ${uncertain} of ${POINTS} cuts within ${BODY_BYTES} bytes, copies 1 each`
    } finally {
      for (const proxy of proxies) await proxy.stop()
    }
  }),
)

/** The program's own timers go on by so much; nobody waits. */
async function withTimers(work: (pass: (ms: number) => Promise<void>) => Promise<string>): Promise<string> {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  try {
    return await work(async (ms) => void (await vi.advanceTimersByTimeAsync(ms)))
  } finally {
    vi.useRealTimers()
  }
}

row('C2', 'the reply to the dot comes after 9 minutes, or not within 10: sent once, or uncertain', { fast: true }, () =>
  withTimers((pass) =>
    withOutbound({}, async ({ sender }) => {
      const slow = await sender(at('.', { hang: true }))
      const untilDot = async (name: string): Promise<void> => {
        await slow.server.waitFor(() => slow.copies(name) === 1)
        await turns()
      }
      const first = await slow.submit('neun')
      const drainedFirst = slow.drain()
      await untilDot('neun')
      await pass(9 * MINUTE_MS)
      slow.server.say('250 2.0.0 at last')
      await drainedFirst
      expect(await slow.row(first)).toMatchObject({ state: 'sent', attempts: 1 })
      const second = await slow.submit('elf')
      const drainedSecond = slow.drain()
      await untilDot('elf')
      await pass(10 * MINUTE_MS - SECOND_MS)
      await turns()
      expect((await slow.row(second)).state).toBe('sending')
      await pass(2 * SECOND_MS)
      await drainedSecond
      expect(await slow.row(second)).toMatchObject({ state: 'uncertain', repeated: false })
      expect([slow.copies('neun'), slow.copies('elf')]).toEqual([1, 1])
      return 'after 9 min sent, copies 1; without a reply for 10 min uncertain, copies 1'
    }),
  ),
)

const POLICIES = [
  { policy: 'retry_once', copies: 2, repeats: true },
  { policy: 'hold', copies: 1, repeats: false },
  { policy: 'retry', copies: 4, repeats: true },
] as const

row(
  'C3',
  'silence after the dot, and the server did accept: repeated as the policy says, and marked',
  { fast: true },
  () =>
    withTimers((pass) =>
      withOutbound({}, async ({ sender, house }) => {
        const found: string[] = []
        for (const { policy, copies, repeats } of POLICIES) {
          const silent = await sender(at('.', { hang: true }))
          await sql`update poststelle.accounts set uncertain_policy = ${policy} where id = ${silent.id}`.execute(
            house.db,
          )
          const id = await silent.submit('eins')
          for (let round = 0; round < 4; round++) {
            const before = silent.copies('eins')
            const drained = silent.drain()
            // the last turns of a policy have nothing to send
            const ended = drained.then(() => true)
            const silence = silent.server.waitFor(() => silent.copies('eins') > before).then(() => false)
            if (!(await Promise.race([ended, silence]))) {
              await turns()
              await pass(10 * MINUTE_MS + SECOND_MS)
            }
            await drained
            const { state, repeated, next_attempt_at: at } = await silent.row(id)
            expect([policy, state, repeated]).toEqual([policy, 'uncertain', round > 0 && repeats])
            if (round === 0 && at) expect(at.getTime()).toBeGreaterThan(Date.now() + 10 * MINUTE_MS)
            await silent.makeDue()
          }
          expect([policy, silent.copies('eins')]).toEqual([policy, copies])
          found.push(`${policy} ${copies}`)
        }
        return `copies after four turns: ${found.join(', ')}; every copy but the first is marked`
      }),
    ),
)
