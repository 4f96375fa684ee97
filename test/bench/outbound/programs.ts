// Other senders that are programs of their own, as Debian ships them: Postfix, draining what it held, and msmtp in a loop.
// Both get fewer messages than the rest, for they are slower.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createTransport } from 'nodemailer'
import { isRoot, removeFolder, tempFolder } from '../../support/child.ts'
import { makePki } from '../../support/pki.ts'
import { startPostfix } from '../../support/postfix.ts'
import { childrenCpuMs, cpuMs, monotonicMs, treeCpuMs } from '../machine.ts'
import type { PeerOptions } from './peer.ts'
import { LIMIT_MS } from './service.ts'
import { benchMessage } from './sink.ts'
import type { Row } from './table.ts'

const POSTFIX_MESSAGES = 2_000
const MSMTP_MESSAGES = 200
const INTAKE_CONNECTIONS = 4

/** One that is not installed is said so and left out. */
export async function runPrograms(o: PeerOptions): Promise<Row[]> {
  const rows: Row[] = []
  if (!existsSync('/usr/lib/postfix/sbin/master')) console.log('postfix is not installed: it is left out')
  else if (!isRoot()) console.log('postfix needs root: it is left out')
  else {
    rows.push(await postfix('Postfix, as shipped', o))
    // its connections are then kept by a process that speaks TLS for all of them
    rows.push(await postfix('Postfix, TLS connections reused', o, 'smtp_tls_connection_reuse = yes'))
  }
  if (existsSync('/usr/bin/msmtp')) rows.push(await msmtp(o))
  else console.log('msmtp is not installed: it is left out')
  return rows
}

async function postfix(sender: string, o: PeerOptions, settings = ''): Promise<Row> {
  const pki = await makePki()
  const server = await startPostfix({
    pki,
    saslPort: 0,
    services: 'tlsproxy unix - - n - 0 tlsproxy\n',
    settings: `
smtpd_sasl_auth_enable = no
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_recipient_access static:HOLD, permit_mynetworks
default_transport = smtp:[localhost]:${o.port}
smtp_host_lookup = native
smtp_tls_security_level = secure
smtp_tls_secure_cert_match = hostname
smtp_tls_CAfile = ${o.caFile}
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = static:${o.sink.user}:${o.sink.password}
smtp_sasl_security_options = noanonymous
${settings}
`,
  })
  try {
    const messages = Math.min(o.messages, POSTFIX_MESSAGES)
    const run = await o.sink.expect(messages)
    const intake = createTransport({
      pool: true,
      host: 'localhost',
      port: server.submissionPort,
      requireTLS: true,
      tls: { ca: pki.ca },
      maxConnections: INTAKE_CONNECTIONS,
      maxMessages: Infinity,
    })
    const envelope = { from: o.sink.user, to: ['kunde@example.test'] }
    await Promise.all(
      Array.from({ length: messages }, (_, id) =>
        intake.sendMail({ envelope, raw: benchMessage(run.name, id, o.sizeBytes) }),
      ),
    )
    intake.close()
    execFileSync('/usr/sbin/postsuper', ['-c', server.configFolder, '-H', 'ALL'], { stdio: 'ignore' })
    const costs = (): [number, number] => [treeCpuMs(server.pid), cpuMs(o.sink.pid)]
    const [before, begun] = [costs(), monotonicMs()]
    execFileSync('/usr/sbin/postqueue', ['-c', server.configFolder, '-f'])
    await run.all(LIMIT_MS).catch((error: unknown) => {
      throw new Error(`${sender}: ${server.log().slice(-1_000)}`, { cause: error })
    })
    const after = costs()
    const arrivals = await run.arrivals()
    return {
      sender,
      messages,
      seconds: (arrivals.lastAt - begun) / 1000,
      cpuMs: after[0] - before[0],
      sinkCpuMs: after[1] - before[1],
      arrivals,
    }
  } finally {
    await server.stop()
    await pki.stop()
  }
}

async function msmtp(o: PeerOptions): Promise<Row> {
  const folder = tempFolder('msmtp')
  try {
    const messages = Math.min(o.messages, MSMTP_MESSAGES)
    const run = await o.sink.expect(messages)
    const conf = join(folder, 'msmtprc')
    writeFileSync(
      conf,
      `account default
host localhost
port ${o.port}
tls on
tls_starttls on
tls_trust_file ${o.caFile}
auth plain
user ${o.sink.user}
password ${o.sink.password}
from ${o.sink.user}
`,
      { mode: 0o600 },
    )
    mkdirSync(join(folder, 'mail'))
    for (let id = 0; id < messages; id += 1)
      writeFileSync(join(folder, 'mail', String(id)), benchMessage(run.name, id, o.sizeBytes))
    const [before, sinkBefore, begun] = [childrenCpuMs(), cpuMs(o.sink.pid), monotonicMs()]
    const loop = `for file in mail/*; do /usr/bin/msmtp -C ${conf} kunde@example.test < "$file" 2>> said || exit 1; done`
    const child = spawn('/bin/sh', ['-c', loop], { cwd: folder, stdio: 'ignore' })
    const [code] = (await once(child, 'close')) as [number | null]
    if (code !== 0) throw new Error(`msmtp ended with ${code}: ${readFileSync(join(folder, 'said'), 'utf8').trim()}`)
    await run.all(LIMIT_MS)
    const arrivals = await run.arrivals()
    return {
      sender: 'msmtp in a loop',
      messages,
      seconds: (arrivals.lastAt - begun) / 1000,
      cpuMs: childrenCpuMs() - before,
      sinkCpuMs: cpuMs(o.sink.pid) - sinkBefore,
      arrivals,
    }
  } finally {
    removeFolder(folder)
  }
}
