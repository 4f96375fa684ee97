// What a process of this machine holds in memory.

import { readFileSync, writeFileSync } from 'node:fs'

const MIB = 1024 * 1024

export interface MemoryWatch {
  /** The largest resident set since the watch began, less that at its beginning, in MiB. */
  growthMib(): number
}

export function watchMemory(pid: number): MemoryWatch {
  writeFileSync(`/proc/${pid}/clear_refs`, '5') // the peak begins anew
  const before = field(pid, 'VmRSS')
  return { growthMib: () => Math.max(0, (field(pid, 'VmHWM') - before) / MIB) }
}

/** In bytes. */
function field(pid: number, name: 'VmRSS' | 'VmHWM'): number {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  if (kib === undefined) throw new Error(`process ${pid} has no ${name}`)
  return Number(kib) * 1024
}
