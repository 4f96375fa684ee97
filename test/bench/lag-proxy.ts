// A TCP relay that holds every byte back for half of a round trip, in both directions, in order.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface LagProxy {
  readonly port: number
  stop(): Promise<void>
}

export async function startLagProxy(targetPort: number, roundTripMs: number): Promise<LagProxy> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    relay(near, far, roundTripMs / 2)
    relay(far, near, roundTripMs / 2)
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the relay has no port')
  return {
    port: address.port,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

function relay(from: Socket, to: Socket, delayMs: number): void {
  from.on('data', (bytes: Buffer) => setTimeout(() => to.writable && to.write(bytes), delayMs))
  from.on('end', () => setTimeout(() => to.end(), delayMs))
}
