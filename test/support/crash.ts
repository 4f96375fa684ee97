// The worker as a process of its own that is killed with SIGKILL, at a named point or at a random moment, and started again.

import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import { removeFolder, tempFolder } from './child.ts'
import { runCommand, startCommand, type RunningCommand } from './command.ts'
import { freshDatabase, type TestDatabase } from './database.ts'

export interface CrashRig {
  readonly database: TestDatabase
  readonly kills: number
  /** Starts a worker besides those that run. */
  start(): Promise<RunningCommand>
  /** Kills the worker that was started last; returns when it is gone. */
  kill(): Promise<void>
  /** The kill is noticed at once instead of after some seconds of silence. */
  noticeDeath(): Promise<void>
  /** Every maildrop is due, and is listed whole. */
  pollAll(): Promise<void>
  /** Looks until it is true; throws what `doing` says after a minute and a half. */
  until(doing: () => string, condition: () => boolean | Promise<boolean>): Promise<void>
  close(): Promise<void>
}

export interface CrashRigOptions {
  /** As `account import` reads them. */
  readonly accounts: readonly object[]
  readonly caFile?: string
  readonly env?: Readonly<Record<string, string>>
}

const LOOK_MS = 15
const LIMIT_MS = 90_000

export async function openCrashRig(o: CrashRigOptions): Promise<CrashRig> {
  const folder = tempFolder('crash')
  const database = await freshDatabase()
  const { db } = database
  const env = {
    DATABASE_URL: database.url,
    POSTSTELLE_KEYS: `k:${randomBytes(32).toString('base64')}`,
    POSTSTELLE_DATA: folder,
    POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1',
    POSTSTELLE_HTTP: '127.0.0.1:0',
    POSTSTELLE_LOG: 'warn',
    ...(o.caFile !== undefined && { POSTSTELLE_CA_FILE: o.caFile }),
    ...o.env,
  }
  const imported = await runCommand(['account', 'import', '-'], { env, input: JSON.stringify(o.accounts) })
  if (imported.code !== 0) throw new Error(imported.err)
  // shorter than an account file may ask for
  await sql`update poststelle.maildrops set poll_interval_seconds = 1`.execute(db)
  const workers: RunningCommand[] = []
  let kills = 0
  return {
    database,
    get kills() {
      return kills
    },
    async start() {
      const worker = startCommand(['start', '--roles', 'worker', '--json'], { env })
      workers.push(worker)
      await worker.until(/"queues"/)
      return worker
    },
    async kill() {
      const worker = workers.pop()
      if (!worker) throw new Error('no worker runs')
      worker.child.kill('SIGKILL')
      await worker.ended()
      kills += 1
    },
    async noticeDeath() {
      await sql`update poststelle.workers set seen_at = now() - interval '1 minute'`.execute(db)
      // a job that went down with it is not waited for
      await sql`update poststelle.lanes set dispatched_until = now() where dispatched_until > now()`.execute(db)
      await sql`select pg_notify('poststelle_bell', '')`.execute(db)
    },
    async pollAll() {
      await sql`update poststelle.maildrops set listed_at = null, listed_digest = null`.execute(db)
      await sql`update poststelle.lanes set due_at = now(), parked_until = null, dispatched_until = null where lane = 'receive'`.execute(
        db,
      )
    },
    async until(doing, condition) {
      const end = performance.now() + LIMIT_MS
      while (!(await condition())) {
        if (performance.now() > end) throw new Error(`it never came to that: ${doing()}`)
        await pause(LOOK_MS)
      }
    },
    async close() {
      for (const { child } of workers) {
        child.kill('SIGCONT') // where it was made to stand still
        child.kill('SIGTERM')
      }
      const ends = await Promise.all(workers.map((worker) => worker.ended()))
      await database.drop()
      removeFolder(folder)
      const bad = ends.find(({ code }) => code !== 0)
      if (bad) throw new Error(`a worker ended with ${bad.code}: ${bad.err}`)
    },
  }
}
