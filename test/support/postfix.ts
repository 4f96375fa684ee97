// A private Postfix: submission with STARTTLS, and with TLS from the first byte, authenticating by way of Dovecot, and
// handing every accepted message to a sink the test can read. Needs root.

import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  aliveInSession,
  removeFolder,
  sessionOf,
  startProgram,
  systemUser,
  tempFolder,
  untilListening,
} from './child.ts'
import type { Pki } from './pki.ts'
import { freePort } from './ports.ts'
import { startSmtpSink, type Delivered } from './smtp-sink.ts'

export interface TestPostfix {
  /** STARTTLS. */
  readonly submissionPort: number
  /** TLS from the first byte. */
  readonly submissionsPort: number
  readonly pid: number
  /** For Postfix's own commands (`-c`). */
  readonly configFolder: string
  /** Everything that came out at the other end, in order. */
  delivered(): readonly Delivered[]
  log(): string
  stop(): Promise<void>
}

export interface PostfixOptions {
  readonly pki: Pki
  /** Dovecot's, see dovecot.ts. */
  readonly saslPort: number
  /** What RCPT gets for an address instead of 250: { 'gone@example.test': '550 5.1.1 No such user' }. */
  readonly recipientReplies?: Readonly<Record<string, string>>
  readonly messageSizeLimitBytes?: number
  /** More lines of main.cf; they go before those made here. */
  readonly settings?: string
  /** More lines of master.cf. */
  readonly services?: string
}

const PROGRAMS = '/usr/lib/postfix/sbin'
const PRIVATE_QUEUES = 'active bounce corrupt defer deferred flush hold incoming private saved trace'.split(' ')

export async function startPostfix(o: PostfixOptions): Promise<TestPostfix> {
  const folder = tempFolder('postfix')
  const ports = { submission: await freePort(), submissions: await freePort() }
  const sink = await startSmtpSink()
  const config = join(folder, 'etc')
  layOut(folder)
  writeFileSync(join(config, 'server.pem'), o.pki.key + o.pki.cert, { mode: 0o600 })
  const replies = Object.entries(o.recipientReplies ?? {}).map(([address, reply]) => `${address} ${reply}\n`)
  writeFileSync(join(config, 'recipients'), replies.join(''))
  writeFileSync(join(config, 'main.cf'), mainCf(folder, sink.port, o))
  writeFileSync(join(config, 'master.cf'), masterCf(ports) + (o.services ?? ''))

  // The master changes its user id, and with that the system forgets whom to tell when we die; the shell does not.
  const guard = '"$@" & trap "kill $!" TERM; wait $!; wait $!'
  const words = ['-c', guard, 'postfix', join(PROGRAMS, 'master'), '-c', config, '-d']
  const program = startProgram('sh', words, { env: { MAIL_CONFIG: config } })
  const logFile = join(folder, 'maillog')
  const log = (): string => program.output() + (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '')
  await untilListening(program, ports.submission, log)
  const session = sessionOf(program.pid)
  return {
    submissionPort: ports.submission,
    submissionsPort: ports.submissions,
    pid: Number(readFileSync(join(folder, 'spool', 'pid', 'master.pid'), 'utf8')),
    configFolder: config,
    delivered: () => sink.delivered(),
    log,
    async stop() {
      await program.stop()
      // its children are told to end by the master's own end
      while (aliveInSession(session).length > 0) await delay(10)
      await sink.stop()
      removeFolder(folder)
    },
  }
}

/** The folders that `postfix start` would make; its script takes seconds. */
function layOut(folder: string): void {
  const { uid } = systemUser('postfix')
  const spool = join(folder, 'spool')
  for (const name of ['etc', 'data', 'spool', 'spool/pid']) mkdirSync(join(folder, name))
  chownSync(join(folder, 'data'), uid, 0)
  for (const name of PRIVATE_QUEUES) {
    mkdirSync(join(spool, name), { mode: 0o700 })
    chownSync(join(spool, name), uid, 0)
  }
  const postdrop = groupId('postdrop')
  for (const [name, mode] of [
    ['maildrop', 0o1730],
    ['public', 0o2710],
  ] as const) {
    mkdirSync(join(spool, name))
    chownSync(join(spool, name), uid, postdrop)
    chmodSync(join(spool, name), mode)
  }
}

function groupId(name: string): number {
  const row = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([found]) => found === name)
  if (!row) throw new Error(`This machine has no group ${name}; the Debian package postfix makes it.`)
  return Number(row[2])
}

function mainCf(folder: string, sinkPort: number, o: PostfixOptions): string {
  return lastOfEach(`
compatibility_level = 3.6
queue_directory = ${folder}/spool
data_directory = ${folder}/data
command_directory = /usr/sbin
daemon_directory = ${PROGRAMS}
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = mx.example.test
mydestination =
mynetworks =
maillog_file = ${folder}/maillog
maillog_file_prefixes = ${folder}
alias_maps =
alias_database =
local_transport = error:no local delivery
default_transport = smtp:[127.0.0.1]:${sinkPort}
smtp_dns_support_level = disabled
smtp_tls_security_level = none
default_destination_concurrency_limit = 20
message_size_limit = ${o.messageSizeLimitBytes ?? 20_000_000}
smtpd_tls_chain_files = ${folder}/etc/server.pem
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:${o.saslPort}
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = check_recipient_access texthash:${folder}/etc/recipients, permit_sasl_authenticated, reject
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
${o.settings ?? ''}
`)
}

/** Of a name given twice the later line: Postfix warns of it in every process, and so many warnings stop its log at the start. */
function lastOfEach(text: string): string {
  const lines = text.split('\n').filter((line) => line.includes('='))
  return [...new Map(lines.map((line) => [line.slice(0, line.indexOf('=')).trim(), `${line}\n`])).values()].join('')
}

function masterCf(ports: { submission: number; submissions: number }): string {
  return `
127.0.0.1:${ports.submission} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
127.0.0.1:${ports.submissions} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
showq unix n - n - - showq
`
}
