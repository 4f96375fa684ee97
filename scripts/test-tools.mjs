// The servers and other programs the tests run against, and whether this machine has them. As root on Debian the missing ones are
// installed; anybody else is told what is missing and the command that brings it.

import { spawnSync } from 'node:child_process'
import { accessSync, chmodSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

const onPath = (name) =>
  [...(process.env.PATH ?? '').split(delimiter), ...SYSTEM_FOLDERS].some((folder) => isProgram(join(folder, name)))

const TOOLS = [
  { tool: 'redis-server', debian: 'redis-server', found: () => onPath('redis-server') },
  {
    tool: 'dovecot with POP3',
    debian: 'dovecot-pop3d',
    found: () => onPath('dovecot') && isProgram('/usr/lib/dovecot/pop3'),
  },
  { tool: 'postfix', debian: 'postfix', found: () => isProgram('/usr/lib/postfix/sbin/master') },
  {
    tool: 'PostgreSQL 15 or newer, the server programs',
    debian: 'postgresql',
    found: () => postgresFolder('postgres') !== undefined && postgresFolder('initdb') !== undefined,
  },
  { tool: 'pg_dump', debian: 'postgresql', found: () => postgresFolder('pg_dump') !== undefined },
  { tool: 'docker-compose', debian: 'docker-compose', found: () => onPath('docker-compose') },
  { tool: 'openssl', debian: 'openssl', found: () => onPath('openssl') },
  { tool: 'mpop', debian: 'mpop', found: () => onPath('mpop') },
  { tool: 'getmail', debian: 'getmail6', found: () => onPath('getmail') },
  { tool: 'fetchmail', debian: 'fetchmail', found: () => onPath('fetchmail') },
  { tool: 'Chromium', debian: 'chromium', found: () => onPath('chromium') },
  { tool: 'python3', debian: 'python3', found: () => onPath('python3') },
]

/** Exit code: 0 when everything is there, after installing it if need be and possible. */
export function ensureTestTools() {
  const packages = missingPackages()
  if (packages.length === 0) {
    if (process.getuid?.() !== 0)
      console.log('Not root: Dovecot and Postfix will not start, and their tests will fail.')
    return 0
  }
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    console.log(`Installing the test servers: ${packages.join(' ')} (once) ...`)
    aptGet(packages)
    if (missingPackages().length === 0) return 0
  }
  const missing = TOOLS.filter((tool) => !tool.found())
  console.error(
    `The tests run against real servers, and this machine lacks: ${missing.map(({ tool }) => tool).join(', ')}.`,
  )
  console.error(`On Debian or Ubuntu: sudo apt-get install --no-install-recommends ${missingPackages().join(' ')}`)
  return 1
}

const missingPackages = () => [...new Set(TOOLS.filter((tool) => !tool.found()).map(({ debian }) => debian))]

function aptGet(packages) {
  const restoreStarts = denyServiceStarts()
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  try {
    for (const args of [
      ['-qq', 'update'],
      ['-qq', '-y', '-o', 'Dpkg::Use-Pty=0', 'install', '--no-install-recommends', ...packages],
    ]) {
      const run = spawnSync('apt-get', args, { env, encoding: 'utf8', maxBuffer: 64 << 20 })
      if (run.status === 0) continue
      process.stderr.write(`apt-get ${args.join(' ')}\n${run.stdout}${run.stderr}`)
      return
    }
  } finally {
    restoreStarts()
  }
}

/** Debian starts a service when it installs it; ours are started by the tests, each on its own port. */
function denyServiceStarts() {
  const policy = '/usr/sbin/policy-rc.d'
  if (existsSync(policy)) return () => {}
  writeFileSync(policy, '#!/bin/sh\nexit 101\n')
  chmodSync(policy, 0o755)
  return () => rmSync(policy, { force: true })
}

function postgresFolder(program) {
  const root = '/usr/lib/postgresql'
  if (!existsSync(root)) return undefined
  const versions = readdirSync(root).filter((version) => Number(version) >= 15)
  return versions.find((version) => isProgram(join(root, version, 'bin', program)))
}

function isProgram(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
