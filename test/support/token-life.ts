// Accounts whose tokens come from the simulator's endpoint, refreshed in this process as jobs do it: for rows about grants and app
// registrations over hours and days of a clock that the row turns.

import { sql } from 'kysely'
import { later, SECOND_MS } from '../../src/base/clock.ts'
import type { Logger } from '../../src/base/logger.ts'
import { refreshUnderLease } from '../../src/credentials/refresh.ts'
import { WOKEN_PER_SECOND } from '../../src/credentials/settle.ts'
import { wakeAnsweredClients } from '../../src/db/client-breakers.ts'
import { claimLane, takeDueLanes } from '../../src/db/lanes.ts'
import type { LaneKind } from '../../src/db/schema.ts'
import { LANE_JOBS } from '../../src/jobs/lane-jobs.ts'
import { startTokenEndpoint, type SandboxGrant, type TokenEndpoint } from '../../src/sandbox/token-endpoint.ts'
import { openHouse, type TestHouse } from './house.ts'
import type { ManualClock } from './manual-clock.ts'
import { makePki } from './pki.ts'
import { startScriptedSmtp, type ScriptedSmtp } from './scripted-smtp.ts'

export const CLIENT_ID = '11111111-2222-3333-4444-555555555555'
export const SECRET = 'Sandbox~Secret~1'

export interface TokenLife {
  readonly house: TestHouse
  readonly tokens: TokenEndpoint
  readonly smtp: ScriptedSmtp
  readonly emails: readonly string[]
  /** The authority of the token endpoint. */
  readonly caFile: string
  readonly id: (email: string) => number
  /** What the endpoint knows of an account; to be changed and given back by `tokens.setAccount`. */
  readonly grantOf: (email: string) => SandboxGrant
  /** In the form that `account import` reads. */
  readonly accountOf: (email: string, auth?: object) => object
  /** The token's job, due or not. */
  readonly refresh: (email: string) => Promise<void>
  /** When the token's lane may work next. */
  readonly nextAt: (email: string) => Promise<Date>
  /** The clock goes on to `end`, and every token lane works when it is due. */
  readonly live: (end: Date) => Promise<void>
  /** All that is due is done, as the dispatcher and the workers would, until `done` holds. */
  readonly work: (done: () => Promise<boolean>) => Promise<void>
  readonly flags: (
    email?: string,
  ) => Promise<{ account_id: number; direction: string; flag: string; evidence: string }[]>
}

export interface TokenLifeOptions {
  readonly clock: ManualClock
  readonly accounts?: number
  /** A tenant of Entra unless told. */
  readonly tenant?: string
  readonly flow?: 'password' | 'refresh_token'
  readonly clientSecret?: string | null
  readonly expiresInSeconds?: number
  readonly log?: Logger
}

export async function withTokens(o: TokenLifeOptions, work: (life: TokenLife) => Promise<string>): Promise<string> {
  const pki = await makePki()
  const { tenant = 'contoso.example', flow = 'password', clock, clientSecret = SECRET } = o
  const emails = Array.from({ length: o.accounts ?? 1 }, (_, i) => `a${i + 1}@example.test`)
  const grantOf = (email: string): SandboxGrant => ({
    email,
    tenant,
    clientId: CLIENT_ID,
    clientSecret,
    flows: [flow === 'password' ? 'password' : 'refresh_token'],
    password: `pw-${email}`,
    refreshToken: `seed-${email}`,
  })
  const tokens = await startTokenEndpoint({
    tls: pki,
    clock,
    accounts: emails.map(grantOf),
    expiresInSeconds: o.expiresInSeconds ?? 3_600,
  })
  const smtp = await startScriptedSmtp({ extensions: ['PIPELINING', 'AUTH XOAUTH2'] })
  const house = await openHouse({ caPem: pki.ca, clock, ...(o.log && { log: o.log }) })
  const { host, port, security } = smtp.endpoint
  const accountOf = (email: string, auth: object = {}): object => ({
    email,
    smtp: { host, port, security },
    sending: { messages_per_minute: 'unlimited', recipients_per_day: 'unlimited' },
    auth: {
      type: 'oauth2',
      flow,
      token_endpoint: tokens.tokenUrl(tenant),
      client_id: CLIENT_ID,
      client_secret: clientSecret,
      scope: tenant === 'google' ? 'https://mail.google.com/' : 'https://outlook.office365.com/.default offline_access',
      ...(flow === 'password' ? { password: `pw-${email}` } : { refresh_token: `seed-${email}` }),
      ...auth,
    },
  })
  try {
    const ids = new Map(
      (await house.importAccounts(emails.map((email) => accountOf(email)))).map(({ email, id }) => [email, id]),
    )
    await sql`update poststelle.lanes set due_at = ${clock.now()} where lane = 'token'`.execute(house.db)
    const id = (email: string): number => ids.get(email) ?? 0
    const nextAt = async (email: string): Promise<Date> => {
      const { rows } = await sql<{ at: Date | null }>`select greatest(due_at, parked_until) as at from poststelle.lanes
        where account_id = ${id(email)} and lane = 'token'`.execute(house.db)
      if (!rows[0]?.at) throw new Error(`the token of ${email} is never due again`)
      return rows[0].at
    }
    const refresh = async (email: string): Promise<void> =>
      await refreshUnderLease(house, await house.lease(id(email), 'token'))
    return await work({
      house,
      tokens,
      smtp,
      emails,
      caFile: pki.caFile,
      id,
      grantOf,
      accountOf,
      refresh,
      nextAt,
      async live(end) {
        const due = new Map<string, Date>()
        for (const email of emails) due.set(email, await nextAt(email))
        for (;;) {
          const [email, at] = [...due].reduce((first, next) => (next[1] < first[1] ? next : first))
          if (at >= end) break
          clock.turnTo(at)
          await refresh(email)
          due.set(email, await nextAt(email))
        }
        clock.turnTo(end)
      },
      async work(done) {
        const most = new Map<LaneKind, number>([
          ['token', 8],
          ['send', 8],
        ])
        while (!(await done())) {
          clock.turnTo(new Date())
          await wakeAnsweredClients(house.db, WOKEN_PER_SECOND)
          const lanes = await takeDueLanes(house.db, most)
          await Promise.all(
            lanes.map(async (lane) => {
              const kind = LANE_JOBS.find((job) => job.lane === lane.lane)
              const lease = await claimLane(house.db, lane, house.workerId)
              if (lease) await kind?.run(house, lease, AbortSignal.timeout(60 * SECOND_MS))
            }),
          )
        }
      },
      flags: async (email) =>
        (
          await sql<{ account_id: number; direction: string; flag: string; evidence: string }>`
            select account_id, direction, flag, evidence from poststelle.health_flags
            where cleared_at is null ${email === undefined ? sql`` : sql`and account_id = ${id(email)}`} order by 1, 2, 3`.execute(
            house.db,
          )
        ).rows,
    })
  } finally {
    await house.close()
    await smtp.stop()
    await tokens.close()
    await pki.stop()
  }
}

/** An instant so long before now that what a row lives through ends now. */
export const before = (ms: number): Date => later(new Date(), -ms)
