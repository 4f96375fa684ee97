// A process's presence in the database, on one connection of its own: its worker row, the session lock that proves it is
// alive, the heartbeat that renews its leases, and the bell (LISTEN). Bells may be lost; ticks make up for them.

import { hostname } from 'node:os'
import { sql } from 'kysely'
import pg from 'pg'
import { forgetAskers } from './client-breakers.ts'
import type { Db } from './database.ts'
import { LEASE_SECONDS } from './lanes.ts'
import type { LaneKind } from './schema.ts'

/** First half of every worker's advisory lock: 'POST' in ASCII. */
const LOCK_CLASS = 0x504f5354
const CHANNEL = 'poststelle_bell'
const HEARTBEAT_MS = 3_000
/** A connection that was only interrupted is back by then. */
const SILENT_SECONDS = 7
const RECONNECT_MS = 1_000

export interface WorkerSessionOptions {
  readonly roles: string
  readonly version: string
  /** Called with the payload of every bell, and with '' after a reconnect: bells may have been missed. */
  readonly onRing: (payload: string) => void
  readonly onProblem: (error: Error) => void
}

export class WorkerSession {
  readonly workerId: number
  readonly #url: string
  readonly #options: WorkerSessionOptions
  readonly #heartbeat: NodeJS.Timeout
  #client: pg.Client | undefined
  #reconnect: NodeJS.Timeout | undefined
  #closed = false

  private constructor(workerId: number, url: string, client: pg.Client, options: WorkerSessionOptions) {
    this.workerId = workerId
    this.#url = url
    this.#options = options
    this.#attach(client)
    this.#heartbeat = setInterval(() => void this.beat().catch(options.onProblem), HEARTBEAT_MS)
    this.#heartbeat.unref()
  }

  static async open(url: string, options: WorkerSessionOptions): Promise<WorkerSession> {
    const client = await connect(url)
    try {
      // the lock is taken before the row can be seen: nobody takes a new worker for a dead one
      await client.query('begin')
      const { rows } = await client.query<{ id: number }>(
        'insert into poststelle.workers (host, pid, roles, version) values ($1, $2, $3, $4) returning id',
        [hostname(), process.pid, options.roles, options.version],
      )
      const id = rows[0]?.id ?? 0
      await client.query('select pg_advisory_lock($1, $2)', [LOCK_CLASS, id])
      await client.query('commit')
      await client.query(`listen ${CHANNEL}`)
      return new WorkerSession(id, url, client, options)
    } catch (error) {
      await client.end()
      throw error
    }
  }

  /**
   * Renews every lease of this worker; one statement, however many there are, on its own connection: behind a busy pool it
   * could come too late. A lane that is just being settled is left alone.
   */
  async beat(): Promise<void> {
    await this.#client?.query(
      `with alive as (update poststelle.workers set seen_at = now() where id = $1),
        mine as (select account_id, lane from poststelle.lanes
          where lease_worker = $1 and lease_token is not null and lease_until > now() for update skip locked)
      update poststelle.lanes l set lease_until = now() + $2 * interval '1 second'
      from mine where l.account_id = mine.account_id and l.lane = mine.lane`,
      [this.workerId, LEASE_SECONDS],
    )
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#heartbeat)
    clearTimeout(this.#reconnect)
    const client = this.#client
    this.#client = undefined
    if (!client) return
    await client.query('delete from poststelle.workers where id = $1', [this.workerId]).catch(this.#options.onProblem)
    await client.end().catch(this.#options.onProblem)
  }

  #attach(client: pg.Client): void {
    this.#client = client
    client.on('notification', (message) => this.#options.onRing(message.payload ?? ''))
    client.once('error', (error) => this.#lost(client, error))
    client.once('end', () => this.#lost(client, new Error('the connection of the bell was closed')))
  }

  #lost(client: pg.Client, error: Error): void {
    if (this.#closed || this.#client !== client) return
    this.#client = undefined
    this.#options.onProblem(error)
    client.on('error', () => undefined)
    this.#scheduleReconnect()
  }

  #scheduleReconnect(): void {
    this.#reconnect = setTimeout(() => {
      this.#resume().catch((error: Error) => {
        this.#options.onProblem(error)
        if (!this.#closed) this.#scheduleReconnect()
      })
    }, RECONNECT_MS)
  }

  async #resume(): Promise<void> {
    const client = await connect(this.#url)
    try {
      await client.query('select pg_advisory_lock($1, $2)', [LOCK_CLASS, this.workerId])
      await client.query(
        `insert into poststelle.workers (id, host, pid, roles, version) overriding system value values ($1, $2, $3, $4, $5)
         on conflict (id) do update set seen_at = now()`,
        [this.workerId, hostname(), process.pid, this.#options.roles, this.#options.version],
      )
      await client.query(`listen ${CHANNEL}`)
    } catch (error) {
      await client.end()
      throw error
    }
    if (this.#closed) return await client.end()
    this.#attach(client)
    this.#options.onRing('')
  }
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, keepAlive: true, connectionTimeoutMillis: 15_000 })
  client.on('error', () => undefined) // nobody listens yet, and an unheard error would end the process
  await client.connect()
  return client
}

/**
 * Frees the leases of workers whose connection is gone and that have been silent for a while: one whose connection was only
 * interrupted is not dead, and never the caller itself. Nobody waits any longer for what they asked of token
 * endpoints. Returns how many workers were found dead.
 */
export async function buryDeadWorkers(db: Db, ownId: number): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    // a lock that can be had belongs to nobody; it is ours until this transaction ends
    const dead = await sql<{ id: number }>`
      select id from poststelle.workers where id <> ${ownId} and seen_at < now() - ${SILENT_SECONDS} * interval '1 second'
        and pg_try_advisory_xact_lock(${LOCK_CLASS}, id)`.execute(tx)
    const ids = dead.rows.map((row) => row.id)
    if (ids.length > 0) await sql`delete from poststelle.workers where id = any(${ids})`.execute(tx)
    const lost = await sql<{ account_id: number; lane: LaneKind }>`
      with lost as (
        select account_id, lane from poststelle.lanes l where lease_token is not null and lease_worker <> ${ownId}
          and not exists (select from poststelle.workers w where w.id = l.lease_worker) for update skip locked
      )
      update poststelle.lanes l set lease_token = null, lease_until = null, lease_worker = null, dispatched_until = null
      from lost where l.account_id = lost.account_id and l.lane = lost.lane returning l.account_id, l.lane`.execute(tx)
    await forgetAskers(
      tx,
      lost.rows.filter((row) => row.lane === 'token').map((row) => row.account_id),
    )
    return ids.length
  })
}

export interface WorkerRow {
  readonly id: number
  readonly host: string
  readonly pid: number
  readonly roles: string
  readonly seenAt: Date
}

/** Workers whose connection lives and whose heartbeat is younger than the life of a lease. */
export async function livingWorkers(db: Db): Promise<WorkerRow[]> {
  const rows = await db
    .selectFrom('workers')
    .select(['id', 'host', 'pid', 'roles', 'seen_at'])
    .where(sql<boolean>`seen_at > now() - ${LEASE_SECONDS} * interval '1 second'`)
    .where(
      sql<boolean>`exists (select from pg_locks l where l.locktype = 'advisory' and l.classid = ${LOCK_CLASS} and l.objid = workers.id
        and l.database = (select d.oid from pg_database d where d.datname = current_database()))`,
    )
    .orderBy('id')
    .execute()
  return rows.map(({ seen_at, ...row }) => ({ ...row, seenAt: seen_at }))
}
