import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { isAlive, removeFolder, tempFolder } from '../support/child.ts'
import { setUp } from '../support/api.ts'
import { startCommand } from '../support/command.ts'

/** Every process that has the folder in its command line or works in it: the service and its database. */
function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return (
          readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) ||
          readFileSync(`/proc/${pid}/environ`, 'utf8').includes(folder)
        )
      } catch {
        return false
      }
    })
    .map(Number)
    .filter(isAlive)
}

describe('the demo', () => {
  const folder = tempFolder('demo')
  const env = { POSTSTELLE_DATA: join(folder, 'data'), POSTSTELLE_HTTP: '127.0.0.1:0' }
  afterAll(() => removeFolder(folder))

  test('shows mail stored, mail handed over, a token refreshed, and at least three different flags; SIGTERM leaves nothing behind', async () => {
    const demo = startCommand(['demo'], { env })
    await demo.until(/Open in a browser: http:\/\/127\.0\.0\.1:\d+\//)
    await Promise.all([
      demo.until(/mail stored: \d/),
      demo.until(/mail handed over: \d/),
      demo.until(/token refreshed/),
    ])
    await expect
      .poll(
        () =>
          new Set(
            demo
              .out()
              .match(/flagged \(\w+\): .*\[(\w+)\]/g)
              ?.map((line) => line.replace(/.*\[/, '')),
          ).size,
        { timeout: 60_000 },
      )
      .toBeGreaterThanOrEqual(3)
    const setUpUrl = /Open in a browser: (\S+)/.exec(demo.out())?.[1] ?? ''
    const ask = await setUp({ url: new URL('/', setUpUrl).href, setUpUrl })
    expect((await ask('GET', '/api/v1/overview?lang=en')).json.verdict).toContain('accounts need you.')
    demo.child.kill('SIGTERM')
    const { code, err } = await demo.ended()
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(demo.out()).toContain('nothing is left running')
    expect(processesOf(folder)).toEqual([])
  })

  test('kill -9 leaves no database behind, and the next start recovers and goes on', async () => {
    const killed = startCommand(['demo'], { env })
    await killed.until(/mail stored: \d/)
    killed.child.kill('SIGKILL')
    await killed.ended()
    await expect.poll(() => processesOf(folder), { timeout: 10_000 }).toEqual([])
    const next = startCommand(['demo', '--seconds', '60'], { env })
    await Promise.all([next.until(/mail stored: \d/), next.until(/mail handed over: \d/)])
    next.child.kill('SIGINT')
    next.child.kill('SIGINT') // under npm, Ctrl-C comes twice
    expect((await next.ended()).code).toBe(0)
    expect(processesOf(folder)).toEqual([])
  })

  test('a service whose embedded database dies ends, so that its supervisor can start it again', async () => {
    const service = startCommand(['start', '--json'], { env })
    await service.until(/"url"/)
    const cluster = join(env.POSTSTELLE_DATA, 'postgres', 'postmaster.pid')
    process.kill(Number(readFileSync(cluster, 'utf8').split('\n')[0]), 'SIGKILL')
    const { code, err } = await service.ended()
    expect(code).toBe(1)
    expect(err).toContain('the embedded database ended')
  })

  test('a second service on the same data is refused by name', async () => {
    const first = startCommand(['start', '--json'], { env })
    await first.until(/"url"/)
    const second = startCommand(['start'], { env })
    const { code, err } = await second.ended()
    expect(code).toBe(1)
    expect(err).toMatch(/another Poststelle .* already runs on/)
    const status = startCommand(['status', '--json'], { env })
    expect((await status.ended()).code).toBe(0)
    first.child.kill('SIGTERM')
    expect((await first.ended()).code).toBe(0)
  })
})
