// More than memory should hold, and slower than a slot should be held.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { createNet } from '../../../src/net/dial.ts'
import { PopSession } from '../../../src/pop3/session.ts'
import { openCrashRig, type CrashRig } from '../../support/crash.ts'
import { FULL, row, sized } from '../../support/figures.ts'
import { fill, truths } from '../../support/kill-points.ts'
import { letter } from '../../support/letters.ts'
import { watchMemory } from '../../support/memory.ts'
import { inspect } from '../../support/oracle.ts'
import { startPopbox, type BoxOptions, type Popbox, type Twist } from '../../support/popbox.ts'

const MIB = 1024 * 1024
const USER = 'a@example.test'
/** A process of 100 MB may breathe, and its parsing threads have heaps of their own; what it must not do is hold the message. */
const MOST_GROWTH_MIB = 160

const settled = async ({ database: { db } }: CrashRig): Promise<string> => {
  const { rows } = await sql<{
    said: string
  }>`select concat_ws(' ', u.state, u.oversize, u.reason) as said from poststelle.maildrop_uidls u
    where u.state not in ('stored', 'deleted') and not u.oversize
    union all select 'not polled yet' from poststelle.maildrops where last_poll_at is null
    union all select 'under lease' from poststelle.lanes where lease_token is not null`.execute(db)
  return rows.map(({ said }) => said).join(', ')
}

async function untilSettled(rig: CrashRig): Promise<void> {
  let said = ''
  await rig.until(
    () => said,
    async () => (said = await settled(rig)) === '',
  )
}

row(
  'A14',
  'messages larger than allowed: their headers only, whatever was announced; what is allowed passes in pieces',
  { fast: true },
  async () => {
    const box = await startPopbox()
    const drop = box.maildrop(USER)
    const allowed = sized(24, 150) * MIB
    fill(box, USER, 3)
    const ill = [
      drop.addGenerated({ sizeBytes: allowed * 2 }),
      drop.addGenerated({ sizeBytes: MIB }, { announced: 2 * 1024 * MIB }),
      drop.addGenerated({ sizeBytes: allowed * 2 }, { announced: 1_000 }),
    ]
    const large = drop.addGenerated({ sizeBytes: Math.round(allowed * 0.9) })
    fill(box, USER, 3)
    const rig = await openCrashRig({
      accounts: [box.account(USER, { delete_after_days: 0, max_message_bytes: allowed })],
    })
    try {
      const worker = await rig.start()
      const memory = watchMemory(worker.pid)
      await untilSettled(rig)
      const { db } = rig.database
      await rig.pollAll()
      await rig.until(
        () => `${drop.messages.length} on the server`,
        () => drop.messages.length === ill.length,
      )
      await untilSettled(rig)
      const growth = memory.growthMib()
      const { rows } = await sql<{ uidl: string; state: string; oversize: boolean; complete: boolean; bytes: number }>`
      select u.uidl, u.state, u.oversize, m.complete, m.size_bytes as bytes from poststelle.maildrop_uidls u
      join poststelle.messages m on m.id = u.message_id where u.state <> 'deleted'`.execute(db)
      expect(new Set(rows.map(({ uidl }) => uidl))).toEqual(new Set(ill.map(({ uidl }) => uidl)))
      expect(rows.filter((found) => found.state !== 'skipped' || !found.oversize || found.complete)).toEqual([])
      const flags = await sql<{
        flag: string
      }>`select flag from poststelle.health_flags where cleared_at is null`.execute(db)
      expect(flags.rows).toEqual([{ flag: 'message_oversize' }])
      const found = await inspect(db, truths(box))
      expect(found).toMatchObject({
        lost: 0,
        doubled: 0,
        partial: 0,
        deletedUnread: 0,
        waiting: ill.length,
        violations: [],
      })
      expect(drop.deleted).toContain(large)
      expect(growth).toBeLessThan(MOST_GROWTH_MIB)
      const mib = (bytes: number): number => Math.round(bytes / MIB)
      return `memory +${growth.toFixed(0)} MiB at ${mib(large.sizeBytes)} MiB stored and ${mib(allowed * 2)} MiB under a false size, oversize ${rows.length} of ${ill.length}, deleted unread 0`
    } finally {
      await rig.close()
      await box.stop()
    }
  },
)

/** Replies that may be long: up to 64 MiB of each are read before the session is given up. */
const LISTINGS = 3

/** More than a server ever has to say, without an end. */
function* endless(begin: string, bytes: number): Iterable<Buffer> {
  yield Buffer.from(begin)
  const piece = Buffer.alloc(64 * 1024, 'x')
  for (let at = 0; at < bytes; at += piece.length) yield piece
}

row(
  'A15',
  'a line of 50 MB, and replies that never end: bounded memory, and the session ends',
  { fast: true },
  async () => {
    const size = sized(100, 1_024) * MIB
    const traps: readonly [string, string][] = [
      ['GREETING', '+OK '],
      ['STAT', '+OK 1 '],
      ['UIDL', '+OK\r\n1 '],
      ['LIST', '+OK\r\n1 '],
      ['CAPA', '+OK\r\n'],
    ]
    const boxes = await Promise.all([startPopbox(), ...traps.map(() => startPopbox())])
    const [good] = boxes
    if (!good) throw new Error('no server')
    const line = good.maildrop(USER).addGenerated({ sizeBytes: 50 * MIB, oneLine: true })
    fill(good, USER, 3)
    let taken = 0
    for (const [i, [verb, begin]] of traps.entries()) {
      const box = boxes[i + 1]
      box?.maildrop(`${i}@example.test`).add(letter('Falle'))
      if (box)
        box.hooks = {
          seen: (event): Twist | undefined =>
            event.verb === verb ? { reply: counted(endless(begin, size), (n) => (taken += n)) } : undefined,
        }
    }
    const accounts = [good.account(USER), ...traps.flatMap((_, i) => boxes[i + 1]?.account(`${i}@example.test`) ?? [])]
    const rig = await openCrashRig({ accounts })
    try {
      const worker = await rig.start()
      const begun = performance.now()
      const memory = watchMemory(worker.pid)
      const { db } = rig.database
      let open: string[] = []
      await rig.until(
        () => `still at ${open.join(', ')}`,
        async () => {
          const { rows } = await sql<{
            email: string
          }>`select a.email from poststelle.accounts a join poststelle.account_health h
          on h.account_id = a.id and h.direction = 'receive' where h.last_run_at is null`.execute(db)
          open = rows.map(({ email }) => email)
          return open.length === 0 && (await inspect(db, truths(good))).stored === 4
        },
      )
      const seconds = (performance.now() - begun) / 1000
      const growth = memory.growthMib()
      const { rows } = await sql<{
        flag: string
      }>`select flag from poststelle.health_flags where cleared_at is null`.execute(db)
      expect(rows.length).toBe(traps.length)
      expect(growth).toBeLessThan(MOST_GROWTH_MIB + LISTINGS * 64)
      expect((await inspect(db, truths(good))).partial).toBe(0)
      return `memory +${growth.toFixed(0)} MiB, all ended in ${seconds.toFixed(1)} s, ${Math.round(taken / MIB)} MiB of ${Math.round((size * traps.length) / MIB)} MiB were taken, line of ${Math.round(line.sizeBytes / MIB)} MiB stored whole`
    } finally {
      await rig.close()
      await Promise.all(boxes.map((box) => box.stop()))
    }
  },
)

function* counted(pieces: Iterable<Buffer>, count: (bytes: number) => void): Iterable<Buffer> {
  for (const piece of pieces) {
    count(piece.length)
    yield piece
  }
}

const PHASES = ['GREETING', 'CAPA', 'PASS', 'STAT', 'UIDL', 'LIST', 'RETR'] as const

row('A16', 'a byte per second at any phase: the slot is free again within the limit', { fast: true }, async () => {
  // the limits of the program, or a twentieth of them
  const limits = FULL ? {} : { idleTimeoutMs: 3_000, greetingTimeoutMs: 1_500 }
  const net = createNet({ allowPrivate: ['127.0.0.0/8', '::1'] })
  try {
    const times = await Promise.all(PHASES.map((verb) => untilFree(net, verb, limits)))
    const most = Math.max(...times)
    expect(most).toBeLessThanOrEqual(sized(4.5, 90))
    return `slot freed after ${most.toFixed(1)} s at most, ${PHASES.length} phases${FULL ? '' : ', limits a twentieth'}`
  } finally {
    await net.close()
  }
})

/** Seconds until the session with a server that drips at this command has ended. */
async function untilFree(net: ReturnType<typeof createNet>, verb: string, limits: object): Promise<number> {
  const options: BoxOptions = {
    habits: { greeting: `+OK ${'langsam '.repeat(60)}`, loggedIn: `+OK ${'langsam '.repeat(60)}` },
  }
  const box: Popbox = await startPopbox(options)
  for (let n = 0; n < 60; n++) box.maildrop(USER).add(letter('langsam', { sizeBytes: 2_000 }))
  box.edits = { stat: (line) => `${line} ${'langsam '.repeat(60)}` }
  box.hooks = { seen: (event) => (event.verb === verb ? { bytesPerSecond: 1 } : undefined) }
  const begun = performance.now()
  try {
    await session(net, box, limits)
    throw new Error(`nothing was slow at ${verb}`)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return (performance.now() - begun) / 1000
  } finally {
    await box.stop()
  }
}

async function session(net: ReturnType<typeof createNet>, box: Popbox, limits: object): Promise<void> {
  const target = { host: 'localhost', port: box.port, security: 'none', provider: 'generic' } as const
  const signal = new AbortController().signal
  const pop = await PopSession.open(net, target, { signal, ...limits })
  try {
    await pop.login({ mechanism: 'password', username: USER, password: box.maildrop(USER).password })
    await pop.capabilities()
    await pop.stat()
    await pop.uidls()
    await pop.sizes()
    const [, body] = await pop.command('RETR', 1)
    for await (const piece of body) void piece
  } finally {
    pop.close()
  }
}
