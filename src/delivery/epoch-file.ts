// The file `epoch` in the data folder: the highest epoch of each database that this machine has worked with. It lies outside of the
// database, so that a backup of the database does not bring it back.

import { mkdir, open, readFile, rename } from 'node:fs/promises'
import path from 'node:path'
import { errorCode, UserError } from '../base/failure.ts'

export const epochFile = (dataFolder: string): string => path.join(dataFolder, 'epoch')

/** Undefined: this machine has not worked with that database. Throws UserError where the file cannot be understood. */
export async function readEpoch(dataFolder: string, installationId: string): Promise<number | undefined> {
  return (await readAll(dataFolder)).get(installationId)
}

/** On the disk when it returns, and whole at any moment. Throws UserError where the folder cannot be written. */
export async function writeEpoch(dataFolder: string, installationId: string, epoch: number): Promise<void> {
  const all = (await readAll(dataFolder)).set(installationId, epoch)
  const file = epochFile(dataFolder)
  const part = `${file}.${process.pid}.part`
  try {
    await mkdir(dataFolder, { recursive: true, mode: 0o700 })
    const handle = await open(part, 'w')
    try {
      await handle.writeFile(`${JSON.stringify(Object.fromEntries(all))}\n`)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(part, file)
    const folder = await open(dataFolder)
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    throw new UserError(
      `${file}: cannot be written (${errorCode(error)}); it guards against sending mail again from a restored database: let POSTSTELLE_DATA name a folder that may be written`,
      { cause: error },
    )
  }
}

async function readAll(dataFolder: string): Promise<Map<string, number>> {
  const file = epochFile(dataFolder)
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return '{}'
    throw new UserError(`${file}: cannot be read (${errorCode(error)})`, { cause: error })
  })
  const epochs = parse(text)
  if (!epochs)
    throw new UserError(
      `${file}: is damaged; where the database was restored run "poststelle outbox fence", then remove the file`,
    )
  return epochs
}

function parse(text: string): Map<string, number> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    const entries = Object.entries(value)
    return entries.every(([, epoch]) => Number.isSafeInteger(epoch)) ? new Map(entries) : undefined
  } catch {
    return undefined
  }
}
