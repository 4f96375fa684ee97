// The service as it runs, in a process of its own, with a Postgres and a sink, and one account whose mail waits until it is let go.

import pg from 'pg'
import { removeFolder, tempFolder } from '../../support/child.ts'
import { startCommand, type RunningCommand } from '../../support/command.ts'
import { makePki } from '../../support/pki.ts'
import { startRedis } from '../../support/redis.ts'
import { openBenchHouse, type BenchHouse } from '../house.ts'
import { startLagProxy } from '../lag-proxy.ts'
import { cpuMs, monotonicMs, treeCpuMs } from '../machine.ts'
import { benchMessage, SINK_USER, startSink, type Sink, type SinkRun } from './sink.ts'

export type Backend = 'Redis' | 'Postgres'

/** CPU time so far, in ms, by who spent it. */
export interface Costs {
  readonly sender: number
  readonly postgres: number
  readonly redis: number
  readonly sink: number
}

export interface Service {
  readonly backend: Backend
  readonly house: BenchHouse
  readonly caFile: string
  /** Where the account sends: the sink, or what stands before it. */
  readonly port: number
  readonly sink: Sink
  readonly pid: number
  /** Connections as an application has them. */
  readonly pool: pg.Pool
  readonly accountId: number
  /** Commits messages 0 to `count` - 1 of a run, many in a transaction, for a lane that is switched off. */
  store(run: SinkRun, count: number, sizeBytes: number): Promise<void>
  /** Commits one message. */
  submit(run: SinkRun, id: number, sizeBytes: number): Promise<void>
  /** Commits them all, one by one, over several connections. */
  submitAll(run: SinkRun, count: number, sizeBytes: number): Promise<void>
  /** The operator's switch. Returns when it was committed, in the time of `monotonicMs`. */
  switchSending(on: boolean): Promise<number>
  /** Until every message of the outbox is sent. Throws where one is not. */
  untilSettled(): Promise<void>
  costs(): Costs
  close(): Promise<void>
}

export const LIMIT_MS = 600_000
const SUBMITTERS = 4
const AT_ONCE = 100
const WARM = 500

export async function startService(o: { backend: Backend; roundTripMs?: number; warm?: number }): Promise<Service> {
  const pki = await makePki()
  const sink = await startSink(pki)
  const proxy = o.roundTripMs === undefined ? undefined : await startLagProxy(sink.port, o.roundTripMs)
  const house = await openBenchHouse(pki.caFile)
  const redis = o.backend === 'Redis' ? await startRedis() : undefined
  const folder = tempFolder('bench')
  const pool = new pg.Pool({ connectionString: house.url, max: SUBMITTERS })
  const ids = await house.importAccounts([
    {
      email: SINK_USER,
      smtp: { host: 'localhost', port: proxy?.port ?? sink.port, security: 'starttls' },
      auth: { type: 'password', password: sink.password },
    },
  ])
  const accountId = ids.get(SINK_USER) ?? 0
  const worker = startCommand(['start', '--roles', 'worker', '--json'], {
    env: {
      DATABASE_URL: house.url,
      ...(redis && { REDIS_URL: redis.url }),
      POSTSTELLE_KEYS: house.keys,
      POSTSTELLE_DATA: folder,
      POSTSTELLE_CA_FILE: pki.caFile,
      POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1',
      POSTSTELLE_HTTP: '127.0.0.1:0',
      POSTSTELLE_LOG: 'warn',
    },
  })
  const close = async (): Promise<void> => {
    worker.child.kill('SIGTERM')
    await worker.ended()
    await pool.end()
    await house.close()
    await redis?.stop()
    await proxy?.stop()
    await sink.stop()
    await pki.stop()
    removeFolder(folder)
  }
  const switchSending = async (on: boolean): Promise<number> => {
    await pool.query(
      `with switched as (update poststelle.accounts set enabled_send = ${on} where id = ${accountId} returning id)
      select pg_notify('poststelle_bell', 'send:' || id) from switched`,
    )
    return monotonicMs()
  }
  const submit = async (run: SinkRun, id: number, sizeBytes: number): Promise<void> => {
    await pool.query(`select poststelle.submit_message($1, $1, array['kunde@example.test'], $2, $3)`, [
      SINK_USER,
      benchMessage(run.name, id, sizeBytes),
      `${run.name}-${id}`,
    ])
  }
  const service: Service = {
    backend: o.backend,
    house,
    caFile: pki.caFile,
    port: proxy?.port ?? sink.port,
    sink,
    pid: worker.pid,
    pool,
    accountId,
    switchSending,
    store: (run, count, sizeBytes) =>
      inParallel(Math.ceil(count / AT_ONCE), async (batch) => {
        const first = batch * AT_ONCE
        const messages = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, i) =>
          benchMessage(run.name, first + i, sizeBytes),
        )
        await pool.query(
          `select poststelle.submit_message($1, $1, array['kunde@example.test'], raw) from unnest($2::bytea[]) raw`,
          [SINK_USER, messages],
        )
      }),
    submit,
    submitAll: (run, count, sizeBytes) => inParallel(count, (id) => submit(run, id, sizeBytes)),
    untilSettled: () => untilSettled(house),
    costs: () => ({
      sender: treeCpuMs(worker.pid),
      postgres: treeCpuMs(house.postgresPid),
      redis: redis ? cpuMs(redis.pid) : 0,
      sink: cpuMs(sink.pid),
    }),
    close,
  }
  try {
    await warm(service, worker, o.warm ?? WARM)
    return service
  } catch (error) {
    await close()
    throw error
  }
}

/** Numbers from 0 to `count` - 1, over all connections of the application. */
async function inParallel(count: number, work: (number: number) => Promise<void>): Promise<void> {
  let next = 0
  const one = async (): Promise<void> => {
    while (next < count) await work(next++)
  }
  await Promise.all(Array.from({ length: SUBMITTERS }, one))
}

/** Code is warm and connections are made, as in a worker that has been running for a while. */
async function warm(service: Service, worker: RunningCommand, count: number): Promise<void> {
  await worker.until(/"queues":"/)
  const run = await service.sink.expect(count)
  await service.store(run, count, 4_096)
  await run.all(LIMIT_MS)
  await service.untilSettled()
}

async function untilSettled(house: BenchHouse): Promise<void> {
  const end = performance.now() + LIMIT_MS
  for (;;) {
    const [row] = await house.query<{ open: number; unsent: number }>(
      `select count(*) filter (where finished_at is null)::int as open,
        count(*) filter (where finished_at is not null and state <> 'sent')::int as unsent from poststelle.outbound_messages`,
    )
    if (row && row.unsent > 0) throw new Error(`${row.unsent} messages ended otherwise than sent`)
    if (row?.open === 0) return
    if (performance.now() > end) throw new Error(`${row?.open} messages are not settled`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
