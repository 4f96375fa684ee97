// Keys: how one is made, and the ring that the embedded mode keeps in its data folder.

import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseKeys, type Key } from '../base/config.ts'
import { errorCode, errorText, UserError } from '../base/failure.ts'

/** A new key as `id:base64`, ready for POSTSTELLE_KEYS. */
export function generateKey(now: Date): string {
  const id = `k${now.toISOString().slice(0, 10).replaceAll('-', '')}-${randomBytes(2).toString('hex')}`
  return `${id}:${randomBytes(32).toString('base64')}`
}

/** Reads `<folder>/keys`, or makes it with mode 0600 on the first start. */
export function embeddedKeys(folder: string, now: Date): Key[] {
  const file = path.join(folder, 'keys')
  if (!existsSync(file)) makeRing(folder, file, now)
  try {
    return parseKeys(readFileSync(file, 'utf8').trim())
  } catch (error) {
    throw new UserError(`${file}: ${errorText(error)}`, { cause: error })
  }
}

/** The ring appears under its name whole and on disk, or not at all; of two that start at once, the first to link it wins. */
function makeRing(folder: string, file: string, now: Date): void {
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    try {
      writeFileSync(draft, `${generateKey(now)}\n`, { mode: 0o600, flag: 'wx', flush: true })
      linkSync(draft, file)
    } finally {
      rmSync(draft, { force: true })
    }
  } catch (error) {
    if (errorCode(error) !== 'EEXIST')
      throw new UserError(`${file} cannot be written: ${errorText(error)}`, { cause: error })
  }
}

/** Puts a new key in front of the ring: it seals from now on. The ring changes under its name whole or not at all. */
export function addKey(folder: string, now: Date): Key {
  const file = path.join(folder, 'keys')
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  try {
    const key = generateKey(now)
    writeFileSync(draft, `${key},${readFileSync(file, 'utf8').trim()}\n`, { mode: 0o600, flag: 'wx', flush: true })
    renameSync(draft, file)
    const [added] = parseKeys(key)
    if (!added) throw new Error('a key was not made')
    return added
  } catch (error) {
    rmSync(draft, { force: true })
    throw new UserError(`${file} cannot be written: ${errorText(error)}`, { cause: error })
  }
}
