// Secrets at rest: keys that change while everything runs, runs that are killed, dumps in foreign hands, values that were moved.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { checkKeys } from '../../../src/credentials/check-keys.ts'
import { rotateKeys } from '../../../src/credentials/rotate-keys.ts'
import { openCredential } from '../../../src/credentials/sealed.ts'
import { claimLane } from '../../../src/db/lanes.ts'
import { loadGrant } from '../../../src/db/grants.ts'
import { countSealedByKey, SEALED_PLACES } from '../../../src/db/sealed.ts'
import { LANE_JOBS } from '../../../src/jobs/lane-jobs.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import { runUnderLease } from '../../../src/workers/run-worker.ts'
import { row, sized } from '../../support/figures.ts'
import { openHouse, passwordAccount, type TestHouse } from '../../support/house.ts'
import { runCommand } from '../../support/command.ts'

const SECRET = 'canary-in-the-dump'
const key = (id: string) => ({ id, bytes: randomBytes(32) })

async function houseWith(count: number): Promise<{ house: TestHouse; ids: number[] }> {
  const house = await openHouse()
  const imported = await house.importAccounts(
    Array.from({ length: count }, (_, i) =>
      passwordAccount(`a${i}@example.test`, { auth: { type: 'password', password: `${SECRET}-${i}` } }),
    ),
  )
  return { house, ids: imported.map(({ id }) => id) }
}

row(
  'S19',
  'a rotation that is killed goes on where it was, and nothing is lost; without the key nothing starts',
  { fast: true },
  async () => {
    const count = sized(600, 5_000)
    const { house, ids } = await houseWith(count)
    try {
      const [old, fresh] = [house.keys, `new:${randomBytes(32).toString('base64')}`]
      const env = {
        ...process.env,
        DATABASE_URL: house.database.url,
        POSTSTELLE_KEYS: `${fresh},${old}`,
        POSTSTELLE_DATA: '/nonexistent',
      }
      const covered = async (): Promise<number> => (await countSealedByKey(house.db)).get('new') ?? 0
      let kills = 0
      for (let target = count / 6; target < count; target += count / 3) {
        const child = spawn(join(import.meta.dirname, '../../../bin/poststelle'), ['key', 'rotate'], {
          env,
          stdio: 'ignore',
        })
        const gone = once(child, 'exit')
        while ((await covered()) < target && child.exitCode === null)
          await sql`select pg_sleep(0.002)`.execute(house.db)
        child.kill('SIGKILL')
        await gone
        kills += 1
      }
      const halfway = await covered()
      const last = await runCommand(['key', 'rotate', '--json'], { env })
      expect(JSON.parse(last.out)).toMatchObject({ key: 'new', unreadable: [], unused_keys: ['test'] })
      expect(await covered()).toBe(count)
      const [id, bytes] = [fresh.slice(0, 3), Buffer.from(fresh.slice(4), 'base64')]
      const vault = new Vault([{ id, bytes }])
      await checkKeys(house.db, vault)
      for (const [at, account] of ids.entries()) {
        const grant = await loadGrant(house.db, account)
        expect(grant && openCredential(vault, grant).current.password).toBe(`${SECRET}-${at}`)
      }
      const without = await runCommand(['account', 'list'], {
        env: { ...env, POSTSTELLE_KEYS: `other:${randomBytes(32).toString('base64')}` },
      })
      expect(without.code).toBe(1)
      expect(without.err).toMatch(/was sealed with key "new", which POSTSTELLE_KEYS does not have/)
      return `${count} values, killed ${kills} times, ${halfway} done before the last run, all open afterwards`
    } finally {
      await house.close()
    }
  },
)

row('S19b', 'a running process learns of a new key by the first value that it meets', { fast: true }, async () => {
  const {
    house,
    ids: [id = 0],
  } = await houseWith(1)
  try {
    const [first, second] = [key('one'), key('two')]
    let ring = [first]
    const running = new Vault([first], () => ring)
    const place = { table: 'grants', id, column: 'credential' }
    const sealedBefore = running.seal('x', place)
    ring = [second, first]
    expect(new Vault(ring).open(sealedBefore, place)).toBe('x')
    const sealedElsewhere = new Vault(ring).seal('y', place)
    expect(running.open(sealedElsewhere, place)).toBe('y')
    expect(running.primaryKeyId).toBe('two')
    return 'opened, and seals with the new key from there on'
  } finally {
    await house.close()
  }
})

row(
  'S25',
  'ciphertexts that were moved between rows or columns open nowhere, and only their accounts stand still',
  { fast: true },
  async () => {
    const { house, ids } = await houseWith(4)
    const { db } = house
    try {
      const [first = 0, second = 0, third = 0] = ids
      await sql`update poststelle.grants g set credential_sealed = o.credential_sealed from poststelle.grants o
      where (g.account_id, o.account_id) in ((${first}::bigint, ${second}::bigint), (${second}::bigint, ${first}::bigint))`.execute(
        db,
      )
      await sql`update poststelle.grants set access_token_sealed = credential_sealed where account_id = ${third}`.execute(
        db,
      )
      const opened = await Promise.all(
        ids.map(async (id) => {
          const grant = await loadGrant(db, id)
          try {
            return grant && openCredential(house.vault, grant).current.password
          } catch {
            return 'closed'
          }
        }),
      )
      expect(opened).toEqual(['closed', 'closed', `${SECRET}-2`, `${SECRET}-3`])
      const send = LANE_JOBS.find(({ lane }) => lane === 'receive')
      const lease = await claimLane(db, { accountId: first, lane: 'receive' }, house.workerId, { force: true })
      if (!send || !lease) throw new Error('no lane')
      await runUnderLease(house, send, lease, new AbortController().signal).catch(() => undefined)
      const { rows } = await sql<{ flag: string; state: string; account_id: number }>`
      select f.flag, h.state, f.account_id from poststelle.health_flags f
      join poststelle.account_health h on h.account_id = f.account_id and h.direction = f.direction where cleared_at is null`.execute(
        db,
      )
      expect(rows).toEqual([{ flag: 'key_unavailable', state: 'blocked', account_id: first }])
      const { unreadable, done } = await rotateKeys(
        { db, vault: new Vault([key('next'), ringOf(house)]) },
        () => undefined,
      )
      expect(unreadable).toHaveLength(3)
      expect(done).toBe(2)
      return 'decrypted 0 of 3; flagged key_unavailable; the others were sealed anew'
    } finally {
      await house.close()
    }
  },
)

function ringOf({ keys }: TestHouse): { id: string; bytes: Buffer } {
  const [id = '', base64 = ''] = keys.split(':')
  return { id, bytes: Buffer.from(base64, 'base64') }
}

row('S19c', 'the list of sealed places is complete', { fast: true }, async () => {
  const house = await openHouse()
  try {
    const { rows } = await sql<{ place: string }>`
      select table_name || '.' || column_name as place from information_schema.columns
      where table_schema = 'poststelle' and column_name like '%\_sealed' order by 1`.execute(house.db)
    expect(SEALED_PLACES.map(({ table, column }) => `${table}.${column}`).toSorted()).toEqual(
      rows.map(({ place }) => place),
    )
    return `${rows.length} places`
  } finally {
    await house.close()
  }
})
