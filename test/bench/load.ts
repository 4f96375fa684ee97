// The whole service under load, as separate processes on Postgres 15 and Redis: `load [accounts] [messages each] [outgoing]
// [--kills N] [--flush]`. Afterwards the oracle compares what the servers saw with what the tables say.

import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import { startCommand, runCommand, type RunningCommand } from '../support/command.ts'
import { tempFolder, removeFolder } from '../support/child.ts'
import { outgoingMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'
import { startPostgres } from '../support/postgres.ts'
import { startRedis } from '../support/redis.ts'
import { report } from './house.ts'

interface Plan {
  readonly accounts: number
  readonly each: number
  readonly outgoing: number
  readonly kills: number
  readonly flush: boolean
}

const LIMIT_MS = 15 * 60_000

export async function load(args: readonly string[]): Promise<void> {
  const killsAt = args.indexOf('--kills')
  const numbers = args.slice(0, args.findIndex((arg) => arg.startsWith('--')) >>> 0).map(Number)
  const [accounts = 50, each = 200, outgoing = 1_000] = numbers
  await run({
    accounts,
    each,
    outgoing,
    kills: killsAt < 0 ? 0 : Number(args[killsAt + 1]),
    flush: args.includes('--flush'),
  })
}

async function run(plan: Plan): Promise<void> {
  const folder = tempFolder('load')
  const half = Math.floor(plan.accounts / 2)
  const world = await startMailWorld({
    oauthAccounts: plan.accounts - half,
    passwordAccounts: half,
    pollIntervalSeconds: 5,
  })
  const postgres = await startPostgres({ fsync: true })
  const redis = await startRedis()
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    POSTSTELLE_KEYS: `k:${randomBytes(32).toString('base64')}`,
    POSTSTELLE_DATA: folder,
    POSTSTELLE_CA_FILE: world.pki.caFile,
    POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1',
    POSTSTELLE_HTTP: '127.0.0.1:0',
    POSTSTELLE_LOG: 'warn',
  }
  const pool = new pg.Pool({ connectionString: postgres.url, max: 4 })
  let worker: RunningCommand | undefined
  try {
    // with kills, the work is spread over them, so that every kill hits some
    const slices = plan.kills > 0 ? plan.kills : 1
    const slice = Math.floor(plan.each / slices)
    world.fill(plan.each - slice * (slices - 1), 4_000)
    await must(runCommand(['migrate', 'up'], { env }))
    await must(runCommand(['account', 'import', '-'], { env, input: JSON.stringify(world.accounts) }))
    const start = () => (worker = startCommand(['start', '--roles', 'worker', '--json'], { env }))
    const begun = performance.now()
    await start().until(/"queues":"redis"/)
    const submitting = submit(pool, world, plan)
    if (plan.flush) await flushInTheMiddle(pool, redis.url, plan)
    for (let kill = 1; kill <= plan.kills; kill++) {
      await pause(200 + Math.random() * 2_800)
      worker?.child.kill('SIGKILL')
      await worker?.ended()
      await start().until(/"queues":"redis"/)
      if (kill < slices) world.fill(slice, 4_000)
    }
    await submitting
    const flushed = performance.now()
    await untilQuiet(pool, world, plan)
    report(
      `load ${plan.accounts} accounts x ${plan.each} messages, ${plan.outgoing} outgoing, ${plan.kills} kills${plan.flush ? ', FLUSHALL' : ''}`,
      {
        'seconds in all': ((performance.now() - begun) / 1000).toFixed(1),
        'seconds after the last disturbance': ((performance.now() - flushed) / 1000).toFixed(1),
      },
    )
    await oracle(pool, world, plan)
    if (plan.kills > 0) {
      await pool.query(`update poststelle.outbound_messages set next_attempt_at = now() where state = 'uncertain'`)
      await untilQuiet(pool, world, plan, 0)
      report('after the one repeat of what was uncertain', {
        'seconds in all': ((performance.now() - begun) / 1000).toFixed(1),
      })
      await oracle(pool, world, plan)
    }
  } finally {
    worker?.child.kill('SIGTERM')
    await worker?.ended()
    await pool.end()
    await redis.stop()
    await postgres.stop()
    await world.stop()
    removeFolder(folder)
  }
}

async function must(result: ReturnType<typeof runCommand>): Promise<void> {
  const { code, err } = await result
  if (code !== 0) throw new Error(err)
}

async function submit(pool: pg.Pool, world: MailWorld, { outgoing, kills }: Plan): Promise<void> {
  for (let i = 0; i < outgoing; i++) {
    if (kills > 0) await pause((kills * 2_000) / outgoing)
    const from = world.emails[i % world.emails.length] ?? ''
    await pool.query('select poststelle.submit_message($1, $1, $2, $3, $4)', [
      from,
      ['kunde@example.test'],
      outgoingMessage(from, 'kunde@example.test', String(i)),
      `n-${i}`,
    ])
  }
}

const progress = async (pool: pg.Pool): Promise<{ stored: number; open: number; uncertain: number }> => {
  const { rows } = await pool.query<{ stored: string; open: string; uncertain: string }>(
    `select (select count(*) from poststelle.messages) as stored, (select count(*) from poststelle.outbound_messages where finished_at is null) as open,
      (select count(*) from poststelle.outbound_messages where state = 'uncertain') as uncertain`,
  )
  return { stored: Number(rows[0]?.stored), open: Number(rows[0]?.open), uncertain: Number(rows[0]?.uncertain) }
}

async function flushInTheMiddle(pool: pg.Pool, url: string, plan: Plan): Promise<void> {
  while ((await progress(pool)).stored < (plan.accounts * plan.each) / 3) await pause(20)
  const client = new Redis(url)
  await client.flushall()
  client.disconnect()
}

/** Everything stored, and nothing outgoing but what is uncertain and waits for evidence. */
async function untilQuiet(pool: pg.Pool, world: MailWorld, plan: Plan, mayBeUncertain = Infinity): Promise<void> {
  const end = performance.now() + LIMIT_MS
  for (;;) {
    const { stored, open, uncertain } = await progress(pool)
    if (
      stored >= plan.accounts * plan.each &&
      open === uncertain &&
      uncertain <= mayBeUncertain &&
      world.postfix.delivered().length >= plan.outgoing - uncertain
    )
      return
    if (performance.now() > end)
      throw new Error(
        `not finished: stored ${stored}, open ${open}, uncertain ${uncertain}, delivered ${world.postfix.delivered().length}`,
      )
    await pause(100)
  }
}

async function oracle(pool: pg.Pool, world: MailWorld, plan: Plan): Promise<void> {
  const { rows } = await pool.query<{ account: string; listed: string; stored: string }>(
    `select account, encode(sha256(poststelle.raw_message(id)), 'hex') as stored, sha256 as listed from poststelle.inbox order by id`,
  )
  let lost = 0
  let doubled = 0
  for (const email of world.emails) {
    const got = new Map<string, number>()
    for (const row of rows)
      if (row.account === email && row.stored === row.listed) got.set(row.stored, (got.get(row.stored) ?? 0) + 1)
    for (const { sha256 } of world.dovecot.stored(email)) {
      const times = got.get(sha256) ?? 0
      if (times === 0) lost += 1
      if (times > 1) doubled += times - 1
    }
  }
  report('inbound', { expected: plan.accounts * plan.each, stored: rows.length, lost, doubled })
  const copies = new Map<string, number>()
  for (const { messageId } of world.postfix.delivered())
    copies.set(messageId ?? '', (copies.get(messageId ?? '') ?? 0) + 1)
  const out = await pool.query<{ message_id: string; state: string; repeated: boolean }>(
    'select message_id, state, repeated from poststelle.outbox',
  )
  const figures = {
    accepted: out.rows.length,
    sent: 0,
    uncertain: 0,
    'uncertain that arrived': 0,
    lost: 0,
    'doubled and flagged': 0,
    'doubled and not flagged': 0,
  }
  for (const { message_id: id, state, repeated } of out.rows) {
    const times = copies.get(id) ?? 0
    if (state === 'sent') figures.sent += 1
    if (state === 'uncertain') figures.uncertain += 1
    if (state === 'uncertain' && times > 0) figures['uncertain that arrived'] += 1
    if (state === 'sent' && times === 0) figures.lost += 1
    if (times > 1 && repeated) figures['doubled and flagged'] += 1
    if (times > 1 && !repeated) figures['doubled and not flagged'] += 1
  }
  report('outbound', figures)
  if (
    lost + doubled + figures.lost + figures['doubled and not flagged'] > 0 ||
    figures.sent + figures.uncertain !== plan.outgoing
  )
    process.exitCode = 1
}
