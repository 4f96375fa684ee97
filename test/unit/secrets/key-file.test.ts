import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseKeys } from '../../../src/base/config.ts'
import { UserError } from '../../../src/base/failure.ts'
import { embeddedKeys, generateKey } from '../../../src/secrets/key-file.ts'

const NOW = new Date('2026-03-11T10:00:00Z')
const MODULE = new URL('../../../src/secrets/key-file.ts', import.meta.url).href

let root: string
beforeAll(() => {
  root = mkdtempSync(path.join(tmpdir(), 'keys-'))
})
afterAll(() => rmSync(root, { recursive: true }))

test('a new key says its day, has 32 random bytes and fits into the key ring', () => {
  const [one, two] = [generateKey(NOW), generateKey(NOW)]
  expect(one).not.toBe(two)
  const [key] = parseKeys(one)
  expect(key?.id).toMatch(/^k20260311-[0-9a-f]{4}$/)
  expect(key?.bytes).toHaveLength(32)
})

test('the first start makes the folder and the ring, for their owner only', () => {
  const folder = path.join(root, 'first', 'data')
  embeddedKeys(folder, NOW)
  expect(statSync(folder).mode & 0o777).toBe(0o700)
  expect(statSync(path.join(folder, 'keys')).mode & 0o777).toBe(0o600)
  expect(readdirSync(folder)).toEqual(['keys'])
})

test('every further start reads the same ring', () => {
  const folder = path.join(root, 'second')
  expect(embeddedKeys(folder, NOW)).toEqual(embeddedKeys(folder, new Date('2027-01-01')))
})

test('a key that the operator put in front is the first of the ring', () => {
  const folder = path.join(root, 'rotated')
  const [old] = embeddedKeys(folder, NOW)
  const older = `${old?.id}:${old?.bytes.toString('base64')}`
  writeFileSync(path.join(folder, 'keys'), `new:${Buffer.alloc(32, 5).toString('base64')},${older}\n`)
  expect(embeddedKeys(folder, NOW).map(({ id }) => id)).toEqual(['new', old?.id])
})

test('processes that start for the first time at once all get the same ring', async () => {
  const folder = path.join(root, 'race')
  const start = Date.now() + 500
  const program = `import { embeddedKeys } from ${JSON.stringify(MODULE)}
    while (Date.now() < ${start}) continue
    const keys = embeddedKeys(${JSON.stringify(folder)}, new Date())
    process.stdout.write(keys.map(({ id, bytes }) => id + bytes.toString('hex')).join())`
  const answers = await Promise.all(Array.from({ length: 4 }, () => output(program)))
  expect(new Set(answers).size).toBe(1)
  expect(answers[0]).toMatch(/^k\d{8}-[0-9a-f]{4}[0-9a-f]{64}$/)
  expect(readdirSync(folder)).toEqual(['keys'])
}, 30_000)

test('a ring that cannot be read is one clear sentence, without the key in it', () => {
  const folder = path.join(root, 'broken')
  embeddedKeys(folder, NOW)
  const file = path.join(folder, 'keys')
  writeFileSync(file, 'canary')
  expect(() => embeddedKeys(folder, NOW)).toThrow(new UserError(`${file}: key 1 is not of the form id:base64`))
})

test('a folder that cannot be made is one clear sentence', () => {
  const blocked = path.join(root, 'not-a-folder')
  writeFileSync(blocked, '')
  expect(() => embeddedKeys(blocked, NOW)).toThrow(UserError)
})

async function output(program: string): Promise<string> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  for await (const piece of child.stdout) text += String(piece)
  return text
}
