import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { writeNewFile } from '../../../src/cli/new-file.ts'
import { removeFolder, tempFolder } from '../../support/child.ts'

const folder = tempFolder('new-file')
afterAll(() => removeFolder(folder))

async function* pieces(...texts: (string | (() => void))[]): AsyncGenerator<Buffer> {
  for (const text of texts) {
    if (typeof text === 'string') yield Buffer.from(text)
    else text()
  }
}

test('a file appears whole, under its name, and nothing else stays', async () => {
  const path = join(folder, 'whole')
  const during = () => expect([existsSync(path), existsSync(`${path}.part`)]).toEqual([false, true])
  expect(await writeNewFile(path, pieces('one ', during, '', 'two'))).toBe(7)
  expect(readFileSync(path, 'utf8')).toBe('one two')
  expect(existsSync(`${path}.part`)).toBe(false)
})

test('what breaks off stays as .part, and is not taken for the whole', async () => {
  const path = join(folder, 'broken')
  const fail = () => {
    throw new Error('the database went away')
  }
  await expect(writeNewFile(path, pieces('half', fail, 'rest'))).rejects.toThrow('the database went away')
  expect(existsSync(path)).toBe(false)
  expect(readFileSync(`${path}.part`, 'utf8')).toBe('half')
})

test('whoever made a file of that name meanwhile keeps it', async () => {
  const path = join(folder, 'raced')
  const race = () => writeFileSync(path, 'theirs')
  await expect(writeNewFile(path, pieces('mine', race))).rejects.toThrow(
    /raced: is there already, and is not overwritten/,
  )
  expect(readFileSync(path, 'utf8')).toBe('theirs')
})
