// Grants under fire: many that want the same token, answers that get lost, processes that die between answer and commit, clocks
// that differ, passwords that are wrong.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { DAY_MS, HOUR_MS, later, MINUTE_MS } from '../../../src/base/clock.ts'
import { resolveLogin } from '../../../src/credentials/resolve.ts'
import { refreshUnderLease } from '../../../src/credentials/refresh.ts'
import { openCredential, sealCredential } from '../../../src/credentials/sealed.ts'
import { loadAccount } from '../../../src/db/accounts.ts'
import { openDatabase, type Database } from '../../../src/db/database.ts'
import { loadGrant } from '../../../src/db/grants.ts'
import { openCrashRig } from '../../support/crash.ts'
import { row, sized } from '../../support/figures.ts'
import { ManualClock, mostWithin } from '../../support/manual-clock.ts'
import { before, withTokens, type TokenLife } from '../../support/token-life.ts'

const [FIRST] = ['a1@example.test']

row('B1', '50 workers find the same token expired: one request', { fast: true }, () => {
  const clock = new ManualClock()
  return withTokens({ clock, tenant: 'generic', flow: 'refresh_token' }, async ({ house, tokens, refresh, id }) => {
    await refresh(FIRST)
    clock.turnTo(later(clock.now(), 2 * HOUR_MS))
    const asked = tokens.requests.length
    const databases: Database[] = Array.from({ length: 50 }, () => openDatabase(house.database.url, { max: 1 }))
    try {
      const account = await loadAccount(house.db, id(FIRST))
      if (!account?.smtp) throw new Error('no account')
      const { smtp } = account
      const logins = await Promise.all(
        databases.map(async ({ db }) => (await resolveLogin({ ...house, db }, account, smtp)).login),
      )
      const given = new Set(logins.map((login) => (login.mechanism === 'xoauth2' ? login.accessToken : '')))
      expect(given.size).toBe(1)
      expect(tokens.requests.length - asked).toBe(1)
      return `workers ${databases.length}, token requests ${tokens.requests.length - asked}`
    } finally {
      await Promise.all(databases.map((database) => database.close()))
    }
  })
})

row('B2', 'two processes and a server that rotates strictly: the grant outlives a month', { fast: true }, () => {
  const clock = new ManualClock(before(31 * DAY_MS).getTime())
  return withTokens({ clock, tenant: 'generic', flow: 'refresh_token' }, async (life) => {
    const { house, tokens, id, nextAt, flags } = life
    const other = openDatabase(house.database.url, { max: 2 })
    const account = await loadAccount(house.db, id(FIRST))
    if (!account?.smtp) throw new Error('no account')
    const { smtp } = account
    let rounds = 0
    try {
      for (const end = later(clock.now(), sized(1, 30) * DAY_MS); clock.now() < end; rounds++) {
        clock.turnTo(await nextAt(FIRST))
        const job = refreshUnderLease(house, await house.lease(id(FIRST), 'token'))
        // at the same moment a session of the other process finds the token too old
        const grant = await loadGrant(house.db, id(FIRST))
        const session = resolveLogin({ ...house, db: other.db }, account, smtp, {
          refused: { version: grant?.version ?? 0 },
        })
        await Promise.all([job, session])
      }
      expect(await flags()).toEqual([])
      expect(tokens.requests.length).toBeLessThanOrEqual(2 * rounds)
      return `rounds ${rounds}, token requests ${tokens.requests.length}, grants lost 0`
    } finally {
      await other.close()
    }
  })
})

const credentialOf = async ({ house, id }: TokenLife) => {
  const grant = await loadGrant(house.db, id(FIRST))
  if (!grant) throw new Error('the grant is gone')
  return openCredential(house.vault, grant)
}

row('B3', 'the answer that brought the new refresh token is lost', { fast: true }, async () => {
  const figures: string[] = []
  for (const tenant of ['contoso.example', 'google', 'generic']) {
    const clock = new ManualClock()
    figures.push(
      await withTokens({ clock, tenant, flow: 'refresh_token' }, async (life) => {
        const { tokens, refresh, flags, nextAt, house, accountOf } = life
        await refresh(FIRST)
        clock.turnTo(later(clock.now(), 2 * HOUR_MS))
        tokens.answerNext({ cut: 'after' })
        await refresh(FIRST)
        const kept = await credentialOf(life)
        for (let tries = 0; tries < 6; tries++) {
          clock.turnTo(await nextAt(FIRST))
          await refresh(FIRST)
        }
        const found = [...new Set((await flags()).map(({ flag }) => flag))]
        expect((await credentialOf(life)).given).toEqual(kept.given)
        if (tenant !== 'generic') {
          expect(found).toEqual([])
          return `${tenant}: recovered`
        }
        // it takes the old one for stolen, and revokes all: only a person can mend that
        expect(found).toEqual(['refresh_token_revoked'])
        tokens.setAccount({ ...life.grantOf(FIRST), refreshToken: 'signed-in-again' })
        await house.importAccounts([accountOf(FIRST, { refresh_token: 'signed-in-again' })])
        await refresh(FIRST)
        expect(await flags()).toEqual([])
        return `${tenant}: flagged ${found.join()}`
      }),
    )
  }
  return figures.join('; ')
})

row(
  'B3b',
  'a server that was set back forgets the newest refresh token: the one before is tried',
  { fast: true },
  () => {
    const clock = new ManualClock()
    return withTokens({ clock, tenant: 'generic', flow: 'refresh_token' }, async (life) => {
      const { house, tokens, refresh, flags, id } = life
      await refresh(FIRST)
      const { given, current } = await credentialOf(life)
      const newest = { given, current: { refreshToken: 'never-heard-of' }, previous: current }
      await sql`update poststelle.grants set credential_sealed = ${sealCredential(house.vault, id(FIRST), newest)}`.execute(
        house.db,
      )
      clock.turnTo(later(clock.now(), 2 * HOUR_MS))
      const asked = tokens.requests.length
      await refresh(FIRST)
      expect(await flags()).toEqual([])
      expect((await credentialOf(life)).previous).toEqual(current)
      return `recovered with ${tokens.requests.length - asked} requests`
    })
  },
)

/** The moment at which the worker dies: the endpoint has rotated and its answer is not read, or it is read and not yet committed. */
type Moment = 'unread' | 'uncommitted'

async function killed(
  { tokens, accountOf, emails, caFile }: TokenLife,
  moment: Moment,
  kills: number,
): Promise<string> {
  const rig = await openCrashRig({ accounts: emails.map((email) => accountOf(email)), caFile })
  const { db } = rig.database
  const dueNow = () =>
    sql`update poststelle.lanes set due_at = now(), parked_until = null, dispatched_until = null,
      woken_at = case when lease_token is not null then now() end where lane = 'token'`.execute(db)
  const version = async (): Promise<number> =>
    (await sql<{ version: number }>`select version from poststelle.grants`.execute(db)).rows[0]?.version ?? 0
  try {
    await rig.start()
    const hasToken = async () => (await version()) > 1
    await rig.until(() => 'no token at all', hasToken)
    for (let kill = 0; kill < kills; kill++) {
      const at = await version()
      const dying =
        moment === 'unread'
          ? new Promise<void>((resolve) => {
              const stop = tokens.onRequest(() => {
                stop()
                void rig.kill().then(resolve)
              })
            })
          : undefined
      if (dying) {
        await dueNow()
        await dying
      } else {
        await db.transaction().execute(async (tx) => {
          await sql`select from poststelle.grants for update`.execute(tx)
          await dueNow()
          const waits = sql<{ n: number }>`select count(*)::int as n from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like 'update%grants%'`
          await rig.until(
            () => 'the token is never stored',
            async () => (await waits.execute(db)).rows[0]?.n === 1,
          )
          await rig.kill()
        })
      }
      expect(await version()).toBe(at)
      await rig.noticeDeath()
      await rig.start()
      await dueNow()
      await rig.until(
        () => `the grant has not come back after kill ${kill + 1}`,
        async () => (await version()) > at,
      )
    }
    const { rows } = await sql`select flag from poststelle.health_flags where cleared_at is null`.execute(db)
    expect(rows).toEqual([])
    return `${moment} ${kills}`
  } finally {
    await rig.close()
  }
}

row(
  'B4',
  'killed between the answer and its commit: the grant lives on where the old token does',
  { fast: true },
  async () => {
    const figures: string[] = []
    for (const moment of ['unread', 'uncommitted'] as const)
      figures.push(
        await withTokens({ clock: new ManualClock(), flow: 'refresh_token' }, (life) =>
          killed(life, moment, sized(2, 20)),
        ),
      )
    return `kills: ${figures.join(', ')}; grants lost 0`
  },
)

row(
  'B12',
  'a clock two hours off: no storm of refreshes, and tokens live as long as they do',
  { fast: true },
  async () => {
    const figures: string[] = []
    for (const hours of [-2, 2]) {
      const clock = new ManualClock(Date.now() + hours * HOUR_MS)
      figures.push(
        await withTokens({ clock, tenant: 'generic', flow: 'refresh_token' }, async ({ tokens, live, flags }) => {
          await live(later(clock.now(), DAY_MS))
          const times = tokens.requests.map(({ at }) => at.getTime())
          expect(times.length).toBeLessThanOrEqual(50)
          expect(mostWithin(times, 20 * MINUTE_MS)).toBeLessThanOrEqual(2)
          expect(await flags()).toEqual([])
          return `${hours} h: ${times.length} requests in 24 h`
        }),
      )
    }
    return figures.join('; ')
  },
)

row('A18b', 'a wrong password at the token endpoint for a day: a dozen requests at most', { fast: true }, () => {
  const clock = new ManualClock()
  return withTokens({ clock, flow: 'password' }, async ({ tokens, live, house, accountOf, flags }) => {
    await house.importAccounts([accountOf(FIRST, { password: 'another' })])
    await live(later(clock.now(), DAY_MS))
    const times = tokens.requests.map(({ at }) => at.getTime())
    expect(times.length).toBeGreaterThan(3)
    expect(times.length).toBeLessThanOrEqual(12)
    expect(mostWithin(times, HOUR_MS - MINUTE_MS)).toBe(1)
    expect((await flags(FIRST)).map(({ flag }) => flag)).toEqual(['invalid_credentials', 'invalid_credentials'])
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from poststelle.grants`.execute(house.db)
    expect(rows).toEqual([{ n: 1 }])
    return `requests in 24 h ${times.length}, in any one hour at most ${mostWithin(times, HOUR_MS - MINUTE_MS)}`
  })
})
