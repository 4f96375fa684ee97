// One maildrop into Postgres over POP3S with XOAUTH2: many small messages, and one large one.

import { openBenchHouse, extraMemory, report, type BenchHouse } from './house.ts'
import { sampleMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'

const ROUNDS = 3

export async function receive(args: readonly string[]): Promise<void> {
  const count = Number(args[0] ?? 1_000)
  await inWorld(ROUNDS + 1, async (world, house, ids) => {
    const rates: number[] = []
    for (const [round, email] of world.emails.entries()) {
      for (let i = 1; i <= count; i++) world.dovecot.deliver(email, sampleMessage(email, i, 6_000))
      const cpu = process.cpuUsage()
      const started = performance.now()
      const { stored } = await house.poll(ids.get(email) ?? 0)
      const seconds = (performance.now() - started) / 1000
      const { user, system } = process.cpuUsage(cpu)
      if (stored !== count) throw new Error(`stored ${stored} of ${count}`)
      if (round === 0) continue // the first round warms up
      rates.push(count / seconds)
      report(`receive ${count} x 6 KB, round ${round}`, {
        'messages/s': Math.round(count / seconds),
        'our CPU ms/message': ((user + system) / 1000 / count).toFixed(3),
      })
    }
    const median = rates.toSorted((a, b) => a - b)[Math.floor(rates.length / 2)] ?? 0
    report('receive, median', {
      'messages/s': Math.round(median),
      'peak RSS MB': Math.round(process.resourceUsage().maxRSS / 1000),
    })
  })
}

export async function large(args: readonly string[]): Promise<void> {
  const megabytes = Number(args[0] ?? 60)
  await inWorld(2, async (world, house, ids) => {
    const [warm = '', email = ''] = world.emails
    world.dovecot.deliver(warm, sampleMessage(warm, 1, 2_000_000))
    await house.poll(ids.get(warm) ?? 0)
    world.dovecot.deliver(email, sampleMessage(email, 1, megabytes * 1_000_000))
    const started = performance.now()
    const { result, extraMb } = await extraMemory(() => house.poll(ids.get(email) ?? 0))
    const seconds = (performance.now() - started) / 1000
    const [row] = await house.query<{ same: boolean }>(
      `select sha256 = encode(sha256(poststelle.raw_message(id)), 'hex') as same from poststelle.inbox where account = '${email}'`,
    )
    if (result.stored !== 1 || !row?.same) throw new Error('the large message was not stored as it was')
    report(`large message of ${megabytes} MB`, {
      seconds: seconds.toFixed(2),
      'MB/s': (megabytes / seconds).toFixed(1),
      'extra memory MB': extraMb,
    })
  })
}

/** Polls of maildrops in which nothing has changed: the price of ten thousand quiet mailboxes. */
export async function idle(args: readonly string[]): Promise<void> {
  const [messages = 1_000, polls = 200] = args.map(Number)
  await inWorld(4, async (world, house, ids) => {
    for (const email of world.emails) {
      for (let i = 1; i <= messages; i++) world.dovecot.deliver(email, sampleMessage(email, i, 300))
      await house.poll(ids.get(email) ?? 0)
      await house.poll(ids.get(email) ?? 0)
    }
    const cpu = process.cpuUsage()
    const started = performance.now()
    const each = async (email: string): Promise<void> => {
      for (let i = 0; i < polls / world.emails.length; i++) await house.poll(ids.get(email) ?? 0)
    }
    await Promise.all(world.emails.map(each))
    const seconds = (performance.now() - started) / 1000
    const { user, system } = process.cpuUsage(cpu)
    report(`idle poll of ${messages} messages, ${world.emails.length} at once`, {
      'our CPU ms/poll': ((user + system) / 1000 / polls).toFixed(2),
      'polls/s': Math.round(polls / seconds),
    })
  })
}

async function inWorld(
  accounts: number,
  work: (world: MailWorld, house: BenchHouse, ids: Map<string, number>) => Promise<void>,
): Promise<void> {
  const world = await startMailWorld({ oauthAccounts: accounts, passwordAccounts: 0 })
  try {
    const house = await openBenchHouse(world.pki.ca)
    try {
      await work(world, house, await house.importAccounts(world.accounts))
    } finally {
      await house.close()
    }
  } finally {
    await world.stop()
  }
}
