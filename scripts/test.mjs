// npm test: the test servers, the static checks, then every test, each under a heading; words after `--` go to vitest.
// The last line is "N passed, N failed"; a failed check counts as a failure, and so does a run in which no test ran.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureTestTools } from './test-tools.mjs'

const repo = dirname(dirname(fileURLToPath(import.meta.url)))
const bin = join(repo, 'node_modules', '.bin')
// First in the path: the pinned Node runs everything, whichever one runs this file.
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ''}` }

const CHECKS = [
  ['types', 'tsc', ['--noEmit']],
  ['types of the pages', 'tsc', ['--noEmit', '-p', 'web']],
  ['lint', 'oxlint', ['--type-aware', '--deny-warnings']],
  ['format', 'oxfmt', ['--check']],
]

const heading = (text) => console.log(`\n== ${text}`)

function run(program, args) {
  const { status, signal, error } = spawnSync(join(bin, program), args, { cwd: repo, env, stdio: 'inherit' })
  if (error) console.error(`${program}: ${error.message}`)
  else if (status !== 0) console.error(`${program} ended with ${signal ?? `exit code ${status}`}`)
  return status === 0
}

/** By the pinned Node, whichever one runs this file. */
const runNode = (file) =>
  spawnSync(join(bin, 'node'), [join(repo, file)], { cwd: repo, env, stdio: 'inherit' }).status === 0

/** Runs vitest, which prints for people, and reads the figures from its report for machines. */
function runTests(args) {
  const folder = mkdtempSync(join(tmpdir(), 'poststelle-report-'))
  const report = join(folder, 'report.json')
  try {
    const ok = run('vitest', ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...args])
    if (!existsSync(report)) return { passed: 0, failed: 1 }
    const { numPassedTests: passed, numFailedTests, testResults } = JSON.parse(readFileSync(report, 'utf8'))
    // A file that does not even load has no failed test in it.
    const broken = testResults.filter(
      (file) => file.status === 'failed' && !file.assertionResults.some(hasFailed),
    ).length
    if (passed + numFailedTests === 0) console.error('No test ran.')
    const failed = numFailedTests + broken
    return { passed, failed: failed === 0 && (!ok || passed === 0) ? 1 : failed }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const hasFailed = (test) => test.status === 'failed'

function main(args) {
  heading('test servers')
  if (ensureTestTools() !== 0) return { passed: 0, failed: 1 }
  console.log('all here')
  let failedChecks = 0
  for (const [name, program, words] of CHECKS) {
    heading(name)
    if (run(program, words)) console.log('ok')
    else failedChecks++
  }
  heading('pages')
  if (runNode('scripts/build-web.mjs')) console.log('ok')
  else failedChecks++
  heading('tests')
  const { passed, failed } = runTests(args)
  return { passed, failed: failed + failedChecks }
}

const { passed, failed } = main(process.argv.slice(2))
console.log(`\n${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
