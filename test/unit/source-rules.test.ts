// Rules of the house that no linter knows.

import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'

const ROOT = path.join(import.meta.dirname, '../..')
const FOLDERS = '{bin,migrations,scripts,src,test}'

/** Paths relative to the repository, with slashes; data (JSON, PEM, messages) is no source. */
const sources = globSync(`${FOLDERS}/**/*.{ts,tsx,mts,mjs,js,sql,sh}`, { cwd: ROOT })
  .map((file) => file.replaceAll(path.sep, '/'))
  .toSorted()
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8')
const matching = (pattern: RegExp): string[] => sources.filter((file) => pattern.test(read(file)))

test('the sources are found at all', () => {
  for (const file of [
    'src/main.ts',
    'test/unit/source-rules.test.ts',
    'migrations/0001_accounts.sql',
    'scripts/test.mjs',
  ])
    expect(sources).toContain(file)
})

test('no source file is longer than 400 lines', () => {
  const long = sources
    .filter((file) => !file.endsWith('/schema.sql'))
    .map((file) => [file, read(file).split('\n').length - 1] as const)
  expect(long.filter(([, count]) => count > 400)).toEqual([])
})

test('nothing is left for later: what is not built is not mentioned in the code', () => {
  expect(matching(/\b(?:[T]ODO|[F]IXME)\b/)).toEqual([])
})

test('every test runs: none is left out and none runs alone', () => {
  const tests = sources.filter((file) => file.startsWith('test/'))
  expect(
    tests.filter((file) => /\b(?:test|it|describe|suite)(?:\.\w+)*\.(?:only|skip|todo|fails)\b/.test(read(file))),
  ).toEqual([])
})

test('every file of src opens with a comment that says what it is responsible for', () => {
  const silent = sources.filter((file) => file.startsWith('src/') && !/^\/\/ \S/.test(read(file)))
  expect(silent).toEqual([])
})

test('files and folders have names in kebab case', () => {
  const all = globSync(`${FOLDERS}/**`, { cwd: ROOT }).map((file) => file.replaceAll(path.sep, '/'))
  const odd = all.filter(
    (file) => !file.startsWith('migrations/') && !/^[a-z0-9]+(?:[-.][a-z0-9]+)*$/.test(path.posix.basename(file)),
  )
  expect(odd).toEqual([])
})

test('no drawer for things without a place', () => {
  const drawers = /(?:^|\/)(?:utils?|helpers?|common|misc)(?:\/|\.[a-z]+$)/
  expect(sources.filter((file) => drawers.test(file))).toEqual([])
})
