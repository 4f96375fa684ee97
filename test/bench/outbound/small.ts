// Ten thousand messages of 4 KB that were accepted before: how fast they are at the sink, and what that costs. Then the same
// with the acceptance, and other senders.

import { makePki } from '../../support/pki.ts'
import { monotonicMs, treePeakRssMb } from '../machine.ts'
import { runPeer } from './peer.ts'
import { runPrograms } from './programs.ts'
import { LIMIT_MS, startService, type Backend, type Service } from './service.ts'
import { startSink, type SinkRun } from './sink.ts'
import { printTable, type Row } from './table.ts'

const SIZE_BYTES = 4_096
const PEER_CONNECTIONS = 5

export async function small([count = '10000']: readonly string[]): Promise<void> {
  const messages = Number(count)
  const rows: Row[] = []
  for (const backend of ['Redis', 'Postgres'] as const) rows.push(...(await ours(backend, messages)))
  rows.push(...(await theirs(messages)))
  printTable(`small: ${messages} messages of 4 KB`, rows)
}

async function ours(backend: Backend, messages: number): Promise<Row[]> {
  const service = await startService({ backend })
  try {
    await service.switchSending(false)
    const stored = await service.sink.expect(messages)
    await service.store(stored, messages, SIZE_BYTES)
    await service.house.query('vacuum analyze')
    const drained = await measure(service, `Poststelle on ${backend}`, messages, stored, () =>
      service.switchSending(true),
    )
    const run = await service.sink.expect(messages)
    const submitted = await measure(service, '  submit_message included', messages, run, () =>
      service.submitAll(run, messages, SIZE_BYTES),
    )
    return [drained, submitted]
  } finally {
    await service.close()
  }
}

/** The clock starts with `go`, and stops at the last 250; costs are counted until every outcome is written. */
export async function measure(
  service: Service,
  sender: string,
  messages: number,
  run: SinkRun,
  go: () => Promise<unknown>,
): Promise<Row> {
  const [before, begun] = [service.costs(), monotonicMs()]
  await Promise.all([go(), run.all(LIMIT_MS)])
  await service.untilSettled()
  const after = service.costs()
  const arrivals = await run.arrivals()
  return {
    sender,
    messages,
    seconds: (arrivals.lastAt - begun) / 1000,
    cpuMs: after.sender - before.sender,
    postgresCpuMs: after.postgres - before.postgres,
    redisCpuMs: service.backend === 'Redis' ? after.redis - before.redis : undefined,
    sinkCpuMs: after.sink - before.sink,
    peakRssMb: treePeakRssMb(service.pid),
    arrivals,
  }
}

async function theirs(messages: number): Promise<Row[]> {
  const pki = await makePki()
  const sink = await startSink(pki)
  const { port } = sink
  try {
    const o = { sink, port, caFile: pki.caFile, connections: PEER_CONNECTIONS, messages, sizeBytes: SIZE_BYTES }
    return [await runPeer('nodemailer', o), await runPeer('bullmq', o), ...(await runPrograms(o))]
  } finally {
    await sink.stop()
    await pki.stop()
  }
}
