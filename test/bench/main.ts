// `npm run bench [-- receive|large|idle|load ...]`: figures from real servers on this machine. They are for comparing in one run, on
// a machine that may be noisy; nothing here passes or fails but by losing or doubling mail.

import { load } from './load.ts'
import { idle, large, receive } from './receive.ts'

const SCENARIOS: Record<string, (args: readonly string[]) => Promise<void>> = { receive, large, idle, load }

const [name, ...args] = process.argv.slice(2)
const chosen = name === undefined ? ['receive', 'large', 'idle'] : [name]
for (const scenario of chosen) {
  const run = SCENARIOS[scenario]
  if (!run) {
    console.error(`there is no scenario "${scenario}"; known are ${Object.keys(SCENARIOS).join(', ')}`)
    process.exitCode = 2
    break
  }
  await run(args)
}
