// Incidents in numbers: many accounts with one cause, and what keeping them and reading the status costs.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { readStatus } from '../../../src/db/status.ts'
import { overviewOf } from '../../../src/health/overview.ts'
import { yesterdayEvening } from '../../../src/health/phrases.ts'
import { reconcileIncidents } from '../../../src/health/reconcile-incidents.ts'
import { pollMaildrop } from '../../../src/retrieval/poll-maildrop.ts'
import { freshDatabase } from '../../support/database.ts'
import { row, sized } from '../../support/figures.ts'
import { flagLanes, recover, seedAccounts, seedClient, seedWaiting } from '../../support/health-rows.ts'
import { openHouse, passwordAccount } from '../../support/house.ts'
import { startScriptedPop3 } from '../../support/scripted-pop3.ts'

row('A19', 'many accounts with one wrong secret at one host: few logins, one notice', { fast: true }, async () => {
  const count = sized(40, 200)
  const server = await startScriptedPop3({
    answer: (command) => (command.startsWith('PASS') ? '-ERR [AUTH] no' : undefined),
  })
  const house = await openHouse()
  try {
    const pop3 = { host: '127.0.0.1', port: server.target.port, security: 'none' }
    const accounts = Array.from({ length: count }, (_, i) =>
      passwordAccount(`u${i}@example.test`, { pop3, smtp: null }),
    )
    let told = 0
    for (const { id } of await house.importAccounts(accounts)) {
      await pollMaildrop(house, await house.lease(id, 'receive'), AbortSignal.timeout(10_000))
      if (id === 3) told += (await reconcileIncidents(house.db))?.length ?? 0
    }
    const logins = server.seen.commands.filter((line) => line.startsWith('PASS')).length
    expect(logins).toBe(5)
    const notices = (await reconcileIncidents(house.db)) ?? []
    expect(notices.filter(({ event }) => event === 'opened')).toMatchObject([{ subjectKind: 'host', accounts: count }])
    expect(notices.filter(({ event }) => event === 'merged')).toHaveLength(told)
    const { rows } = await sql`select 1 from poststelle.incidents where closed_at is null`.execute(house.db)
    expect(rows).toHaveLength(1)
    return `${count} accounts: ${logins} logins, 1 open incident`
  } finally {
    await house.close()
    await server.stop()
  }
})

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1] ?? NaN

async function timed(work: () => Promise<unknown>, times = 7): Promise<number> {
  const took: number[] = []
  for (let n = 0; n < times; n++) {
    const begun = performance.now()
    await work()
    took.push(performance.now() - begun)
  }
  return median(took)
}

row('P15', 'incidents and the status of an installation of many accounts cost little', { fast: true }, async () => {
  const count = sized(1_000, 10_000)
  const database = await freshDatabase()
  const { db } = database
  try {
    const client = await seedClient(db, 'bm_mail', 'common')
    const ids = await seedAccounts(db, count, { domain: 'firma.example', clientId: client })
    await seedWaiting(db, ids, 3)
    await sql`vacuum analyze`.execute(db)
    const idle = await timed(async () => await reconcileIncidents(db))
    const flagged = ids.slice(0, 400)
    for (const direction of ['receive', 'send'] as const)
      await flagLanes(db, flagged, direction, { flag: 'client_secret_expired', scope: 'app', stage: 'token' })
    const opening = await timed(async () => await reconcileIncidents(db), 1)
    const unchanged = await timed(async () => await reconcileIncidents(db))
    await recover(db, ids)
    await flagLanes(db, ids, 'receive', { flag: 'server_unreachable', scope: 'network', persistence: 'transient' })
    await flagLanes(db, ids, 'send', { flag: 'server_unreachable', scope: 'network', persistence: 'transient' })
    const all = await timed(async () => await reconcileIncidents(db), 1)
    const allUnchanged = await timed(async () => await reconcileIncidents(db), 3)
    const now = new Date()
    const status = await timed(async () => overviewOf(await readStatus(db, yesterdayEvening(now)), 'de', now), 3)
    expect(status).toBeLessThan(10_000)
    expect(allUnchanged).toBeLessThan(5_000)
    const ms = (value: number): string => `${Math.round(value)} ms`
    return (
      `${count} accounts: a round without flags ${ms(idle)}, 400 accounts opening ${ms(opening)}, unchanged ${ms(unchanged)}; ` +
      `all flagged ${ms(all)}, unchanged ${ms(allUnchanged)}; status ${ms(status)}`
    )
  } finally {
    await database.drop()
  }
})
