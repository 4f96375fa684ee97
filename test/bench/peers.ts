// Other collectors, as Debian ships them, on the same maildrop: what they store in a file, how fast, and at what cost. They log
// in with a password, for only mpop knows XOAUTH2, and every run is capped.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRoot, removeFolder, systemUser, tempFolder } from '../support/child.ts'
import { childrenCpuMs } from './machine.ts'

export interface Mailbox {
  readonly port: number
  readonly user: string
  readonly password: string
  readonly caFile: string
}

export interface PeerRun {
  readonly peer: string
  readonly messages: number
  readonly seconds: number
  readonly cpuMs: number
}

interface Peer {
  readonly name: string
  readonly program: string
  /** Writes what it needs into the folder; returns its arguments. */
  prepare(folder: string, mailbox: Mailbox): readonly string[]
}

const secret = (path: string, lines: readonly string[]): string => {
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 })
  return path
}

const PEERS: readonly Peer[] = [
  {
    name: 'mpop (mbox)',
    program: 'mpop',
    prepare: (folder, { port, user, password, caFile }) => {
      const conf = secret(join(folder, 'mpoprc'), [
        'account bench',
        'host localhost',
        `port ${port}`,
        'tls on',
        'tls_starttls off',
        `tls_trust_file ${caFile}`,
        `user ${user}`,
        `password ${password}`,
        'auth user',
        'keep on',
        `uidls_file ${join(folder, 'uidls')}`,
        `delivery mbox ${join(folder, 'mbox')}`,
      ])
      return ['-C', conf, '-q', 'bench']
    },
  },
  {
    name: 'fetchmail (cat)',
    program: 'fetchmail',
    prepare: (folder, { port, user, password, caFile }) => {
      const rc = secret(join(folder, 'fetchmailrc'), [
        `poll localhost protocol POP3 port ${port} user "${user}" password "${password}"`,
        `options ssl sslcertck sslcertfile "${caFile}" keep fetchall no rewrite mda "cat >> ${join(folder, 'mbox')}"`,
      ])
      return ['-f', rc, '--nodetach', '--silent', '-i', join(folder, 'ids'), '--pidfile', join(folder, 'pid')]
    },
  },
  {
    name: 'getmail6 (Maildir)',
    program: 'getmail',
    prepare: (folder, { port, user, password, caFile }) => {
      for (const part of ['new', 'cur', 'tmp']) mkdirSync(join(folder, 'Maildir', part), { recursive: true })
      const rc = secret(join(folder, 'getmailrc'), [
        '[retriever]',
        'type = SimplePOP3SSLRetriever',
        'server = localhost',
        `port = ${port}`,
        `username = ${user}`,
        `password = ${password}`,
        `ca_certs = ${caFile}`,
        '[destination]',
        'type = Maildir',
        `path = ${join(folder, 'Maildir')}/`,
        '[options]',
        'read_all = true',
        'delete = false',
        'verbose = 0',
      ])
      return ['--getmaildir', folder, '--rcfile', rc, '--quiet']
    },
  },
]

/** One after the other. One that is not installed is said so and left out. */
export async function runPeers(mailbox: Mailbox, capSeconds: number): Promise<PeerRun[]> {
  const runs: PeerRun[] = []
  for (const peer of PEERS) {
    if (existsSync(join('/usr/bin', peer.program))) runs.push(await run(peer, mailbox, capSeconds))
    else console.log(`${peer.program} is not installed: it is left out`)
  }
  return runs
}

async function run(peer: Peer, mailbox: Mailbox, capSeconds: number): Promise<PeerRun> {
  const folder = tempFolder('peer')
  const args = peer.prepare(folder, mailbox)
  // getmail delivers nothing as root
  const user = isRoot() ? systemUser('nobody') : undefined
  if (user) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, folder])
  const [cpu, begun] = [childrenCpuMs(), performance.now()]
  const env = { PATH: '/usr/bin:/bin', HOME: folder, FETCHMAILHOME: folder, LANG: 'C.UTF-8' }
  const child = spawn(join('/usr/bin', peer.program), args, {
    env,
    detached: true,
    ...user,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (text: Buffer) => (said = (said + text.toString()).slice(-500)))
  const cap = setTimeout(() => process.kill(-(child.pid ?? 0), 'SIGKILL'), capSeconds * 1000) // the leader of its own group
  await once(child, 'close')
  clearTimeout(cap)
  const seconds = (performance.now() - begun) / 1000
  const cpuMs = childrenCpuMs() - cpu
  const messages = delivered(folder)
  removeFolder(folder)
  if (messages === 0) console.log(`${peer.name} brought nothing: ${said.trim()}`)
  return { peer: peer.name, messages, seconds, cpuMs }
}

function delivered(folder: string): number {
  const maildir = join(folder, 'Maildir', 'new')
  if (existsSync(maildir)) return readdirSync(maildir).length
  const mbox = join(folder, 'mbox')
  return existsSync(mbox) ? readFileSync(mbox, 'latin1').split('\nMessage-ID: <').length - 1 : 0
}
