// What programs may rely on: the interface keeps what it has promised. New promises are written down by `vitest run -u`; one that is to
// be broken has to be taken out of the file by hand.

import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { askWith } from '../../support/api.ts'
import { openDashboard, type Dashboard } from '../../support/dashboard.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'
import { brokenPromises, promisesOf, type OpenApi } from '../../support/openapi.ts'

const FILE = path.join(import.meta.dirname, '../../fixtures/api-v1.txt')

let house: TestHouse
let dashboard: Dashboard
let document: OpenApi
beforeAll(async () => {
  house = await openHouse()
  dashboard = await openDashboard(house)
  const ask = await askWith(house.db, dashboard.base, 'reader')
  document = (await ask('GET', '/api/openapi.json')).json as OpenApi
})
afterAll(async () => {
  await dashboard.close()
  await house.close()
})

const written = (): string[] => (existsSync(FILE) ? readFileSync(FILE, 'utf8').split('\n').filter(Boolean) : [])

test('every promise is kept', () => {
  expect(brokenPromises(written(), promisesOf(document))).toEqual([])
})

test('every promise is written down', async () => {
  const now = promisesOf(document)
  const all = [...new Set([...written(), ...now])].toSorted()
  expect(now.length).toBeGreaterThan(500)
  await expect(`${all.join('\n')}\n`).toMatchFileSnapshot(FILE)
})

test.each([
  ['a field of an answer that is gone', 'gives 200.a: string', undefined, ['gone: GET /x gives 200.a: string']],
  [
    'a field that has another type',
    'gives 200.a: string',
    'gives 200.a: integer',
    ['gone: GET /x gives 200.a: string'],
  ],
  [
    'a field that is not always there any more',
    'gives 200.a: string',
    'gives 200.a: string, at times',
    ['gone: GET /x gives 200.a: string'],
  ],
  ['a field that is always there now', 'gives 200.a: string, at times', 'gives 200.a: string', []],
  ['a word that is not given any more', 'gives 200.a = "b"', undefined, []],
  ['a word that is not taken any more', 'takes query.a = "b"', undefined, ['gone: GET /x takes query.a = "b"']],
  ['a field that may be left out now', 'takes body.a: string, needed', 'takes body.a: string', []],
  [
    'a field that is needed now',
    'takes body.a: string',
    'takes body.a: string, needed',
    ['gone: GET /x takes body.a: string', 'needed now: GET /x takes body.a: string, needed'],
  ],
  [
    'a new field that is needed',
    undefined,
    'takes body.b: string, needed',
    ['needed now: GET /x takes body.b: string, needed'],
  ],
  ['a new field', undefined, 'takes body.b: string', []],
])('%s', (_, before, now, broken) => {
  const lines = (line: string | undefined): string[] => [
    'GET /x gives 200: any',
    ...(line === undefined ? [] : [`GET /x ${line}`]),
  ]
  expect(brokenPromises(lines(before), lines(now))).toEqual(broken)
})
