// What the kernel knows of a process: CPU time and memory, also of programs that are not ours.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

const TICK_MS = 10 // USER_HZ is 100 on every Linux

/** Fields of /proc/<pid>/stat behind the name, from the state on; undefined where the process is gone. */
function statOf(pid: number): number[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ').map(Number)
  } catch {
    return undefined
  }
}

/** User and system time of a process, and of the children it has waited for. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid) ?? []
  return ((fields[11] ?? 0) + (fields[12] ?? 0) + (fields[13] ?? 0) + (fields[14] ?? 0)) * TICK_MS
}

/** The same of a process with everything it has started. */
export const treeCpuMs = (root: number): number => tree(root).reduce((sum, pid) => sum + cpuMs(pid), 0)

function tree(root: number): number[] {
  const parents = new Map(readdirSync('/proc').flatMap((name) => parentOf(Number(name))))
  const belongs = (pid: number): boolean => pid === root || (pid > 1 && belongs(parents.get(pid) ?? 0))
  return [...parents.keys()].filter(belongs)
}

function parentOf(pid: number): [number, number][] {
  const fields = pid > 0 ? statOf(pid) : undefined
  return fields ? [[pid, fields[1] ?? 0]] : []
}

/** Of the children this process has waited for. */
export function childrenCpuMs(): number {
  const fields = statOf(process.pid) ?? []
  return ((fields[13] ?? 0) + (fields[14] ?? 0)) * TICK_MS
}

/** The kernel's note of a process's highest memory begins anew, at what it has now. */
export const forgetPeakRss = (pid = process.pid): void => writeFileSync(`/proc/${pid}/clear_refs`, '5')

/** Highest resident memory of a living process. */
export function peakRssMb(pid: number): number {
  const kilobytes = Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  return Math.round((kilobytes * 1024) / 1e6)
}

/** Highest resident memory of a living process and of all it has started, summed up. */
export const treePeakRssMb = (root: number): number => tree(root).reduce((sum, pid) => sum + peakRssMb(pid), 0)

/** A clock that all processes of the machine share. */
export const monotonicMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** Of a sorted or unsorted row of figures. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

export const machine = (): string => {
  const model = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown'
  return `${availableParallelism()} cores (${model}), Node ${process.version}`
}
