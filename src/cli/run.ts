// What commands have in common: an installation opened and closed around the work, and answers for people or programs.

import { silentLogger } from '../base/logger.ts'
import type { CommandContext, Installation } from './installation.ts'
import { printableJson } from './printable.ts'

/** Everything is said; the process ends with this code. */
export class ExitWith extends Error {
  readonly exitCode: number

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`)
    this.exitCode = exitCode
  }
}

export interface JsonOption {
  readonly json?: boolean
}

export const JSON_FLAG = ['--json', 'print JSON for programs'] as const

/** Opens the installation for one command and closes it whatever happens. */
export async function withInstallation<T>(
  ctx: CommandContext,
  work: (installation: Installation) => Promise<T>,
  options: { migrations?: 'require' | 'leave'; existing?: boolean } = {},
): Promise<T> {
  const { migrations = 'require', existing = true } = options
  const installation = await ctx.openInstallation(ctx.readConfig(), silentLogger, { migrations, existing })
  try {
    return await work(installation)
  } finally {
    await installation.close()
  }
}

export function answer(ctx: CommandContext, options: JsonOption, value: unknown, text: () => string): void {
  ctx.terminal.out(options.json ? `${printableJson(value)}\n` : text())
}

export const plural = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`

/** Columns as wide as their widest cell; the last one is cut at `width`. */
export function table(rows: readonly (readonly string[])[], width: number): string {
  const widths: number[] = []
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)))
  return rows
    .map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd()
        .slice(0, width),
    )
    .map((line) => `${line}\n`)
    .join('')
}

/** "3 s", "12 min", "5 h", "9 d". */
export function age(at: Date, now: Date): string {
  const seconds = Math.max(0, Math.round((now.getTime() - at.getTime()) / 1000))
  if (seconds < 90) return `${seconds} s`
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`
  return seconds < 48 * 3600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}

/** A text in lines of no more than `width`, each behind `indent`; a word that is longer stands alone. */
export function wrapped(text: string, width: number, indent = ''): string {
  const lines = ['']
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? ''
    if (last !== '' && indent.length + last.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`
  }
  return lines.map((line) => `${indent}${line}\n`).join('')
}
