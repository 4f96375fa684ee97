// Polls in which nothing is new, by the real service: a worker in a process of its own, with everything from the tick to the
// settlement, on either queue.

import { setTimeout as pause } from 'node:timers/promises'
import { removeFolder, tempFolder } from '../support/child.ts'
import { startCommand } from '../support/command.ts'
import { sampleMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'
import { startRedis } from '../support/redis.ts'
import { openBenchHouse, report, type BenchHouse } from './house.ts'
import { cpuMs, peakRssMb, treeCpuMs } from './machine.ts'

const MESSAGES = 20
const PER_SECOND = 100
const WARM_MS = 10_000

export async function idle([accounts = '500', seconds = '30']: readonly string[]): Promise<void> {
  const world = await startMailWorld({
    oauthAccounts: Number(accounts),
    passwordAccounts: 0,
    pollIntervalSeconds: 5,
  })
  try {
    for (const email of world.emails)
      for (let i = 1; i <= MESSAGES; i += 1) world.dovecot.deliver(email, sampleMessage(email, i, 2_000))
    for (const backend of ['Redis', 'Postgres'] as const) {
      const house = await openBenchHouse(world.pki.caFile)
      const redis = backend === 'Redis' ? await startRedis() : undefined
      try {
        await house.importAccounts(world.accounts)
        // somewhat more than is to be reached; the account file allows no less than 5 s
        const interval = Math.max(1, Math.floor(Number(accounts) / PER_SECOND / 1.06))
        await house.query(`update poststelle.maildrops set poll_interval_seconds = ${interval}`)
        await serve(backend, world, house, Number(seconds), redis)
      } finally {
        await house.close()
        await redis?.stop()
      }
    }
  } finally {
    await world.stop()
  }
}

async function serve(
  backend: string,
  world: MailWorld,
  house: BenchHouse,
  seconds: number,
  redis?: { url: string; pid: number },
): Promise<void> {
  const folder = tempFolder('bench')
  const worker = startCommand(['start', '--roles', 'worker', '--json'], {
    env: {
      DATABASE_URL: house.url,
      ...(redis && { REDIS_URL: redis.url }),
      POSTSTELLE_KEYS: house.keys,
      POSTSTELLE_DATA: folder,
      POSTSTELLE_CA_FILE: world.pki.caFile,
      POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1',
      POSTSTELLE_HTTP: '127.0.0.1:0',
      POSTSTELLE_LOG: 'warn',
    },
  })
  try {
    await untilStored(house, world.emails.length * MESSAGES)
    await pause(WARM_MS)
    const costs = () => ({
      worker: cpuMs(worker.pid),
      Postgres: treeCpuMs(house.postgresPid),
      ...(redis && { Redis: cpuMs(redis.pid) }),
      Dovecot: treeCpuMs(world.dovecot.pid),
    })
    const [before, polledBefore, begun] = [costs(), logins(world), performance.now()]
    await pause(seconds * 1_000)
    const [after, polls, elapsed] = [costs(), logins(world) - polledBefore, performance.now() - begun]
    const each = (key: keyof typeof before): number => ((after[key] ?? 0) - (before[key] ?? 0)) / polls
    report(`idle on ${backend}, ${world.emails.length} accounts of ${MESSAGES} messages`, {
      'polls/s': `${((polls / elapsed) * 1_000).toFixed(0)} (goal ${PER_SECOND})`,
      'our CPU ms/poll': `${each('worker').toFixed(2)} (goal 5)`,
      'Postgres CPU ms/poll': each('Postgres').toFixed(2),
      ...(redis && { 'Redis CPU ms/poll': each('Redis').toFixed(2) }),
      'Dovecot CPU ms/poll': each('Dovecot').toFixed(2),
      'worker RSS MB': `${peakRssMb(worker.pid)} (goal 180)`,
    })
  } finally {
    worker.child.kill('SIGTERM')
    await worker.ended()
    removeFolder(folder)
  }
}

const logins = (world: MailWorld): number => world.dovecot.log().split('pop3-login: Info: Login:').length - 1

async function untilStored(house: BenchHouse, count: number): Promise<void> {
  const end = performance.now() + 120_000
  for (;;) {
    const [row] = await house.query<{ stored: number }>('select count(*)::int as stored from poststelle.messages')
    if ((row?.stored ?? 0) >= count) return
    if (performance.now() > end) throw new Error(`${row?.stored} of ${count} messages were stored`)
    await pause(100)
  }
}
