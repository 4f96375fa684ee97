// `inbound [small|large|one|lag|idle|listing|dispatch]`: one maildrop into Postgres over POP3S with XOAUTH2, beside other
// collectors in the same run; what quiet maildrops cost; and what it costs to know which are due.

import { sampleMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'
import { dispatch } from './dispatch.ts'
import { openBenchHouse, report, type BenchHouse, type Measured } from './house.ts'
import { idle } from './idle.ts'
import { startLagProxy } from './lag-proxy.ts'
import { listing } from './listing.ts'
import { machine } from './machine.ts'
import { runPeers } from './peers.ts'

const ROUND_TRIP_MS = 20
const PEER_SECONDS = 20

const SCENARIOS: Record<string, (args: readonly string[]) => Promise<void>> = {
  small,
  large,
  one,
  lag,
  idle,
  listing,
  dispatch,
}

export async function inbound([name, ...args]: readonly string[]): Promise<void> {
  console.log(`on ${machine()}; client, servers and database share it`)
  for (const scenario of name === undefined ? Object.keys(SCENARIOS) : [name]) {
    const run = SCENARIOS[scenario]
    if (!run) throw new Error(`there is no scenario "${scenario}"; known are ${Object.keys(SCENARIOS).join(', ')}`)
    await run(args)
  }
}

interface Collected {
  readonly messages: number
  readonly sizeBytes: number
  readonly roundTripMs?: number
}

interface Stage {
  readonly world: MailWorld
  readonly house: BenchHouse
  readonly ids: ReadonlyMap<string, number>
  readonly port: number
}

/** Many small messages. */
async function small([count = '10000']: readonly string[]): Promise<void> {
  await collect(
    'small',
    { messages: Number(count), sizeBytes: 6_000 },
    ({ stored, seconds, cpuMs, postgresCpuMs, peakRssMb }) => ({
      'messages/s': `${Math.round(stored / seconds)} (goal 3000)`,
      'our CPU ms/message': (cpuMs / stored).toFixed(3),
      'Postgres CPU ms/message': (postgresCpuMs / stored).toFixed(3),
      'RSS MB': `${peakRssMb} (goal 180)`,
    }),
  )
}

async function large([count = '200']: readonly string[]): Promise<void> {
  await collect(
    'large',
    { messages: Number(count), sizeBytes: 1_000_000 },
    ({ stored, seconds, cpuMs, postgresCpuMs, peakRssMb }) => ({
      'messages/s': `${(stored / seconds).toFixed(1)} (goal 45)`,
      'our CPU ms/message': (cpuMs / stored).toFixed(2),
      'Postgres CPU ms/message': (postgresCpuMs / stored).toFixed(2),
      'RSS MB': peakRssMb,
    }),
  )
}

async function one([megabytes = '25']: readonly string[]): Promise<void> {
  const sizeBytes = Number(megabytes) * 1_000_000
  await collect('one', { messages: 1, sizeBytes }, ({ seconds, cpuMs, postgresCpuMs, extraMb }) => ({
    'MB/s': `${(sizeBytes / 1e6 / seconds).toFixed(1)} (goal 25)`,
    'our CPU ms': Math.round(cpuMs),
    'Postgres CPU ms': Math.round(postgresCpuMs),
    'extra MB': `${extraMb} (goal 40)`,
  }))
}

/** A thousand small ones, far away. */
async function lag([count = '1000']: readonly string[]): Promise<void> {
  const what = { messages: Number(count), sizeBytes: 6_000, roundTripMs: ROUND_TRIP_MS }
  await collect('lag', what, ({ stored, seconds, cpuMs }) => ({
    'messages/s': `${Math.round(stored / seconds)} (goal 900)`,
    'our CPU ms/message': (cpuMs / stored).toFixed(3),
  }))
}

/** The same maildrop for all: first ours, then the peers, who leave the mail where it is. */
async function collect(
  name: string,
  what: Collected,
  figures: (measured: Measured) => Record<string, string | number>,
): Promise<void> {
  await onStage(what.roundTripMs, async ({ world, house, ids, port }) => {
    const [warm = '', email = ''] = world.emails
    // tokens are fetched and code is warm, as in a worker that has been running for a while
    await house.poll(ids.get(email) ?? 0)
    fill(world, warm, Math.min(2_000, what.messages), Math.min(1_000_000, what.sizeBytes))
    await house.poll(ids.get(warm) ?? 0)
    fill(world, email, what.messages, what.sizeBytes)
    const measured = await house.poll(ids.get(email) ?? 0)
    if (measured.stored !== what.messages) throw new Error(`stored ${measured.stored} of ${what.messages}`)
    await checkBytes(house, world, email)
    report(
      `${name}: ${what.messages} x ${what.sizeBytes / 1_000} KB${what.roundTripMs === undefined ? '' : `, ${what.roundTripMs} ms round trip`}`,
      {
        seconds: measured.seconds.toFixed(2),
        ...figures(measured),
      },
    )
    const { password } = world.dovecot
    const rate = measured.stored / measured.seconds
    const cpu = measured.cpuMs / measured.stored
    for (const run of await runPeers({ port, user: email, password, caFile: world.pki.caFile }, PEER_SECONDS)) {
      if (run.messages === 0) continue
      const theirs = run.messages / run.seconds
      report(`  ${run.peer}`, {
        messages: run.messages,
        'messages/s': theirs < 10 ? theirs.toFixed(1) : Math.round(theirs),
        'CPU ms/message': (run.cpuMs / run.messages).toFixed(2),
        'we are': `${(rate / theirs).toFixed(1)} times as fast`,
        'with our CPU': `${(run.cpuMs / run.messages / cpu).toFixed(1)} times less`,
      })
    }
  })
}

function fill(world: MailWorld, email: string, count: number, sizeBytes: number): void {
  for (let i = 1; i <= count; i += 1) world.dovecot.deliver(email, sampleMessage(email, i, sizeBytes))
}

/** A figure counts only where every byte arrived: what lies in Postgres against what lies on the server. */
async function checkBytes(house: BenchHouse, world: MailWorld, email: string): Promise<void> {
  const rows = await house.query<{ sha256: string }>(
    `select encode(sha256(poststelle.raw_message(id)), 'hex') as sha256 from poststelle.inbox where account = '${email}'`,
  )
  const inPostgres = rows.map(({ sha256 }) => sha256).toSorted()
  const onServer = world.dovecot.stored(email).map(({ sha256 }) => sha256)
  if (inPostgres.join() !== onServer.toSorted().join())
    throw new Error('what was stored is not what lies on the server')
}

async function onStage(roundTripMs: number | undefined, work: (stage: Stage) => Promise<void>): Promise<void> {
  const world = await startMailWorld({ oauthAccounts: 2, passwordAccounts: 0 })
  const proxy = roundTripMs === undefined ? undefined : await startLagProxy(world.dovecot.popsPort, roundTripMs)
  const port = proxy?.port ?? world.dovecot.popsPort
  const accounts = world.accounts.map((account) => ({ ...account, pop3: { host: 'localhost', port, security: 'tls' } }))
  const house = await openBenchHouse(world.pki.caFile)
  try {
    await work({ world, house, ids: await house.importAccounts(accounts), port })
  } finally {
    await house.close()
    await proxy?.stop()
    await world.stop()
  }
}
