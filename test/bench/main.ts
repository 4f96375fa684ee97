// `npm run bench [-- inbound|outbound|load|dashboard ...]`: figures from real servers on this machine. They are for comparing in one run, on a machine
// that may be noisy; nothing here passes or fails but by losing, doubling or changing mail.

import { dashboard } from './dashboard.ts'
import { inbound } from './inbound.ts'
import { load } from './load.ts'
import { outbound } from './outbound.ts'

const SCENARIOS: Record<string, (args: readonly string[]) => Promise<void>> = { inbound, outbound, load, dashboard }

const [name = 'inbound', ...args] = process.argv.slice(2)
const run = SCENARIOS[name]
if (run) await run(args)
else {
  console.error(`there is no scenario "${name}"; known are ${Object.keys(SCENARIOS).join(', ')}`)
  process.exitCode = 2
}
