// npm run test:faults [-- inbound [words for vitest]]: every row of the fault matrix at full size, and a table of its figures.
// A row that failed has no figure; vitest names it above the table.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureTestTools } from './test-tools.mjs'

const repo = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = join(repo, 'node_modules', '.bin')

function main([part, ...rest]) {
  if (ensureTestTools() !== 0) return 1
  const folder = mkdtempSync(join(tmpdir(), 'poststelle-faults-'))
  const file = join(folder, 'figures.jsonl')
  const env = {
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH ?? ''}`,
    FAULTS_FULL: '1',
    FAULTS_FIGURES: file,
  }
  const where = part ? [part.startsWith('-') ? part : `test/faults/${part}`] : []
  try {
    const { status } = spawnSync(join(bin, 'vitest'), ['run', '--project', 'faults', ...where, ...rest], {
      cwd: repo,
      env,
      stdio: 'inherit',
    })
    if (existsSync(file)) printTable(readFileSync(file, 'utf8').trim().split('\n').map(JSON.parse))
    return status ?? 1
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function printTable(rows) {
  const order = ({ id }) => `${id.replace(/\d.*/, '')}${id.replace(/\D/g, '').padStart(3, '0')}${id}`
  rows.sort((a, b) => order(a).localeCompare(order(b)))
  console.log('\nrow   figure')
  for (const { id, sentence, figure } of rows) console.log(`${id.padEnd(4)}  ${figure}\n      ${sentence}`)
  console.log(`\n${rows.length} rows`)
}

process.exitCode = main(process.argv.slice(2))
