// One row for each sender of a run, ours and the others alike.

import type { Arrivals } from './sink.ts'

export interface Row {
  readonly sender: string
  readonly messages: number
  readonly seconds: number
  /** CPU time of the run in ms; undefined where there is no such process. */
  readonly cpuMs: number
  readonly postgresCpuMs?: number | undefined
  readonly redisCpuMs?: number | undefined
  readonly sinkCpuMs: number
  readonly peakRssMb?: number | undefined
  readonly arrivals: Pick<Arrivals, 'lost' | 'doubled' | 'connections'>
}

const COLUMNS = [
  'sender',
  'messages',
  'msgs/s',
  'CPU ms/msg',
  'Postgres',
  'Redis',
  'sink',
  'RSS MB',
  'connections',
  'msgs/s each',
  'lost',
  'doubled',
  'ours is',
] as const

/** The first row is what the others are compared with. */
export function printTable(title: string, rows: readonly Row[]): void {
  const ours = rows[0] ? rate(rows[0]) : NaN
  const cells = rows.map((row, i) => {
    const each = (cpuMs: number | undefined): string => (cpuMs === undefined ? '-' : (cpuMs / row.messages).toFixed(3))
    const perSecond = rate(row)
    return [
      row.sender,
      String(row.messages),
      short(perSecond),
      each(row.cpuMs),
      each(row.postgresCpuMs),
      each(row.redisCpuMs),
      each(row.sinkCpuMs),
      row.peakRssMb === undefined ? '-' : String(row.peakRssMb),
      String(row.arrivals.connections),
      short(perSecond / row.arrivals.connections),
      String(row.arrivals.lost),
      String(row.arrivals.doubled),
      i === 0 ? '' : `${(ours / perSecond).toFixed(2)} times as fast`,
    ]
  })
  const lines = [COLUMNS as readonly string[], ...cells]
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  console.log(`${title}; CPU in ms for each message`)
  for (const line of lines)
    console.log(
      `  ${line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  ')}`,
    )
  const wrong = rows.filter(({ arrivals }) => arrivals.lost + arrivals.doubled > 0)
  if (wrong.length > 0) process.exitCode = 1
}

const short = (perSecond: number): string => (perSecond < 100 ? perSecond.toFixed(1) : String(Math.round(perSecond)))

const rate = (row: Row): number => row.messages / row.seconds
