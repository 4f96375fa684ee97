// A policy of the tenant stops many mailboxes at once: each is told its own name for it, and all of them are one incident, which ends
// with the policy.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { wakeNow } from '../../../src/db/lanes.ts'
import { submitMessage } from '../../../src/db/submissions.ts'
import { drainLane } from '../../../src/delivery/drain-lane.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { pollMaildrop } from '../../../src/retrieval/poll-maildrop.ts'
import type { Condition } from '../../../src/sandbox/conditions.ts'
import { startSandbox, type Sandbox } from '../../../src/sandbox/sandbox.ts'
import { row } from '../../support/figures.ts'
import { ageIncidents } from '../../support/health-rows.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'

const NEVER = new AbortController().signal
/** All of one tenant and one app registration, by the password of the person or its own refresh token. */
const NAMES = ['info', 'buchhaltung', 'versand', 'einkauf', 'chef', 'archiv'] as const
const EACH = 2
/** After so many refused logins at the SMTP host the others are not tried any more. */
const AT_THE_HOST = 5

interface Policy {
  readonly condition: Condition
  readonly flag: string
  /** "kind subject" of the incident. */
  readonly blames: string
  readonly receives: boolean
}
const POLICIES: readonly Policy[] = [
  { condition: 'security-defaults', flag: 'security_defaults_block', blames: 'tenant muster.example', receives: false },
  { condition: 'mfa-required', flag: 'mfa_required', blames: 'tenant muster.example', receives: false },
  {
    condition: 'conditional-access',
    flag: 'conditional_access_blocked',
    blames: 'tenant muster.example',
    receives: false,
  },
  {
    condition: 'consent-missing',
    flag: 'admin_consent_missing',
    blames: 'client bm_mail',
    receives: false,
  },
  {
    condition: 'smtp-security-defaults',
    flag: 'security_defaults_block',
    blames: 'tenant muster.example',
    receives: true,
  },
  {
    condition: 'smtp-auth-disabled-tenant',
    flag: 'smtp_auth_disabled_tenant',
    blames: 'tenant muster.example',
    receives: true,
  },
]

const emailOf = (name: string): string => `${name}@muster.example`

async function workOnAll(house: TestHouse, ids: readonly number[]): Promise<void> {
  for (const id of ids) {
    await pollMaildrop(house, await house.lease(id, 'receive'), NEVER)
    await drainLane(house, await house.lease(id, 'send'), NEVER)
  }
}

async function ofPolicy(sandbox: Sandbox, house: TestHouse, ids: readonly number[], policy: Policy): Promise<void> {
  const { db } = house
  for (const name of NAMES) sandbox.break(emailOf(name), policy.condition)
  for (const name of NAMES) {
    for (let n = 0; n < EACH; n++)
      await submitMessage(db, {
        account: emailOf(name),
        envelopeFrom: emailOf(name),
        recipients: ['kundschaft@muster.example'],
        raw: Buffer.from('Subject: x\r\n\r\ny\r\n'),
        idempotencyKey: null,
      })
  }
  await workOnAll(house, ids)
  const { rows } = await sql<{ direction: string; flag: string; n: number }>`
    select direction, flag, count(*)::int as n from poststelle.health_flags where cleared_at is null group by 1, 2 order by 1`.execute(
    db,
  )
  const concerned = policy.receives ? AT_THE_HOST : NAMES.length
  const expected = { flag: policy.flag, n: concerned }
  expect(rows).toEqual([
    ...(policy.receives ? [] : [{ direction: 'receive', ...expected }]),
    { direction: 'send', ...expected },
  ])

  const opened = (await reconcileIncidents(db)) ?? []
  expect(opened.map(({ event, flag, subjectKind, subject }) => `${event} ${flag} ${subjectKind} ${subject}`)).toEqual([
    `opened ${policy.flag} ${policy.blames}`,
  ])
  expect(opened).toMatchObject([{ accounts: concerned, waiting: concerned * EACH }])

  for (const name of NAMES) sandbox.heal(emailOf(name))
  for (const id of ids) await wakeNow(db, id, ['receive', 'send', 'token'])
  await workOnAll(house, ids)
  expect(await reconcileIncidents(db)).toEqual([])
  await ageIncidents(db, 1)
  expect(await reconcileIncidents(db)).toMatchObject([
    {
      event: 'closed',
      flag: policy.flag,
      accounts: concerned,
      waiting: concerned * EACH,
      sentSince: concerned * EACH,
    },
  ])
}

/** An installation of its own for each: no connection of the policy before is open. */
async function notices(sandbox: Sandbox, policy: Policy): Promise<number> {
  const house = await openHouse({ caPem: sandbox.caPem })
  try {
    const accounts = sandbox.accounts.filter(({ email }) => NAMES.some((name) => emailOf(name) === email))
    const ids = (await house.importAccounts([...accounts])).map(({ id }) => id)
    await ofPolicy(sandbox, house, ids, policy)
    const { rows } = await sql<{ n: number }>`select count(*)::int as n from poststelle.incident_events`.execute(
      house.db,
    )
    return rows[0]?.n ?? 0
  } finally {
    await house.close()
  }
}

row(
  'B14',
  'a policy over six mailboxes of one tenant: the right flag, and one incident that ends with it',
  { fast: true },
  async () => {
    const sandbox = await startSandbox({ accessTokenSeconds: 600 })
    try {
      let told = 0
      for (const policy of POLICIES) told += await notices(sandbox, policy)
      expect(told).toBe(POLICIES.length * 2)
      return `${POLICIES.length} policies, ${NAMES.length} accounts each: ${POLICIES.length} incidents, ${told} notices`
    } finally {
      await sandbox.close()
    }
  },
)
