// Loopback ports for servers that cannot be told "any": taken from below the range in which the system numbers outgoing
// connections, so that no client socket of another test gets there first.

import { connect, createServer } from 'node:net'
import { randomInt } from 'node:crypto'

const LOWEST = 20_000
const HIGHEST = 32_000

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST, HIGHEST)
    if (await canListen(port)) return port
  }
}

/** Whether something accepts connections there now. */
export function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
