// Logins that are refused: how often we ask again, and what each refusal is taken for.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { DAY_MS, HOUR_MS } from '../../../src/base/clock.ts'
import { startTokenEndpoint } from '../../../src/sandbox/token-endpoint.ts'
import { row, sized } from '../../support/figures.ts'
import { withInbound } from '../../support/inbound.ts'
import { letter, letters } from '../../support/letters.ts'
import { ManualClock, mostWithin } from '../../support/manual-clock.ts'
import { UNHARMED } from '../../support/oracle.ts'
import { makePki } from '../../support/pki.ts'

row('A18', 'a wrong password for a day: a dozen logins at most', { fast: true }, () => {
  const clock = new ManualClock()
  return withInbound({ clock, now: () => clock.ms }, async ({ box, user, poll, nextAt, flags }) => {
    box.maildrop(user).password = 'another'
    const end = clock.ms + DAY_MS
    while (clock.ms < end) {
      await poll()
      clock.turnTo(await nextAt())
    }
    const times = box.seen.logins.filter(({ at }) => at < end).map(({ at }) => at)
    expect(times.length).toBeLessThanOrEqual(12)
    expect(times.length).toBeGreaterThan(3)
    expect((await flags()).map(({ flag }) => flag)).toEqual(['pop3_auth_rejected'])
    return `logins in 24 h ${times.length}, in any one hour at most ${mostWithin(times, HOUR_MS)}`
  })
})

row('A19', 'all accounts of one host are refused: one of them asks for all', { fast: true }, () => {
  const clock = new ManualClock()
  const users = Array.from({ length: sized(40, 200) }, (_, i) => `user${i + 1}@example.test`)
  return withInbound({ clock, users, now: () => clock.ms }, async ({ box, house, poll, nextAt }) => {
    for (const user of users) box.maildrop(user).password = 'another'
    const begun = clock.ms
    const due = new Map(users.map((user) => [user, clock.ms]))
    /** The account that is due next has its turn. */
    const turn = async (): Promise<void> => {
      const [user, at] = [...due].reduce((first, next) => (next[1] < first[1] ? next : first))
      clock.turnTo(new Date(at))
      await poll(user)
      due.set(user, (await nextAt(user)).getTime())
    }
    const breakers = async () =>
      (await sql<{ kind: string }>`select kind from poststelle.host_breakers`.execute(house.db)).rows
    while (clock.ms < begun + DAY_MS) await turn()
    const times = box.seen.logins.map(({ at }) => at)
    expect(await breakers()).toEqual([{ kind: 'login' }])
    expect(times.length).toBeLessThanOrEqual(20)
    expect(mostWithin(times, HOUR_MS)).toBeLessThanOrEqual(8)
    // the password is right again: the next probe opens the way for everybody
    for (const user of users) box.maildrop(user).password = 'correct-horse'
    const mended = clock.ms
    while ((await breakers()).length > 0) {
      expect(clock.ms).toBeLessThan(mended + DAY_MS / 4)
      await turn()
    }
    const hours = ((clock.ms - mended) / HOUR_MS).toFixed(1)
    return `${users.length} accounts, logins in 24 h ${times.length}, in any one hour at most ${mostWithin(times, HOUR_MS)}, breakers 1, closed by itself after ${hours} h`
  })
})

interface Expected {
  readonly flag: string
  readonly persistence: string
  readonly state: string
  /** Of three sessions; a refused login counts towards the breaker. */
  readonly refusedLogins: number
}

const CODES: Readonly<Record<string, Expected>> = {
  '-ERR [IN-USE] do you have another POP session running?': {
    flag: 'mailbox_in_use',
    persistence: 'transient',
    state: 'failing',
    refusedLogins: 0,
  },
  '-ERR [LOGIN-DELAY] minimum time between mail checks violation': {
    flag: 'pop3_login_delay',
    persistence: 'transient',
    state: 'failing',
    refusedLogins: 0,
  },
  '-ERR [SYS/TEMP] a dependency is away': {
    flag: 'pop3_server_unavailable',
    persistence: 'transient',
    state: 'failing',
    refusedLogins: 0,
  },
  '-ERR [SYS/PERM] this account has no maildrop': {
    flag: 'mailbox_not_accessible',
    persistence: 'human',
    state: 'blocked',
    refusedLogins: 5,
  },
  '-ERR [AUTH] no': { flag: 'pop3_auth_rejected', persistence: 'transient', state: 'failing', refusedLogins: 3 },
}

row(
  'A20',
  'response codes: each is taken for what it says, and only refused logins count as such',
  { fast: true },
  async () => {
    let right = 0
    for (const [reply, expected] of Object.entries(CODES)) {
      await withInbound({}, async ({ box, house, user, poll, flags, inspect }) => {
        for (const bytes of letters(3)) box.maildrop(user).add(bytes)
        box.hooks = { seen: ({ verb }) => (verb === 'PASS' ? { reply } : undefined) }
        for (let n = 0; n < 3; n++) expect((await poll()).failure?.flag).toBe(expected.flag)
        expect(await flags()).toMatchObject([
          { flag: expected.flag, persistence: expected.persistence, evidence: reply },
        ])
        const { rows } = await sql<{ state: string; probes: number }>`
        select state, probes from poststelle.account_health where direction = 'receive'`.execute(house.db)
        expect([reply, rows[0]]).toEqual([reply, { state: expected.state, probes: expected.refusedLogins }])
        box.hooks = {}
        await poll()
        expect(await flags()).toEqual([])
        expect(await inspect()).toMatchObject(UNHARMED)
        right += 1
        return ''
      })
    }
    return `classified right ${right} of ${Object.keys(CODES).length}, counted as a refused login: none of the first three`
  },
)

const TENANT = 'contoso.example'

row(
  'A22',
  'Exchange: the token goes in two lines, never in one, and the mail comes one by one',
  { fast: true },
  async () => {
    const pki = await makePki()
    const user = 'a@example.test'
    const client = '11111111-2222-3333-4444-555555555555'
    const grant = {
      email: user,
      tenant: TENANT,
      clientId: client,
      clientSecret: null,
      flows: ['password'],
      password: 'pw',
    } as const
    const tokens = await startTokenEndpoint({
      tls: pki,
      accounts: [{ ...grant, flows: ['password'] }],
      expiresInSeconds: 3_600,
    })
    const auth = {
      type: 'oauth2',
      flow: 'password',
      token_endpoint: tokens.tokenUrl(TENANT),
      client_id: client,
      scope: 'https://outlook.office365.com/.default offline_access',
      password: 'pw',
    }
    try {
      return await withInbound(
        { pki, provider: 'microsoft', users: [user], over: { auth }, tokens: (token) => tokens.check(token)?.email },
        async ({ box, poll, relist, inspect }) => {
          for (const bytes of letters(30)) box.maildrop(user).add(bytes)
          let ahead = 0
          let asked = 0
          box.hooks = {
            seen: ({ verb }) => void (verb === 'RETR' && (ahead = Math.max(ahead, ++asked))),
            answered: ({ verb }) => void (verb === 'RETR' && asked--),
          }
          expect(await poll()).toMatchObject({ stored: 30 })
          // the size of a message is only an estimate there
          await relist()
          expect(await poll()).toMatchObject({ stored: 0 })
          const lines = box.seen.commands.filter(({ line }) => line.startsWith('AUTH')).map(({ line }) => line)
          expect(new Set(lines)).toEqual(new Set(['AUTH XOAUTH2']))
          expect(box.seen.logins.filter(({ accepted }) => !accepted)).toEqual([])
          expect(ahead).toBe(1)
          expect(await inspect()).toMatchObject(UNHARMED)
          return `logins ${box.seen.logins.length} of ${lines.length} in two lines, stored 30 of 30`
        },
      )
    } finally {
      await tokens.close()
      await pki.stop()
    }
  },
)

row(
  'A21',
  'Gmail shows a slice at a time: drained in sessions that keep its delay, and the guard stays quiet',
  { fast: true },
  () => {
    const clock = new ManualClock()
    const count = sized(1_000, 3_000)
    const options = {
      clock,
      now: () => clock.ms,
      provider: 'google',
      habits: { listed: 260 },
      loginDelaySeconds: 300,
    } as const
    return withInbound(options, async ({ box, user, poll, nextAt, flags, inspect }) => {
      for (const bytes of letters(count)) box.maildrop(user).add(bytes)
      let sessions = 0
      for (let stored = 0; stored < count; sessions++) {
        expect(sessions).toBeLessThan(30)
        stored += (await poll()).stored
        clock.turnTo(await nextAt())
      }
      for (let n = 0; n < 3; n++) {
        await poll()
        clock.turnTo(await nextAt())
      }
      expect(await flags()).toEqual([])
      expect(await inspect()).toMatchObject(UNHARMED)
      const times = box.seen.logins.map(({ at }) => at)
      const gaps = times.slice(1).map((at, i) => (at - (times[i] ?? 0)) / 1000)
      expect(Math.min(...gaps)).toBeGreaterThanOrEqual(300)
      expect(Math.max(...gaps.slice(0, sessions - 1))).toBeLessThan(400)
      return `drained ${count} in ${sessions} sessions, ${Math.min(...gaps).toFixed(0)} s apart at least, false alarms 0`
    })
  },
)

row(
  'A21b',
  'a session breaks at a server with LOGIN-DELAY 300: the next login waits as after a good one',
  { fast: true },
  () => {
    const clock = new ManualClock()
    return withInbound(
      { clock, now: () => clock.ms, provider: 'google', loginDelaySeconds: 300 },
      async ({ box, user, poll, nextAt }) => {
        await poll()
        clock.turnTo(await nextAt())
        box.maildrop(user).add(letter('bricht ab'))
        box.hooks = { seen: ({ verb }) => (verb === 'RETR' ? { cutAfter: 20 } : undefined) }
        expect((await poll()).failure?.step).toBe('retr')
        clock.turnTo(await nextAt())
        box.hooks = {}
        expect((await poll()).failure).toBeUndefined()
        const [first = 0, second = 0, third = 0] = box.seen.logins.map(({ at }) => at / 1_000)
        expect(third - second).toBeGreaterThanOrEqual(300)
        return `logins ${(second - first).toFixed(0)} s and ${(third - second).toFixed(0)} s apart`
      },
    )
  },
)
