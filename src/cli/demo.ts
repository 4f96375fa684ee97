// `poststelle demo`: the whole service on its embedded database against the provider simulator, with a live account of what
// happens. Nothing leaves this machine.

import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { importAccounts } from '../accounts/import.ts'
import { parseAccounts } from '../accounts/settings.ts'
import type { Config } from '../base/config.ts'
import { silentLogger } from '../base/logger.ts'
import { activitySince, type AccountActivity } from '../db/activity.ts'
import { switchLane } from '../db/account-views.ts'
import { findAccount } from '../db/accounts.ts'
import { submitMessage } from '../db/submissions.ts'
import { LIMITS } from '../message/limits.ts'
import { accountStatuses } from '../db/status.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { DemoView } from './demo-view.ts'
import type { CommandContext, Installation } from './installation.ts'

const LOOK_MS = 500
const SEND_EVERY_MS = 4_000
const MAILS_PER_MINUTE = 40

function seconds(text: string): number {
  if (!/^\d{1,5}$/.test(text) || Number(text) === 0)
    throw new InvalidArgumentError('A whole number of seconds from 1 to 99999.')
  return Number(text)
}

export function addDemoCommand(program: Command, ctx: CommandContext): void {
  program
    .command('demo')
    .description('show the service at work on simulated accounts; Ctrl-C ends it')
    .option('--seconds <n>', 'end by itself after that many seconds', seconds)
    .option('--json', 'print one JSON object per observation')
    .action(async (options: { seconds?: number; json?: boolean }) => {
      const started = performance.now()
      const stopSignal = ctx.terminal.stopSignal()
      const { startSandbox } = await import('../sandbox/sandbox.ts')
      const sandbox = await startSandbox({ accessTokenSeconds: 45 })
      try {
        const installation = await ctx.openInstallation(demoConfig(ctx.readConfig(), sandbox), silentLogger, {
          migrations: 'up',
          exclusive: true,
        })
        try {
          await runDemo(ctx, installation, sandbox, started, options, stopSignal)
        } finally {
          await installation.close()
        }
      } finally {
        await sandbox.close()
      }
    })
}

/** The demo keeps to itself: its own folder, the embedded default, and no address but this machine's. */
function demoConfig(config: Config, sandbox: Sandbox): Config {
  return {
    ...config,
    databaseUrl: undefined,
    redisUrl: undefined,
    keys: undefined,
    dataFolder: path.join(config.dataFolder, 'demo'),
    extraCaPem: sandbox.caPem,
    egressAllow: ['127.0.0.0/8', '::1'],
  }
}

async function runDemo(
  ctx: CommandContext,
  installation: Installation,
  sandbox: Sandbox,
  started: number,
  options: { seconds?: number; json?: boolean },
  stopSignal: Promise<string>,
): Promise<void> {
  const { db, vault, clock, config } = installation
  writeFileSync(path.join(config.dataFolder, 'ca.pem'), sandbox.caPem) // for commands that poll a simulated account
  const accounts = parseAccounts(JSON.stringify(sandbox.accounts), 'the simulator', () => undefined)
  await importAccounts({ db, vault }, accounts, { dryRun: false })
  const since = clock.now()
  const end = new AbortController()
  const service = await ctx.startService(installation, new Set(['api', 'worker']), () => end.abort())
  const view = new DemoView(ctx.terminal, options.json ?? false)
  try {
    view.begin({
      url: service.setUpUrl ?? service.url ?? '',
      dataFolder: installation.config.dataFolder,
      seconds: (performance.now() - started) / 1000,
    })
    sandbox.startTraffic(MAILS_PER_MINUTE, end.signal)
    let sent = 0
    const sendNext = () => sendOne(installation, accounts[sent++ % accounts.length]?.email ?? '', 2_000 + sent)
    for (const _ of accounts) await sendNext()
    await troubleMessages(installation, sandbox)
    const timers = [
      setInterval(() => void sendNext().catch(() => undefined), SEND_EVERY_MS),
      setInterval(() => void look(installation, view, since).catch(() => undefined), LOOK_MS),
    ]
    const limit = options.seconds === undefined ? undefined : setTimeout(() => end.abort(), options.seconds * 1000)
    await Promise.race([
      stopSignal,
      installation.databaseGone.then(() => ctx.terminal.abort('the embedded database ended')),
      new Promise((resolve) => end.signal.addEventListener('abort', resolve, { once: true })),
    ])
    for (const timer of timers) clearInterval(timer)
    clearTimeout(limit)
    await look(installation, view, since)
  } finally {
    end.abort()
    await service.stop()
    view.end()
  }
}

const WELL = 'service@muster.example'
const PAUSED = 'lager@muster.example'

/** What accounts that are well have trouble with: an address that does not exist, a greylist, a mail that cannot be read, a stocktaking. */
async function troubleMessages(installation: Installation, sandbox: Sandbox): Promise<void> {
  const { db } = installation
  await sendOne(installation, WELL, 1_001, 'unknown@example.test')
  await sendOne(installation, WELL, 1_002, 'busy@example.test')
  sandbox.deliver(WELL, nested(LIMITS.depth + 1))
  const { id } = await findAccount(db, PAUSED)
  await db
    .transaction()
    .execute(async (tx) => await switchLane(tx, id, 'send', { by: 'demo', reason: 'Inventur bis Montag' }))
}

function nested(levels: number): Buffer {
  const lines = [
    'From: Werbung <werbung@example.test>',
    `To: ${WELL}`,
    'Subject: Katalog in vielen Schachteln',
    'Message-ID: <katalog@example.test>',
    'MIME-Version: 1.0',
  ]
  for (let level = 0; level < levels; level += 1)
    lines.push(`Content-Type: multipart/mixed; boundary="b${level}"`, '', `--b${level}`)
  return Buffer.from(`${[...lines, 'Content-Type: text/plain', '', 'Text'].join('\r\n')}\r\n`)
}

async function sendOne(
  { db, clock }: Installation,
  from: string,
  number: number,
  to = 'kundschaft@example.test',
): Promise<void> {
  const raw = Buffer.from(
    `From: ${from}\r\nTo: ${to}\r\nSubject: Auftrag ${number} ist unterwegs\r\nDate: ${clock.now().toUTCString()}\r\n` +
      `MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGuten Tag,\r\n\r\nIhre Lieferung hat unser Haus verlassen.\r\n`,
  )
  await submitMessage(db, {
    account: from,
    envelopeFrom: from,
    recipients: [to],
    raw,
    idempotencyKey: null,
  })
}

async function look({ db, clock }: Installation, view: DemoView, since: Date): Promise<void> {
  const [statuses, activity] = await Promise.all([accountStatuses(db), activitySince(db, since)])
  view.show(statuses, new Map(activity.map((one: AccountActivity) => [one.accountId, one])), clock.now())
}
