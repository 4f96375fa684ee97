// The whole service under load, as separate processes on Postgres 15 and Redis, disturbed on request. Afterwards an oracle
// compares what the servers saw with what the tables say.

import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import { removeFolder, tempFolder } from './child.ts'
import { runCommand, startCommand, type RunningCommand } from './command.ts'
import { outgoingMessage, startMailWorld, type MailWorld } from './mail-world.ts'
import { startPostgres } from './postgres.ts'
import { startRedis } from './redis.ts'

export interface LoadPlan {
  readonly accounts: number
  /** Messages in each maildrop. */
  readonly each: number
  readonly outgoing: number
  /** kill -9 of the worker, at random moments. */
  readonly kills: number
  /** FLUSHALL when a third is stored. */
  readonly flush: boolean
}

export interface Findings {
  readonly seconds: number
  /** From the last disturbance to the end of the work. */
  readonly secondsAfterwards: number
  readonly inbound: { expected: number; stored: number; lost: number; doubled: number }
  readonly outbound: Outbound
}

interface Outbound {
  accepted: number
  sent: number
  uncertain: number
  /** Of those, the server had taken. */
  uncertainTaken: number
  lost: number
  doubledAndFlagged: number
  doubledUnflagged: number
}

const LIMIT_MS = 15 * 60_000

/** `seen` is told the findings before the uncertain are repeated; those returned are the last. */
export async function runLoad(plan: LoadPlan, seen: (findings: Findings) => void = () => undefined): Promise<Findings> {
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
    const disturbed = performance.now()
    await untilQuiet(pool, world, plan)
    const findings = await inspect(pool, world, plan, begun, disturbed)
    seen(findings)
    if (plan.kills === 0) return findings
    await pool.query(`update poststelle.outbound_messages set next_attempt_at = now() where state = 'uncertain'`)
    await untilQuiet(pool, world, plan, 0)
    return await inspect(pool, world, plan, begun, disturbed)
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

async function submit(pool: pg.Pool, world: MailWorld, { outgoing, kills }: LoadPlan): Promise<void> {
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

async function flushInTheMiddle(pool: pg.Pool, url: string, plan: LoadPlan): Promise<void> {
  while ((await progress(pool)).stored < (plan.accounts * plan.each) / 3) await pause(20)
  const client = new Redis(url)
  await client.flushall()
  client.disconnect()
}

/** Everything stored, and nothing outgoing but what is uncertain and waits for evidence. */
async function untilQuiet(pool: pg.Pool, world: MailWorld, plan: LoadPlan, mayBeUncertain = Infinity): Promise<void> {
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

async function inspect(
  pool: pg.Pool,
  world: MailWorld,
  plan: LoadPlan,
  begun: number,
  disturbed: number,
): Promise<Findings> {
  const now = performance.now()
  return {
    seconds: (now - begun) / 1000,
    secondsAfterwards: (now - disturbed) / 1000,
    inbound: await inspectInbound(pool, world, plan),
    outbound: await inspectOutbound(pool, world),
  }
}

async function inspectInbound(pool: pg.Pool, world: MailWorld, plan: LoadPlan): Promise<Findings['inbound']> {
  const { rows } = await pool.query<{ account: string; summed: string; raw: string }>(
    `select account, sha256 as summed, encode(sha256(poststelle.raw_message(id)), 'hex') as raw from poststelle.inbox`,
  )
  const times = new Map<string, number>()
  for (const { account, summed, raw } of rows) {
    if (raw === summed) times.set(`${account} ${raw}`, (times.get(`${account} ${raw}`) ?? 0) + 1)
  }
  let lost = 0
  let doubled = 0
  for (const email of world.emails) {
    for (const { sha256 } of world.dovecot.stored(email)) {
      const count = times.get(`${email} ${sha256}`) ?? 0
      if (count === 0) lost += 1
      else doubled += count - 1
    }
  }
  return { expected: plan.accounts * plan.each, stored: rows.length, lost, doubled }
}

async function inspectOutbound(pool: pg.Pool, world: MailWorld): Promise<Outbound> {
  const copies = new Map<string, number>()
  for (const { messageId } of world.postfix.delivered())
    copies.set(messageId ?? '', (copies.get(messageId ?? '') ?? 0) + 1)
  const { rows } = await pool.query<{ message_id: string; state: string; repeated: boolean }>(
    'select message_id, state, repeated from poststelle.outbox',
  )
  const found = {
    accepted: rows.length,
    sent: 0,
    uncertain: 0,
    uncertainTaken: 0,
    lost: 0,
    doubledAndFlagged: 0,
    doubledUnflagged: 0,
  }
  for (const { message_id: id, state, repeated } of rows) {
    const times = copies.get(id) ?? 0
    if (state === 'sent') found.sent += 1
    if (state === 'sent' && times === 0) found.lost += 1
    if (state === 'uncertain') found.uncertain += 1
    if (state === 'uncertain' && times > 0) found.uncertainTaken += 1
    if (times > 1 && repeated) found.doubledAndFlagged += 1
    if (times > 1 && !repeated) found.doubledUnflagged += 1
  }
  return found
}
