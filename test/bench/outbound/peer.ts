// Other senders that are libraries, each in a process of its own, on the same sink.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { startRedis } from '../../support/redis.ts'
import { cpuMs, monotonicMs, treeCpuMs, treePeakRssMb } from '../machine.ts'
import { LIMIT_MS } from './service.ts'
import type { Sink } from './sink.ts'
import type { Row } from './table.ts'

export type PeerKind = 'nodemailer' | 'bullmq'

/** What its process is told at its start, as JSON. */
export interface PeerTask {
  readonly kind: PeerKind
  readonly port: number
  readonly user: string
  readonly password: string
  readonly caFile: string
  readonly redisUrl: string | undefined
  readonly connections: number
  readonly sizeBytes: number
}

export interface PeerRun {
  readonly run: string
  readonly count: number
}

export interface PeerOptions {
  readonly sink: Sink
  /** Where the peers dial: the sink, or what stands before it. */
  readonly port: number
  readonly caFile: string
  readonly connections: number
  readonly messages: number
  readonly sizeBytes: number
  /** So many before the clock starts; 500 where nothing is said. */
  readonly warm?: number
}

const NAMES = { nodemailer: 'nodemailer pool', bullmq: 'BullMQ on Redis + nodemailer pool' }
const WARM = 500

export async function runPeer(kind: PeerKind, o: PeerOptions): Promise<Row> {
  const redis = kind === 'bullmq' ? await startRedis() : undefined
  const { sink, port, caFile, connections, sizeBytes } = o
  const { user, password } = sink
  const task: PeerTask = { kind, port, user, password, caFile, redisUrl: redis?.url, connections, sizeBytes }
  const child = fork(join(import.meta.dirname, 'peer-child.ts'), [JSON.stringify(task)])
  try {
    const pid = child.pid ?? 0
    await told(child, 'started')
    await drain(child, sink, o.warm ?? WARM)
    const costs = (): number[] => [treeCpuMs(pid), cpuMs(sink.pid), redis ? cpuMs(redis.pid) : 0]
    const { begun, before, arrivals } = await drain(child, sink, o.messages, costs)
    const spent = costs().map((ms, i) => ms - (before[i] ?? 0))
    return {
      sender: `${NAMES[kind]}, ${connections}`,
      messages: o.messages,
      seconds: (arrivals.lastAt - begun) / 1000,
      cpuMs: spent[0] ?? 0,
      sinkCpuMs: spent[1] ?? 0,
      redisCpuMs: redis && spent[2],
      peakRssMb: treePeakRssMb(pid),
      arrivals,
    }
  } finally {
    child.disconnect()
    await once(child, 'exit')
    await redis?.stop()
  }
}

/** The peer makes ready what is its durable form of the messages, if it has any; then the clock starts. */
async function drain(child: ChildProcess, sink: Sink, count: number, costs: () => number[] = () => []) {
  const run = await sink.expect(count)
  child.send({ run: run.name, count } satisfies PeerRun)
  await told(child, 'ready')
  const [begun, before] = [monotonicMs(), costs()]
  child.send('go')
  await Promise.all([told(child, 'done'), run.all(LIMIT_MS)])
  return { begun, before, arrivals: await run.arrivals() }
}

async function told(child: ChildProcess, word: string): Promise<void> {
  const [said] = (await once(child, 'message')) as [unknown]
  if (said !== word) throw new Error(`the peer said ${String(said)} instead of ${word}`)
}
