// Reads postmaster.pid, the file by which a Postgres server claims its cluster, and says whether that server lives.
// A pid alone proves nothing: it may be a zombie that nobody reaped, or by now another program.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../base/failure.ts'

export interface RunningServer {
  readonly pid: number
  /** 0: not listening yet. */
  readonly port: number
  readonly status: 'starting' | 'ready' | 'stopping'
}

/** null: nothing in the file names a server. Lines of the file: pid, folder, start, port, socket, address, memory key, status. */
export function parsePostmasterPid(text: string): RunningServer | null {
  const lines = text.split('\n').map((line) => line.trim())
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0) return null
  const status = lines[7]
  return { pid, port: Number(lines[3]) || 0, status: status === 'ready' || status === 'stopping' ? status : 'starting' }
}

/** The live server of this cluster, or null. */
export function runningServer(cluster: string): RunningServer | null {
  let text: string
  try {
    text = readFileSync(join(cluster, 'postmaster.pid'), 'utf8')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null
    throw error
  }
  const server = parsePostmasterPid(text)
  return server && isServerOf(server.pid, cluster) ? server : null
}

function isServerOf(pid: number, cluster: string): boolean {
  if (process.platform === 'linux') {
    try {
      const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      return !/^[ZX]/.test(state ?? 'X') && words[0]?.endsWith('/postgres') === true && words.includes(cluster)
    } catch {
      return false
    }
  }
  try {
    return execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).includes(
      ` ${cluster} `,
    )
  } catch {
    return false
  }
}
