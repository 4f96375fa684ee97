// What a server refuses, and whose fault that is: recipient, message, or the server itself.

import { expect } from 'vitest'
import { row } from '../../support/figures.ts'
import { withOutbound, type Sender } from '../../support/outbound.ts'
import type { Answer, SmtpScript } from '../../support/scripted-smtp.ts'

const CLOSING = { raw: '421 4.3.2 Service not active\r\n', end: 'close' } as const

/** Up to the login nothing was said about the message. */
const CLOSES: readonly (readonly [string, boolean])[] = [
  ['(greeting)', false],
  ['EHLO', false],
  ['AUTH', false],
  ['MAIL', true],
  ['RCPT', true],
  ['DATA', true],
  ['.', true],
]

row(
  'C6',
  '421 at each phase: tried again, soon where only the lane waited; nothing failed, doubted or doubled',
  { fast: true },
  () =>
    withOutbound({}, async ({ sender }) => {
      const waits: string[] = []
      for (const [at, mayCount] of CLOSES) {
        let closing = true
        const answer = (command: string): Answer | undefined =>
          closing && command.startsWith(at) ? CLOSING : undefined
        const busy = await sender({ answer })
        const id = await busy.submit('eins')
        const before = Date.now()
        await busy.drain()
        const { state, attempts, next_attempt_at: next, last_reply } = await busy.row(id)
        expect([at, ['held', 'queued', 'deferred']]).toEqual([at, expect.arrayContaining([state])])
        expect([at, attempts]).toEqual([at, state === 'deferred' && mayCount ? 1 : 0])
        expect(last_reply).toContain('421 4.3.2')
        const waitSeconds = ((next?.getTime() ?? 0) - before) / 1000
        expect(waitSeconds).toBeGreaterThan(1)
        expect(waitSeconds).toBeLessThan(400)
        waits.push(`${at} ${waitSeconds.toFixed(0)} s`)
        closing = false
        await busy.makeDue()
        await busy.drain()
        expect([at, await busy.row(id)]).toMatchObject([at, { state: 'sent', attempts: attempts + 1, repeated: false }])
        expect(busy.copies('eins')).toBe(1)
      }
      return `next try after: ${waits.join(', ')}; all sent once`
    }),
)

const RECIPIENTS = ['gut@example.test', 'weg@example.test', 'voll@example.test']

row(
  'C7',
  'of three recipients one is refused for good and one for now: each has an outcome of its own',
  { fast: true },
  () =>
    withOutbound({}, async ({ sender }) => {
      let full = true
      const offered: string[] = []
      const picky = await sender({
        extensions: ['PIPELINING'],
        answer: (command) => {
          if (command.startsWith('RCPT')) offered.push(/<(.*?)>/.exec(command)?.[1] ?? '')
          if (command.includes('<weg@')) return '550 5.1.1 no such user'
          return full && command.includes('<voll@') ? '451 4.2.2 mailbox full' : undefined
        },
      })
      const id = await picky.submit('eins', { to: RECIPIENTS })
      await picky.drain()
      expect((await picky.row(id)).state).toBe('deferred')
      expect(await picky.recipients(id)).toEqual([
        { address: 'gut@example.test', state: 'accepted', reply_code: 250 },
        { address: 'voll@example.test', state: 'deferred', reply_code: 451 },
        { address: 'weg@example.test', state: 'rejected', reply_code: 550 },
      ])
      full = false
      offered.length = 0
      await picky.makeDue()
      await picky.drain()
      expect(offered).toEqual(['voll@example.test'])
      expect(await picky.row(id)).toMatchObject({ state: 'partial', attempts: 2, repeated: false })
      expect(picky.server.seen.taken.map(({ recipients }) => recipients)).toEqual([
        ['gut@example.test'],
        ['voll@example.test'],
      ])
      expect(picky.copies('eins')).toBe(1)
      return 'accepted 1, rejected 1, deferred 1 and accepted at attempt 2; each offered no more than needed, copies 1'
    }),
)

/** By what is refused; the words that the outbox must show. */
const REFUSED: Readonly<Record<string, readonly [(command: string) => boolean, string]>> = {
  'every recipient': [(command) => command.startsWith('RCPT'), '550 5.1.1 <user> unknown'],
  'the sender': [(command) => command.startsWith('MAIL'), '550 5.1.7 bad sender'],
  DATA: [(command) => command === 'DATA', '554 5.6.0 no'],
  'the content': [(command) => command === '.', '550 5.7.1 spam, go away'],
}

row(
  'C8',
  'all recipients, the sender, DATA or the content is refused: failed, with the reason, and the lane works on',
  { fast: true },
  () =>
    withOutbound({}, async ({ sender }) => {
      for (const extensions of [[], ['PIPELINING']])
        for (const [what, [matches, reply]] of Object.entries(REFUSED)) {
          let refusing = true
          const strict = await sender({
            extensions,
            answer: (command) => (refusing && matches(command) ? reply : undefined),
            after: (command) => void (command === '.' && (refusing = false)),
          })
          const id = await strict.submit('nein', { to: ['a@example.test', 'b@example.test'] })
          await strict.drain()
          const { last_reply, ...rest } = await strict.row(id)
          expect([what, rest]).toMatchObject([what, { state: 'failed', attempts: 1, next_attempt_at: null }])
          expect([what, last_reply]).toEqual([what, expect.stringContaining(reply)])
          if (what === 'every recipient')
            expect((await strict.recipients(id)).map(({ reply_code }) => reply_code)).toEqual([550, 550])
          expect(await strict.flags()).toEqual([])
          refusing = false
          const next = await strict.submit('ja')
          await strict.drain()
          expect([what, (await strict.row(next)).state]).toEqual([what, 'sent'])
          expect([strict.copies('nein'), strict.copies('ja')]).toEqual([0, 1])
        }
      const cases = Object.keys(REFUSED).length
      return `${cases} of ${cases} failed at attempt 1 with the server's words, copies 0; the next message is sent`
    }),
)

const BIG = { sizeBytes: 20_000 }

interface SizeCase {
  readonly what: string
  readonly script: SmtpScript
  readonly state: string
}
const SIZES: readonly SizeCase[] = [
  {
    what: 'announced, refused at MAIL',
    script: {
      extensions: ['SIZE 10000'],
      answer: (c) => (Number(/SIZE=(\d+)/.exec(c)?.[1] ?? 0) > 10_000 ? '552 5.3.4 too big' : undefined),
    },
    state: 'failed',
  },
  {
    what: 'announced, and refused only after the data',
    script: { extensions: ['SIZE 10000'], answer: (c) => (c === '.' ? '552 5.3.4 too big' : undefined) },
    state: 'failed',
  },
  { what: 'after the data', script: { answer: (c) => (c === '.' ? '552 5.3.4 too big' : undefined) }, state: 'failed' },
  {
    what: 'in the middle of the data',
    script: {
      onBody: (received) => (received > 10_000 ? { raw: '552 5.3.4 too big\r\n', end: 'close' } : undefined),
    },
    state: 'failed',
  },
  {
    what: 'for now, after the data',
    script: { answer: (c) => (c === '.' ? '452 4.3.1 disk full' : undefined) },
    state: 'deferred',
  },
]

row('C13', 'the message is too large, as announced or found out later: no endless retry', { fast: true }, () =>
  withOutbound({}, async ({ sender }) => {
    for (const { what, script, state } of SIZES) {
      const small = await sender(script)
      const id = await small.submit('gross', BIG)
      for (let turn = 0; turn < 3; turn++) {
        await small.drain()
        if (state === 'failed') await small.makeDue()
      }
      expect([what, await small.row(id)]).toMatchObject([what, { state, attempts: 1 }])
      expect([what, offers(small)]).toEqual([what, 1])
      if (state === 'deferred') expect((await small.row(id)).next_attempt_at?.getTime()).toBeGreaterThan(Date.now())
    }
    return `offered once in each of ${SIZES.length} cases; refused for good: failed; for now: deferred on the schedule`
  }),
)

/** How often the message was offered at all; a server's announced limit may keep it from being offered. */
const offers = ({ server }: Sender): number =>
  Math.max(1, server.seen.commands.filter((command) => command.startsWith('MAIL')).length)
