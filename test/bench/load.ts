// `load [accounts] [messages each] [outgoing] [--kills N] [--flush]`: the whole service on Postgres 15 and Redis, with an oracle.

import { runLoad, type Findings } from '../support/load.ts'
import { report } from './house.ts'

export async function load(args: readonly string[]): Promise<void> {
  const killsAt = args.indexOf('--kills')
  const numbers = args.slice(0, args.findIndex((arg) => arg.startsWith('--')) >>> 0).map(Number)
  const [accounts = 50, each = 200, outgoing = 1_000] = numbers
  const kills = killsAt < 0 ? 0 : Number(args[killsAt + 1])
  const flush = args.includes('--flush')
  report('load', { accounts, 'messages each': each, outgoing, kills, FLUSHALL: flush ? 'yes' : 'no' })
  const last = await runLoad({ accounts, each, outgoing, kills, flush }, show)
  if (kills > 0) {
    console.log('after the one repeat of what was uncertain:')
    show(last)
  }
  const { inbound, outbound } = last
  if (inbound.lost + inbound.doubled + outbound.lost + outbound.doubledUnflagged > 0) process.exitCode = 1
}

function show({ seconds, secondsAfterwards, inbound, outbound }: Findings): void {
  report('  time', { 'seconds in all': seconds.toFixed(1), 'after the last disturbance': secondsAfterwards.toFixed(1) })
  report('  inbound', { ...inbound })
  report('  outbound', { ...outbound })
}
