// A hundred thousand messages that wait: in a lane that is parked, and in one where every next attempt lies ahead. What the
// service and Postgres spend on them, beside what they spend on an empty outbox.

import { setTimeout as pause } from 'node:timers/promises'
import { report } from '../house.ts'
import { startService, type Service } from './service.ts'

const SETTLED_MS = 5_000

export async function parked([count = '100000', seconds = '20']: readonly string[]): Promise<void> {
  const service = await startService({ backend: 'Redis' })
  const { house, accountId } = service
  const here = `account_id = ${accountId} and lane = 'send'`
  try {
    // what the warming sent stays, as sent mail does
    await measure(service, 'an outbox in which nothing waits', Number(seconds))
    await house.query(`update poststelle.lanes set parked_until = now() + interval '1 day' where ${here}`)
    const run = await service.sink.expect(Number(count))
    await service.store(run, Number(count), 500)
    await measure(service, `${count} waiting in a parked lane`, Number(seconds))
    await house.query(
      `update poststelle.outbound_messages set state = 'deferred', attempts = 1, next_attempt_at = now() + interval '1 hour' * (1 + random())
      where finished_at is null`,
    )
    await house.query(
      `update poststelle.lanes set parked_until = null, due_at = (select min(next_attempt_at) from poststelle.outbound_messages) where ${here}`,
    )
    await measure(service, `${count} whose next attempts lie ahead`, Number(seconds))
    const { at } = await run.arrivals()
    if (at.size > 0) throw new Error(`${at.size} of the messages that were to wait were sent`)
  } finally {
    await service.close()
  }
}

async function measure(service: Service, name: string, seconds: number): Promise<void> {
  await service.house.query('vacuum analyze')
  await pause(SETTLED_MS)
  const [before, begun] = [service.costs(), performance.now()]
  await pause(seconds * 1_000)
  const [after, elapsed] = [service.costs(), performance.now() - begun]
  const share = (key: keyof typeof before): string => `${(((after[key] - before[key]) / elapsed) * 100).toFixed(1)} %`
  report(`parked: ${name}, ${seconds} s`, {
    'service, of one core': share('sender'),
    Postgres: share('postgres'),
    Redis: share('redis'),
  })
}
