// A private Redis, as production needs it (nothing evicted) or, for the test of the start-up check, as it must not be.

import { removeFolder, startProgram, tempFolder, untilListening } from './child.ts'
import { freePort } from './ports.ts'

export interface TestRedis {
  readonly url: string
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

/** `port`: that of one that was stopped, to bring it back. */
export async function startRedis(o: { evicting?: boolean; port?: number } = {}): Promise<TestRedis> {
  const folder = tempFolder('redis')
  const port = o.port ?? (await freePort())
  const policy = o.evicting ? 'allkeys-lru' : 'noeviction'
  const settings = {
    port: String(port),
    bind: '127.0.0.1',
    save: '',
    appendonly: 'no',
    dir: folder,
    'maxmemory-policy': policy,
  }
  const program = startProgram(
    'redis-server',
    Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
  )
  await untilListening(program, port)
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: program.pid,
    async stop() {
      await program.stop()
      removeFolder(folder)
    },
  }
}
