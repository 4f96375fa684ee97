// One large message: the memory it takes beyond what the service has anyway, and how fast it goes.

import { report } from '../house.ts'
import { forgetPeakRss, monotonicMs, peakRssMb } from '../machine.ts'
import { LIMIT_MS, startService } from './service.ts'

export async function large([megabytes = '40']: readonly string[]): Promise<void> {
  const service = await startService({ backend: 'Redis' })
  try {
    const sizeBytes = Number(megabytes) * 1e6
    const run = await service.sink.expect(1)
    await service.switchSending(false)
    await service.submit(run, 0, sizeBytes)
    forgetPeakRss(service.pid)
    const [memory, before, begun] = [peakRssMb(service.pid), service.costs(), monotonicMs()]
    await service.switchSending(true)
    await run.all(LIMIT_MS)
    await service.untilSettled()
    const after = service.costs()
    const { lastAt, lost, doubled } = await run.arrivals()
    report(`large: one message of ${megabytes} MB`, {
      'MB/s': (sizeBytes / 1e6 / ((lastAt - begun) / 1_000)).toFixed(1),
      'extra MB': peakRssMb(service.pid) - memory,
      'MB before': memory,
      'our CPU ms': after.sender - before.sender,
      'Postgres CPU ms': after.postgres - before.postgres,
      'sink CPU ms': after.sink - before.sink,
      lost,
      doubled,
    })
  } finally {
    await service.close()
  }
}
