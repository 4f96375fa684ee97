// Runs before npm's start, demo, test and bench, on whatever Node the machine has: installs the packages once per
// package-lock.json. Two runs at once take turns; the second then finds the work done.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repo = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(repo, 'node_modules')
const stamp = join(modules, '.poststelle-lock-hash')
const lock = join(repo, '.poststelle-install')

const wanted = createHash('sha256')
  .update(readFileSync(join(repo, 'package-lock.json')))
  .update(`${process.platform}-${process.arch}`)
  .digest('hex')

const upToDate = () => existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted

if (!upToDate()) {
  takeLock()
  let code = 0
  try {
    if (!upToDate()) code = installedByHand() ? 0 : install()
    if (code === 0) writeFileSync(stamp, wanted)
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
  process.exitCode = code
}

function install() {
  console.error('Installing packages (once, about half a minute) ...')
  // npm ci deletes node_modules first, and with it the stamp: an interrupted run is repeated.
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error']
  const npm = spawnSync('npm', args, { cwd: repo, encoding: 'utf8', maxBuffer: 64 << 20 })
  if (npm.error) {
    console.error(`npm could not be run: ${npm.error.message}`)
    return 1
  }
  if (npm.status !== 0) {
    process.stderr.write(`${npm.stdout}${npm.stderr}`)
    console.error('npm ci failed; its words are above.')
    return npm.status ?? 1
  }
  return 0
}

/** Of the optional packages only the programs for this kind of machine matter; libc decides between twins of those. */
function isNeeded({ optional, os, cpu, libc }) {
  return !optional || (os?.includes(process.platform) && cpu?.includes(process.arch) && !libc)
}

/** Whether somebody ran npm by hand: what is installed is what the lock file says, for this kind of machine. */
function installedByHand() {
  const record = join(modules, '.package-lock.json')
  if (!existsSync(record)) return false
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages ?? {}
  const locked = JSON.parse(readFileSync(join(repo, 'package-lock.json'), 'utf8')).packages
  return (
    Object.entries(installed).every(([path, { version }]) => locked[path]?.version === version) &&
    Object.entries(locked).every(([path, entry]) => path === '' || !isNeeded(entry) || path in installed) &&
    Object.keys(installed).every((path) => existsSync(join(repo, path)))
  )
}

function takeLock() {
  let told = false
  for (;;) {
    try {
      mkdirSync(lock)
      writeFileSync(join(lock, 'pid'), String(process.pid))
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    if (holderIsGone()) {
      rmSync(lock, { recursive: true, force: true })
    } else {
      if (!told) console.error('Another run is installing packages; waiting for it ...')
      told = true
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    }
  }
}

function holderIsGone() {
  const pid = existsSync(join(lock, 'pid')) ? Number(readFileSync(join(lock, 'pid'), 'utf8')) : 0
  // No pid yet: it was made this instant, or its maker died at once.
  if (!pid) return Date.now() - (statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? Date.now()) > 5_000
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}
