// What a server says may hold anything; what an operator reads may not.

import { Writable } from 'node:stream'
import { sql } from 'kysely'
import { pino } from 'pino'
import { expect } from 'vitest'
import { row } from '../../support/figures.ts'
import { withInbound } from '../../support/inbound.ts'
import { letters } from '../../support/letters.ts'

/** Clears the screen, sets a title, rings, ends a line, turns the text round, hides. */
const NASTY =
  '\u001b[2J\u001b]0;pwned\u0007 \u0000\u0008\u007f\u009b31m \u202egnp.exe\u2066\u200b\u2028\u2029\ufeff\r \u0085'
const CONTROL = /[\p{Cc}\p{Cf}\u2028\u2029]/u
const STEPS = ['GREETING', 'USER', 'PASS', 'STAT', 'UIDL', 'LIST', 'RETR', 'DELE', 'QUIT']

row(
  'A17',
  'control characters in replies reach neither the log nor what the operator is shown',
  { fast: true },
  async () => {
    let lines = ''
    const log = pino(
      { level: 'trace' },
      new Writable({ write: (text: Buffer, _, done) => done(void (lines += text.toString())) }),
    )
    return await withInbound({ log, over: { delete_after_days: 0 } }, async ({ box, house, user, poll, relist }) => {
      const shown: string[] = []
      let replies = 0
      for (const verb of STEPS) {
        for (const reply of [`-ERR ${NASTY}`, `+OK ${NASTY}`, `-ERR [AUTH] ${NASTY}`, NASTY]) {
          for (const bytes of letters(3)) box.maildrop(user).add(bytes)
          const hangUp = verb === 'UIDL' || verb === 'LIST' || verb === 'RETR' ? ({ hangUp: 'close' } as const) : {}
          box.hooks = { seen: (event) => (event.verb === verb ? { reply, ...hangUp } : undefined) }
          await relist()
          const { failure } = await poll()
          if (failure) shown.push(failure.message, failure.evidence)
          await box.waitFor(() => box.maildrop(user).holder === undefined)
          replies += 1
        }
      }
      box.hooks = {}
      box.edits = { uidl: (all) => all.map((line, i) => (i % 2 ? line : `${line}${NASTY.replaceAll(/[\r\n]/g, '')}`)) }
      await relist()
      await poll()
      const { rows } = await sql<{ text: string | null }>`
      select evidence as text from poststelle.health_flags union all select evidence from poststelle.health_events
      union all select reason from poststelle.maildrop_uidls union all select reason from poststelle.ledger_gaps
      union all select evidence from poststelle.host_breakers`.execute(house.db)
      shown.push(...rows.flatMap(({ text }) => text ?? []))
      const logged = lines.split('\n').filter(Boolean)
      expect(shown.length).toBeGreaterThan(20)
      expect(logged.length).toBeGreaterThan(10)
      expect(shown.filter((text) => CONTROL.test(text))).toEqual([])
      // the log is JSON, in which an escape is as bad as what it stands for
      expect(
        logged.filter((line) => CONTROL.test(line) || deep(JSON.parse(line)).some((text) => CONTROL.test(text))),
      ).toEqual([])
      return `raw control characters 0 in ${shown.length} texts and ${logged.length} log lines, of ${replies} replies`
    })
  },
)

/** All texts in a value, but for stack traces, whose lines are our own. */
function deep(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === 'stack' ? [] : deep(inner)))
}
