// `outbound [small|latency|large|parked|rtt]`: mail that was accepted, through the service to a sink over STARTTLS with AUTH PLAIN, beside other senders
// in the same run.

import { machine } from './machine.ts'
import { large } from './outbound/large.ts'
import { latency } from './outbound/latency.ts'
import { parked } from './outbound/parked.ts'
import { rtt } from './outbound/rtt.ts'
import { small } from './outbound/small.ts'

const SCENARIOS: Record<string, (args: readonly string[]) => Promise<void>> = {
  small,
  latency,
  large,
  parked,
  rtt,
}

export async function outbound([name, ...args]: readonly string[]): Promise<void> {
  console.log(`on ${machine()}; senders, sink and database share it`)
  for (const scenario of name === undefined ? Object.keys(SCENARIOS) : [name]) {
    const run = SCENARIOS[scenario]
    if (!run) throw new Error(`there is no scenario "${scenario}"; known are ${Object.keys(SCENARIOS).join(', ')}`)
    await run(args)
  }
}
