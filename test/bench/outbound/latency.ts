// Few messages, steadily: from the commit of submit_message to the 250 at the sink.

import { setTimeout as pause } from 'node:timers/promises'
import { report } from '../house.ts'
import { monotonicMs, percentile } from '../machine.ts'
import { LIMIT_MS, startService, type Backend } from './service.ts'

const PER_SECOND = 10

export async function latency([seconds = '30']: readonly string[]): Promise<void> {
  for (const backend of ['Redis', 'Postgres'] as const) await measure(backend, Number(seconds))
}

async function measure(backend: Backend, seconds: number): Promise<void> {
  const service = await startService({ backend })
  try {
    const count = seconds * PER_SECOND
    const run = await service.sink.expect(count)
    const committedAt: number[] = []
    const [before, begun] = [service.costs(), monotonicMs()]
    for (let id = 0; id < count; id += 1) {
      await pause(Math.max(0, begun + (id * 1_000) / PER_SECOND - monotonicMs()))
      await service.submit(run, id, 4_096)
      committedAt.push(monotonicMs())
    }
    await run.all(LIMIT_MS)
    await service.untilSettled()
    const after = service.costs()
    const { at, lost, doubled, connections } = await run.arrivals()
    const waits = committedAt.map((committed, id) => (at.get(id) ?? NaN) - committed)
    const ms = (share: number): string => percentile(waits, share).toFixed(1)
    const each = (key: keyof typeof before): string => ((after[key] - before[key]) / count).toFixed(2)
    report(`latency on ${backend}, ${PER_SECOND} messages/s for ${seconds} s`, {
      'p50 ms': ms(0.5),
      'p95 ms': ms(0.95),
      'p99 ms': ms(0.99),
      'longest ms': ms(1),
      'our CPU ms/message': each('sender'),
      'Postgres CPU ms/message': each('postgres'),
      connections,
      lost,
      doubled,
    })
  } finally {
    await service.close()
  }
}
