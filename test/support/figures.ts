// Rows of the fault matrix: a test by its row's name, and the figure it found. `npm run test:faults` prints the figures as a table
// and runs every row at full size; without it the rows marked `fast` run, scaled down.

import { appendFileSync } from 'node:fs'
import { expect, test } from 'vitest'

/** Full size: hundreds of kills, every row. */
export const FULL = process.env['FAULTS_FULL'] === '1'

/** Picks a count by the size of the run. */
export const sized = (fast: number, full: number): number => (FULL ? full : fast)

export interface RowOptions {
  /** Part of `npm test`; every row is part of the full run. */
  readonly fast: boolean
  readonly timeoutMs?: number
}

/** `work` returns the figure, or throws. A row that is not fast does not exist outside of the full run. */
export function row(id: string, sentence: string, options: RowOptions, work: () => Promise<string>): void {
  if (!options.fast && !FULL) return
  test(`${id}: ${sentence}`, { timeout: options.timeoutMs ?? (FULL ? 1_200_000 : 120_000) }, async () => {
    const figure = await work()
    expect(figure).not.toBe('')
    const file = process.env['FAULTS_FIGURES']
    if (file !== undefined) appendFileSync(file, `${JSON.stringify({ id, sentence, figure })}\n`)
  })
}
