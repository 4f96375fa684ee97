// A private Dovecot: POP3 with STLS, POP3S, XOAUTH2 checked by introspection and PLAIN by one password, over Maildirs
// the test writes to and looks into. Its authentication also serves Postfix. Needs root.

import { createHash } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { removeFolder, startProgram, systemUser, tempFolder, untilListening } from './child.ts'
import type { Pki } from './pki.ts'
import { freePort } from './ports.ts'

export interface StoredMessage {
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

export interface TestDovecot {
  /** Plain, to be upgraded by STLS. */
  readonly popPort: number
  readonly popsPort: number
  /** Where Postfix asks about logins. */
  readonly saslPort: number
  readonly pid: number
  /** Every user's, for PLAIN and USER/PASS. */
  readonly password: string
  /** The folder of a user's Maildir; made if it is not there. */
  maildir(user: string): string
  /** Puts one message into the maildrop, byte for byte, and returns its path. Fast enough for thousands. */
  deliver(user: string, raw: Uint8Array): string
  /** What lies in the maildrop, in order of arrival. */
  stored(user: string): StoredMessage[]
  log(): string
  stop(): Promise<void>
}

export interface DovecotOptions {
  readonly pki: Pki
  /** Absent: XOAUTH2 is not offered. */
  readonly introspectionUrl?: string
  readonly password?: string
  /** More lines of dovecot.conf, after the others. */
  readonly settings?: string
}

export async function startDovecot(o: DovecotOptions): Promise<TestDovecot> {
  const folder = tempFolder('dovecot')
  const owner = systemUser('nobody')
  const password = o.password ?? 'correct-horse'
  const ports = { pop: await freePort(), pops: await freePort(), sasl: await freePort() }
  for (const name of ['run', 'state', 'mail']) mkdirSync(join(folder, name))
  chownSync(join(folder, 'mail'), owner.uid, owner.gid)
  writeFileSync(join(folder, 'server.crt'), o.pki.cert)
  writeFileSync(join(folder, 'server.key'), o.pki.key, { mode: 0o600 })
  if (o.introspectionUrl) writeFileSync(join(folder, 'oauth2.conf'), oauth2Conf(o.introspectionUrl))
  const conf = join(folder, 'dovecot.conf')
  writeFileSync(conf, dovecotConf(folder, ports, owner, password, o))

  const program = startProgram('dovecot', ['-F', '-c', conf])
  const logFile = join(folder, 'log')
  const log = (): string => program.output() + (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '')
  await untilListening(program, ports.pop, log)

  const maildir = (user: string): string => {
    const home = join(folder, 'mail', user)
    const path = join(home, 'Maildir')
    if (existsSync(path)) return path
    for (const name of [home, path, ...['new', 'cur', 'tmp'].map((part) => join(path, part))]) {
      mkdirSync(name, { recursive: true, mode: 0o755 })
      chownSync(name, owner.uid, owner.gid)
    }
    return path
  }
  let delivered = 0
  return {
    popPort: ports.pop,
    popsPort: ports.pops,
    saslPort: ports.sasl,
    pid: program.pid,
    password,
    maildir,
    deliver(user, raw) {
      // Dovecot numbers new mail by the time and the microseconds in its name; a counter keeps the order of delivery.
      const micros = String(++delivered).padStart(9, '0')
      const name = `${Math.floor(Date.now() / 1000)}.M${micros}P${process.pid}.test`
      const path = join(maildir(user), 'new', name)
      writeFileSync(path, raw)
      return path
    },
    stored: (user) => readMaildir(maildir(user)),
    log,
    async stop() {
      await program.stop()
      removeFolder(folder)
    },
  }
}

const arrival = (name: string): string => /M\d+/.exec(name)?.[0] ?? name

function readMaildir(maildir: string): StoredMessage[] {
  const names = ['new', 'cur'].flatMap((part) => readdirSync(join(maildir, part)).map((name) => ({ part, name })))
  return names
    .sort((a, b) => arrival(a.name).localeCompare(arrival(b.name)))
    .map(({ part, name }) => {
      const path = join(maildir, part, name)
      const raw = readFileSync(path)
      return { path, sizeBytes: raw.length, sha256: createHash('sha256').update(raw).digest('hex') }
    })
}

function oauth2Conf(introspectionUrl: string): string {
  return `
introspection_mode = post
introspection_url = ${introspectionUrl}
force_introspection = yes
username_attribute = email
active_attribute = active
active_value = true
`
}

// Version 2.3 reads one setting per line and no braces on the line of another.
function dovecotConf(
  folder: string,
  ports: { pop: number; pops: number; sasl: number },
  owner: { uid: number; gid: number },
  password: string,
  o: DovecotOptions,
): string {
  const xoauth2 = `
passdb {
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = ${folder}/oauth2.conf
}
`
  return `
base_dir = ${folder}/run
state_dir = ${folder}/state
log_path = ${folder}/log
auth_verbose = yes
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <${folder}/server.crt
ssl_key = <${folder}/server.key
disable_plaintext_auth = no
first_valid_uid = 1
last_valid_uid = 0
mail_location = maildir:~/Maildir
mail_max_userip_connections = 500
auth_mechanisms = ${o.introspectionUrl ? 'xoauth2 oauthbearer ' : ''}plain login
auth_failure_delay = 0
default_vsz_limit = 1 G
default_process_limit = 500
default_client_limit = 2000
service anvil {
  chroot =
  client_limit = 2100
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
service auth {
  client_limit = 4100
  inet_listener {
    address = 127.0.0.1
    port = ${ports.sasl}
  }
}
service pop3-login {
  chroot =
  service_count = 0
  inet_listener pop3 {
    port = ${ports.pop}
  }
  inet_listener pop3s {
    port = ${ports.pops}
    ssl = yes
  }
}
${o.introspectionUrl ? xoauth2 : ''}
passdb {
  driver = static
  mechanisms = plain login
  args = password=${password}
}
userdb {
  driver = static
  args = uid=${owner.uid} gid=${owner.gid} home=${folder}/mail/%u
}
${o.settings ?? ''}
`
}
