// Files that commands write. Nothing that is there is ever overwritten; what is not whole is called `.part`.

import { existsSync } from 'node:fs'
import { open, rename, type FileHandle } from 'node:fs/promises'
import { errorCode, UserError } from '../base/failure.ts'

/** Throws UserError where the file is there already, or cannot be written; returns the number of bytes. */
export async function writeNewFile(path: string, pieces: AsyncIterable<Buffer>): Promise<number> {
  const part = `${path}.part`
  if (existsSync(path)) throw taken(path)
  const file = await open(part, 'wx').catch((error: unknown) => {
    if (errorCode(error) !== 'EEXIST') throw unwritable(path, error)
    throw new UserError(`${part}: another command writes it, or was interrupted; remove it, or name another file`, {
      cause: error,
      exitCode: 2,
    })
  })
  let sizeBytes = 0
  try {
    for await (const piece of pieces) {
      await writeAll(file, piece, path)
      sizeBytes += piece.length
    }
    await file.sync()
  } finally {
    await file.close()
  }
  // made first, exclusively: whoever made it meanwhile keeps his file
  const made = await open(path, 'wx').catch((error: unknown) => {
    throw errorCode(error) === 'EEXIST' ? taken(path) : unwritable(path, error)
  })
  await made.close()
  await rename(part, path)
  return sizeBytes
}

async function writeAll(file: FileHandle, piece: Buffer, path: string): Promise<void> {
  try {
    for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten
  } catch (error) {
    throw unwritable(path, error)
  }
}

const taken = (path: string): UserError =>
  new UserError(`${path}: is there already, and is not overwritten; name another one`, { exitCode: 2 })

const unwritable = (path: string, error: unknown): UserError =>
  new UserError(`${path}: cannot be written (${errorCode(error)})`, { cause: error })
