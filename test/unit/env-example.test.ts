import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readConfig, SETTINGS } from '../../src/base/config.ts'

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

/** Every name with the comment lines above it and the value behind it. */
const entries = read('.env.example')
  .split(/\n{2,}/)
  .flatMap((block) => {
    const [, comment = '', mark = '', name = '', value = ''] =
      /^((?:# .*\n)+)(#?)([A-Z][A-Z_]*)=(.*)$/.exec(block.trim()) ?? []
    return name === ''
      ? []
      : [{ name, value, active: mark === '', explanation: comment.replace(/^# /gm, '').trim().replaceAll('\n', ' ') }]
  })
const settings = entries.filter(({ name }) => name in SETTINGS)

test('.env.example lists every setting in the order of the code, each with its explanation', () => {
  expect(settings.map(({ name, explanation }) => [name, explanation])).toEqual(Object.entries(SETTINGS))
})

test('.env.example lists nothing else but what docker-compose.yml asks for', () => {
  const asked = new Set([...read('docker-compose.yml').matchAll(/\$\{([A-Z_]+)/g)].map(([, name = '']) => name))
  const others = entries.map(({ name }) => name).filter((name) => !(name in SETTINGS))
  expect(others).toEqual([...asked].filter((name) => !(name in SETTINGS)))
})

test('a plain copy of .env.example sets nothing', () => {
  expect(read('.env.example')).not.toMatch(/^[^#\n]/m)
  expect(entries.filter(({ active }) => active)).toEqual([])
})

test('the examples in .env.example are values that the service takes, and none of them is a key', () => {
  const examples = Object.fromEntries(settings.map(({ name, value }) => [name, value]))
  expect(examples.POSTSTELLE_KEYS).toBe('')
  const usable = { ...examples, POSTSTELLE_KEYS: `k1:${Buffer.alloc(32).toString('base64')}`, POSTSTELLE_CA_FILE: '' }
  expect(readConfig(usable)).toMatchObject({
    databaseUrl: examples.DATABASE_URL,
    redisUrl: examples.REDIS_URL,
    dataFolder: examples.POSTSTELLE_DATA,
    egressAllow: [examples.POSTSTELLE_EGRESS_ALLOW],
  })
})
