// The restore fence from inside a service: what it writes, when, and what becomes of mail in every state.

import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sql } from 'kysely'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { heldAfterRestore, readInstallation } from '../../src/db/installation.ts'
import { numberOutboundEvents } from '../../src/db/outbound-events.ts'
import { changeMessages } from '../../src/db/outbox-changes.ts'
import { drainLane } from '../../src/delivery/drain-lane.ts'
import { fenceByHand, RestoreFence } from '../../src/delivery/restore-fence.ts'
import { removeFolder, tempFolder } from '../support/child.ts'
import { openHouse, passwordAccount, type TestHouse } from '../support/house.ts'
import { startScriptedSmtp } from '../support/scripted-smtp.ts'
import { eventsSince, mailThatIs, outboxRow, submitMail } from '../support/outbound-life.ts'

const mail = { account: 'a@example.test' }
const TEN_SECONDS = 10_000

describe('the restore fence', () => {
  let house: TestHouse
  let data: string
  let nowMs = 0
  let open: RestoreFence[] = []
  beforeAll(async () => {
    house = await openHouse()
    await house.importAccounts([passwordAccount('a@example.test')])
  })
  afterAll(() => house.close())
  beforeEach(async () => {
    data = tempFolder('fence')
    await sql`delete from poststelle.outbound_messages`.execute(house.db)
    await sql`update poststelle.installation set epoch = 100, fenced_at = null, fence_reason = null`.execute(house.db)
  })
  afterEach(async () => {
    for (const each of open) await each.close()
    open = []
    removeFolder(data)
  })

  const openFence = async (dataFolder = data): Promise<RestoreFence> => {
    const fence = await RestoreFence.open({ db: house.db, dataFolder, log: house.log, nowMs: () => nowMs })
    open.push(fence)
    return fence
  }
  const epoch = async (): Promise<number> => (await readInstallation(house.db)).epoch
  const inFile = async (dataFolder = data): Promise<number | undefined> => {
    const { id } = await readInstallation(house.db)
    return (JSON.parse(readFileSync(join(dataFolder, 'epoch'), 'utf8')) as Record<string, number>)[id]
  }
  /** What a restored backup of the same cluster brings: everything as it was, the epoch too. */
  const setBack = (to: number) => sql`update poststelle.installation set epoch = ${to}`.execute(house.db)
  const stateOf = async (id: number): Promise<string> => (await outboxRow(house.db, id)).state

  test('goes on to a new epoch before mail is sent, not more often than every ten seconds, and never ahead of the database', async () => {
    const fence = await openFence()
    expect([await epoch(), await inFile()]).toEqual([101, 101])
    await Promise.all([fence.pass(), fence.pass()])
    expect(await epoch()).toBe(101)
    nowMs += TEN_SECONDS
    await Promise.all([fence.pass(), fence.pass(), fence.pass()])
    expect([await epoch(), await inFile()]).toEqual([102, 102])
  })

  test('an idle machine learns how far the others have come, and moves nothing itself', async () => {
    const idle = await openFence()
    await setBack(500)
    nowMs += TEN_SECONDS
    await idle.look()
    expect([await epoch(), await inFile()]).toEqual([500, 500])
  })

  test('goes on for two minutes after mail began to be sent, and once more at the end', async () => {
    const fence = await openFence()
    await fence.pass()
    for (let i = 0; i < 5; i++) {
      nowMs += TEN_SECONDS
      await fence.look()
    }
    expect(await epoch()).toBe(106)
    nowMs += 2 * 60_000
    await fence.look()
    expect(await epoch()).toBe(106)
    await fence.close()
    expect([await epoch(), await inFile()]).toEqual([107, 107])
  })

  test('a restore under a running service: all that waits is held before the next claim, and new mail goes out', async () => {
    const fence = await openFence()
    const ids = {
      scheduled: await submitMail(house.db, mail),
      queued: await submitMail(house.db, mail),
      deferred: await mailThatIs(house.db, mail, 'deferred'),
      sending: await mailThatIs(house.db, mail, 'sending'),
      handingOver: await mailThatIs(house.db, mail, 'sending'),
      uncertain: await mailThatIs(house.db, mail, 'uncertain'),
    }
    const manual = await mailThatIs(house.db, mail, 'held')
    const sent = await mailThatIs(house.db, mail, 'sent')
    await sql`update poststelle.outbound_messages set state = 'scheduled', next_attempt_at = now() + interval '1 day'
      where id = ${ids.scheduled}`.execute(house.db)
    await sql`update poststelle.delivery_attempts set phase = 'handing_over' where message_id = ${ids.handingOver}`.execute(
      house.db,
    )
    await setBack(50)
    nowMs += TEN_SECONDS
    await fence.pass()

    const rows = await Promise.all(Object.values(ids).map((id) => outboxRow(house.db, id)))
    expect(rows.map(({ state, hold_reason }) => `${state} ${hold_reason}`)).toEqual(
      Array.from({ length: 6 }, () => 'held after_restore'),
    )
    // who reviews them sees which may have been sent before the backup already
    expect(rows.map(({ last_flag }) => last_flag)).toEqual([
      null,
      null,
      null,
      null,
      'outcome_unknown',
      'outcome_unknown',
    ])
    expect(rows[0]?.next_attempt_at?.getTime()).toBeGreaterThan(Date.now())
    expect([await stateOf(sent), (await outboxRow(house.db, manual)).hold_reason]).toEqual(['sent', 'manual'])
    const { rows: attempts } = await sql`select outcome, reply from poststelle.delivery_attempts
      where message_id in (${ids.sending}, ${ids.handingOver})`.execute(house.db)
    expect(attempts).toEqual([0, 1].map(() => ({ outcome: 'returned', reply: 'the database was restored' })))
    expect(await heldAfterRestore(house.db)).toMatchObject({ reason: 'epoch', held: 6 })

    // and whoever gets a copy of those is not told that it is the first one
    const changed = await changeMessages(house.db, 'release', Object.values(ids))
    expect(changed.every(({ refusal }) => refusal === undefined)).toBe(true)
    const released = await Promise.all(Object.values(ids).map((id) => outboxRow(house.db, id)))
    expect(released.map(({ repeated }) => repeated)).toEqual([false, false, false, false, true, true])

    const news = await submitMail(house.db, mail)
    nowMs += TEN_SECONDS
    await fence.pass()
    expect(await stateOf(news)).toBe('queued')
  })

  test('mail that takes long on its way lies behind a new epoch, too', async () => {
    const fence = await openFence()
    const epochs: number[] = []
    const server = await startScriptedSmtp({
      before: async (command) => {
        if (command === 'DATA') nowMs += 10 * 60_000
        if (command === 'DATA' || command === '.') epochs.push(await epoch())
      },
    })
    const { host, port, security } = server.endpoint
    const [account] = await house.importAccounts([
      passwordAccount('slow@example.test', { smtp: { host, port, security } }),
    ])
    const id = await submitMail(house.db, { account: 'slow@example.test' })
    const lease = await house.lease(account?.id ?? 0, 'send')
    await drainLane({ ...house, fence }, lease, AbortSignal.timeout(60_000))
    await server.stop()
    expect(await stateOf(id)).toBe('sent')
    expect(epochs[1]).toBeGreaterThan(epochs[0] ?? Infinity)
  })

  test('one machine that knows is enough: the others find nothing to do, however far they had come', async () => {
    const [one, two] = [join(data, 'one'), join(data, 'two')]
    const fences = [await openFence(one), await openFence(two)]
    await setBack(9_000)
    await fences[1]?.look()
    expect(await inFile(two)).toBe(9_000)
    const id = await submitMail(house.db, mail)
    await setBack(60)
    nowMs += TEN_SECONDS
    await fences[0]?.pass()
    expect(await stateOf(id)).toBe('held')
    const news = await submitMail(house.db, mail)
    await fences[1]?.pass()
    expect(await stateOf(news)).toBe('queued')
    expect(await epoch()).toBeGreaterThan(9_000)
  })

  test('of two machines that see it at once one does it', async () => {
    const fences = [await openFence(join(data, 'one')), await openFence(join(data, 'two'))]
    await submitMail(house.db, mail)
    await setBack(50)
    nowMs += TEN_SECONDS
    await Promise.all(fences.map((each) => each.pass()))
    expect(await epoch()).toBeLessThan(2_000_000_000)
  })

  test('a data folder without the file takes what it finds', async () => {
    const id = await submitMail(house.db, mail)
    await openFence()
    rmSync(join(data, 'epoch'))
    const other = await openFence()
    nowMs += TEN_SECONDS
    await other.pass()
    expect(await stateOf(id)).toBe('queued')
    expect(await inFile()).toBe(await epoch())
  })

  test('the file may go while the service runs: the process remembers', async () => {
    const fence = await openFence()
    const id = await submitMail(house.db, mail)
    rmSync(join(data, 'epoch'))
    await setBack(50)
    nowMs += TEN_SECONDS
    await fence.pass()
    expect(await stateOf(id)).toBe('held')
  })

  test('one data folder serves several databases', async () => {
    writeFileSync(join(data, 'epoch'), '{"another":123456}\n')
    const id = await submitMail(house.db, mail)
    await openFence()
    expect(await stateOf(id)).toBe('queued')
    expect(JSON.parse(readFileSync(join(data, 'epoch'), 'utf8'))).toMatchObject({ another: 123456 })
  })

  test('a data folder that cannot be written, or a damaged file, stops the start with one clear sentence', async () => {
    const file = join(data, 'no-folder')
    writeFileSync(file, '')
    await expect(openFence(file)).rejects.toThrow(/no-folder\/epoch: cannot be (read|written) \(ENOTDIR\)/)
    for (const damaged of ['', '12', '{"a":"b"}', '{"a":']) {
      writeFileSync(join(data, 'epoch'), damaged)
      await expect(openFence()).rejects.toThrow(/epoch: is damaged; .*poststelle outbox fence/)
    }
    await submitMail(house.db, mail)
    expect(await fenceByHand({ db: house.db, dataFolder: data })).toBe(1)
  })

  test('by hand, everything that waits is held, and ids and positions are not given out again', async () => {
    const id = await mailThatIs(house.db, mail, 'deferred')
    await numberOutboundEvents(house.db)
    const cursor = (await eventsSince(house.db, 0)).at(-1)?.position ?? 0
    // what the application has read behind the backup
    const later = cursor + 1_000
    expect(await fenceByHand({ db: house.db, dataFolder: data })).toBe(1)
    await numberOutboundEvents(house.db)
    expect(await eventsSince(house.db, later)).toEqual([expect.objectContaining({ message_id: id, event: 'held' })])
    expect(await submitMail(house.db, mail)).toBeGreaterThan(id + 1_000_000)
    expect(await inFile()).toBe(await epoch())
    expect(await fenceByHand({ db: house.db, dataFolder: data })).toBe(1)
  })

  test('an ordinary role can read where the database lies', async () => {
    const client = new pg.Client(house.database.url)
    await client.connect()
    await client.query('begin')
    await client.query('create role fence_reader')
    await client.query('grant usage on schema poststelle to fence_reader')
    await client.query('grant execute on function poststelle.place() to fence_reader')
    await client.query('set local role fence_reader')
    const { rows } = await client.query<{ place: string }>('select poststelle.place()')
    expect(rows[0]?.place).toBe((await readInstallation(house.db)).place)
    expect(rows[0]?.place).toMatch(/^\d{10,}\/\d+$/)
    await client.query('rollback')
    await client.end()
  })
})
