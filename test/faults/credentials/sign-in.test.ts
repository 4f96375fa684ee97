// Somebody signs in for an account, by every provider's way; and everything that may be wrong with an answer is refused.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { MINUTE_MS, later } from '../../../src/base/clock.ts'
import { Failure } from '../../../src/base/failure.ts'
import { beginByLink, byDevice, invitedTo, LINK_MS, requireSignIn } from '../../../src/credentials/sign-in.ts'
import { refreshUnderLease } from '../../../src/credentials/refresh.ts'
import { findAccount } from '../../../src/db/accounts.ts'
import { takeSignIn } from '../../../src/db/sign-ins.ts'
import { row } from '../../support/figures.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { openSignInWorld, type SignInWorld } from '../../support/sign-in.ts'

const [ME, OTHER] = ['info@firma.example', 'chef@firma.example']

async function tokenOf({ house }: SignInWorld): Promise<string | null> {
  const { rows } = await sql<{ granted_by: string | null; has: boolean }>`
    select granted_by, access_token_sealed is not null as has from poststelle.grants g join poststelle.accounts a on a.id = g.account_id
    where a.email = ${ME}`.execute(house.db)
  return rows[0]?.has ? rows[0].granted_by : null
}

row('S24', 'a sign-in is answered by whoever began it, once, and by nobody else', { fast: true }, async () => {
  const clock = new ManualClock()
  const world = await openSignInWorld({ emails: [ME, OTHER], clock })
  const { begin, enter, finish, house, tokens } = world
  const changed = (url: URL, change: Record<string, string | null>): URL => {
    const copy = new URL(url)
    for (const [name, value] of Object.entries(change)) {
      if (value === null) copy.searchParams.delete(name)
      else copy.searchParams.set(name, value)
    }
    return copy
  }
  const answered = async (): Promise<URL> => await enter(await begin(ME), ME)
  const attacks: readonly (readonly [string, () => Promise<unknown>, string])[] = [
    [
      'a state nobody gave',
      async () => finish(changed(await answered(), { state: 'invented' })),
      'sign_in_answer_invalid',
    ],
    ['no state', async () => finish(changed(await answered(), { state: null })), 'sign_in_answer_invalid'],
    ['no code', async () => finish(changed(await answered(), { code: null })), 'oauth_request_invalid'],
    ['an invented code', async () => finish(changed(await answered(), { code: 'invented' })), 'auth_code_invalid'],
    [
      'the code of another sign-in',
      async () => {
        const theirs = await answered()
        return finish(changed(await answered(), { code: theirs.searchParams.get('code') }))
      },
      'auth_code_invalid',
    ],
    [
      'an answer that was used',
      async () => {
        const answer = await answered()
        await finish(answer)
        await sql`update poststelle.grants set access_token_sealed = null`.execute(house.db)
        return finish(answer)
      },
      'sign_in_answer_invalid',
    ],
    [
      'an answer that comes too late',
      async () => {
        const answer = await answered()
        clock.turnTo(later(clock.now(), 11 * MINUTE_MS))
        return finish(answer)
      },
      'sign_in_answer_invalid',
    ],
    [
      'the answer of another server',
      async () => finish(changed(await answered(), { iss: 'https://evil.example' })),
      'sign_in_answer_invalid',
    ],
    ['somebody else has signed in', async () => finish(await enter(await begin(ME), OTHER)), 'wrong_identity'],
    [
      'somebody of another tenant',
      async () => {
        tokens.setAccount({ ...world.grantOf(ME), tenant: 'common' })
        const page = await begin(ME)
        const answer = await enter(page, ME)
        return finish(answer).finally(() => tokens.setAccount(world.grantOf(ME)))
      },
      'user_not_found',
    ],
    [
      'the user has declined',
      async () => {
        tokens.setAccount({ ...world.grantOf(ME), state: 'consent_missing' })
        const answer = await answered()
        tokens.setAccount(world.grantOf(ME))
        return finish(answer)
      },
      'consent_declined',
    ],
    [
      'a nonce of another sign-in',
      async () => finish(await enter(changed(await begin(ME), { nonce: 'other' }), ME)),
      'sign_in_answer_invalid',
    ],
  ]
  try {
    const named: unknown[] = []
    for (const [what, attack, flag] of attacks) {
      const error: unknown = await attack().then(
        () => 'accepted',
        (thrown: unknown) => thrown,
      )
      const found = error instanceof Failure ? error.flag : String(error)
      if (found !== flag) named.push([what, flag, found, error instanceof Failure ? error.evidence : ''])
      expect([what, await tokenOf(world)]).toEqual([what, null])
      expect(JSON.stringify(error)).not.toContain('eyJ')
    }
    expect(named).toEqual([])
    const answer = await answered()
    const [first, second] = await Promise.allSettled([finish(answer), finish(answer)])
    expect([first.status, second.status].toSorted()).toEqual(['fulfilled', 'rejected'])
    expect(await tokenOf(world)).toBe('authorization_code')
    return `accepted 0 of ${attacks.length} attacks; of two that bring the same answer one`
  } finally {
    await world.close()
  }
})

row(
  'S24b',
  'every provider, public or with a secret: signed in, refreshed, and kept when the file is imported again',
  { fast: true },
  async () => {
    const ways: string[] = []
    for (const tenant of ['6b29fc40-ca47-1067-b31d-00dd010662da', 'google', 'generic'])
      for (const clientSecret of [null, 'Sandbox~Secret']) {
        const world = await openSignInWorld({ emails: [ME], tenant, clientSecret })
        const { begin, enter, finish, house, accountOf } = world
        try {
          const { id } = await findAccount(house.db, ME)
          await refreshUnderLease(house, await house.lease(id, 'token'))
          const { rows } = await sql<{
            flag: string
          }>`select distinct flag from poststelle.health_flags where cleared_at is null`.execute(house.db)
          expect(rows).toEqual([{ flag: 'sign_in_needed' }])
          expect(world.tokens.requests).toHaveLength(0)
          const page = await begin(ME)
          expect(page.searchParams.get('code_challenge_method')).toBe('S256')
          await finish(await enter(page, ME))
          await house.importAccounts([accountOf(ME)])
          await refreshUnderLease(house, await house.lease(id, 'token'))
          expect(await tokenOf(world)).toBe('authorization_code')
          const { rows: open } = await sql`select flag from poststelle.health_flags where cleared_at is null`.execute(
            house.db,
          )
          expect(open).toEqual([])
          ways.push(`${tenant.length > 10 ? 'Entra' : tenant} ${clientSecret === null ? 'public' : 'with secret'}`)
        } finally {
          await world.close()
        }
      }
    return ways.join(', ')
  },
)

row(
  'S24c',
  'a link for the owner of the mailbox: good once, not for ever, and used only by a sign-in that succeeds',
  { fast: true },
  async () => {
    const clock = new ManualClock()
    const { house, close } = await openSignInWorld({ emails: [ME], clock })
    try {
      const account = requireSignIn(await findAccount(house.db, ME))
      const { secret } = await beginByLink(house, account, LINK_MS)
      const invited = await invitedTo(house, secret)
      expect(invited?.account.email).toBe(ME)
      expect(await invitedTo(house, `${secret}x`)).toBeUndefined()
      await takeSignIn(house.db, invited?.link.id ?? 0, clock.now())
      expect(await invitedTo(house, secret)).toBeUndefined()
      const old = await beginByLink(house, account, LINK_MS)
      clock.turnTo(later(clock.now(), LINK_MS + 1))
      expect(await invitedTo(house, old.secret)).toBeUndefined()
      const { rows } = await sql<{
        text: string
      }>`select string_agg(s::text, ' ') as text from poststelle.sign_ins s`.execute(house.db)
      expect(rows[0]?.text).not.toContain(secret)
      return 'used 1 of 1, refused when used, expired or guessed'
    } finally {
      await close()
    }
  },
)

row(
  'S24d',
  'a code that is entered elsewhere: waited for, declined, and marked as what it is',
  { fast: true },
  async () => {
    const outcomes: string[] = []
    for (const outcome of ['entered', 'declined', 'by somebody else'] as const) {
      const world = await openSignInWorld({ emails: [ME, OTHER], flow: 'device_code' })
      const { house, tokens } = world
      try {
        const account = requireSignIn(await findAccount(house.db, ME))
        const settled = byDevice(house, account, ({ userCode }) =>
          tokens.signIns.settleDevice(
            userCode,
            outcome === 'declined' ? 'declined' : { email: outcome === 'entered' ? ME : OTHER },
          ),
        ).then(
          () => 'signed in',
          (error: unknown) => (error instanceof Failure ? error.flag : String(error)),
        )
        outcomes.push(`${outcome}: ${await settled}`)
        expect(await tokenOf(world)).toBe(outcome === 'entered' ? 'device_code' : null)
      } finally {
        await world.close()
      }
    }
    expect(outcomes).toEqual(['entered: signed in', 'declined: consent_declined', 'by somebody else: wrong_identity'])
    return outcomes.join('; ')
  },
)
