// Small messages to a server that is far away.

import { runPeer } from './peer.ts'
import { startService } from './service.ts'
import { measure } from './small.ts'
import { printTable, type Row } from './table.ts'

const ROUND_TRIP_MS = 20
const SIZE_BYTES = 4_096
const WARM = 100
const PEER_CONNECTIONS = [1, 5]

export async function rtt([count = '1000']: readonly string[]): Promise<void> {
  const messages = Number(count)
  const service = await startService({ backend: 'Redis', roundTripMs: ROUND_TRIP_MS, warm: WARM })
  const rows: Row[] = []
  try {
    await service.switchSending(false)
    const run = await service.sink.expect(messages)
    await service.store(run, messages, SIZE_BYTES)
    await service.house.query('vacuum analyze')
    rows.push(await measure(service, 'Poststelle on Redis', messages, run, () => service.switchSending(true)))
    const { sink, port, caFile } = service
    for (const connections of PEER_CONNECTIONS) {
      const each = Math.min(messages, connections * 200)
      const o = { sink, port, caFile, connections, messages: each, sizeBytes: SIZE_BYTES, warm: WARM }
      rows.push(await runPeer('nodemailer', o))
    }
  } finally {
    await service.close()
  }
  printTable(`rtt: ${messages} messages of 4 KB, ${ROUND_TRIP_MS} ms round trip`, rows)
}
