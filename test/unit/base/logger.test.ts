import { spawnSync } from 'node:child_process'
import { beforeAll, describe, expect, test } from 'vitest'

const MODULE = new URL('../../../src/base/logger.ts', import.meta.url).href

/** What a process writes to standard output when it runs these statements with `log`. */
function logged(statements: string, level = 'info'): Record<string, unknown>[] {
  const program = `import { createLogger } from ${JSON.stringify(MODULE)}; const log = createLogger(${JSON.stringify(level)}); ${statements}`
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    encoding: 'utf8',
  })
  expect(status, stderr).toBe(0)
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe('a log line', () => {
  test('is one JSON object with level, time, fields and message', () => {
    const [line] = logged(`log.info({ account: 'a@b.example', stored: 3 }, 'maildrop polled')`)
    expect(line).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      account: 'a@b.example',
      stored: 3,
      msg: 'maildrop polled',
    })
  })

  test('of an error says name, message and stack, and nothing else that hangs on it', () => {
    const [line] = logged(
      `log.error({ err: Object.assign(new TypeError('boom'), { config: 'canary' }) }, 'a request failed')`,
    )
    expect(line?.err).toEqual({ name: 'TypeError', message: 'boom', stack: expect.stringContaining('TypeError: boom') })
  })

  test('below the chosen level is not written', () => {
    expect(logged(`log.info('quiet'); log.warn('loud')`, 'warn')).toMatchObject([{ msg: 'loud' }])
    expect(logged(`log.error('anything')`, 'silent')).toEqual([])
  })
})

const HIDDEN: readonly (readonly [where: string, fields: string])[] = [
  ['at the top', `{ password: 'canary' }`],
  ['three levels down', `{ a: { b: { client_secret: 'canary' } } }`],
  ['six levels down', `{ a: { b: { c: { d: { e: { refreshToken: 'canary' } } } } } }`],
  ['in a list', `{ grants: [{ access_token: 'canary' }] }`],
  ['in a list of lists', `{ grants: [[{ msalCache: 'canary' }]] }`],
  ['in other letters', `{ headers: { Authorization: 'Bearer canary', 'Set-Cookie': ['canary'] } }`],
  ['as an object', `{ token: { value: 'canary' } }`],
  ['with quotes in it', `{ password: 'x"canary\\\\"canary' }`],
  ['in the configuration', `{ config: { databaseUrl: 'postgres://a:canary@b', keys: [{ bytes: 'canary' }] } }`],
  ['on an error', `{ error: Object.assign(new Error('x'), { password: 'canary' }) }`],
  ['where an object says itself what it looks like', `{ grant: { toJSON: () => ({ id_token: 'canary' }) } }`],
]

describe('what has the name of a secret', () => {
  let lines: Record<string, unknown>[]
  beforeAll(() => {
    lines = logged(HIDDEN.map(([, fields]) => `log.info({ before: 1, ...${fields}, after: 2 }, 'x')`).join('; '))
  })

  test.each(HIDDEN.map(([where], index) => [where, index] as const))('is removed %s', (_where, index) => {
    const text = JSON.stringify(lines[index])
    expect(text).not.toContain('canary')
    expect(text).toContain('[removed]')
    expect(text).toMatch(/"before":1.*"after":2/)
  })

  test('is removed from what a child logger brings along', () => {
    const [line] = logged(`log.child({ account: 1, login: { password: 'canary' } }).info('x')`)
    expect(line).toMatchObject({ account: 1, login: { password: '[removed]' } })
  })
})
