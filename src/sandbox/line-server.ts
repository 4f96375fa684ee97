// Two listening ports on loopback for one protocol, TLS from the first byte and upgraded by command, and a close() that
// leaves no socket behind.

import { createServer as createPlainServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { LineSocket } from './line-socket.ts'

export interface ServerTls {
  readonly key: string
  readonly cert: string
}

export interface LineServer {
  /** Implicit TLS. */
  readonly tlsPort: number
  /** Plain until STLS or STARTTLS. */
  readonly upgradePort: number
  connections(): number
  /** Ends all sessions at once. Throws what a session threw: a defect of the simulator must not pass unseen. */
  close(): Promise<void>
}

export interface LineServerOptions {
  readonly tls: ServerTls
  readonly idleTimeoutMs?: number
  session(socket: LineSocket): Promise<void>
}

/** RFC 1939 section 3: the autologout timer is at least ten minutes. */
const AUTOLOGOUT_MS = 600_000

export async function startLineServer(options: LineServerOptions): Promise<LineServer> {
  const sockets = new Set<Socket>()
  const sessions = new Set<Promise<void>>()
  const defects: unknown[] = []

  const serve = (socket: Socket): void => {
    const lineSocket = new LineSocket(socket, { idleTimeoutMs: options.idleTimeoutMs ?? AUTOLOGOUT_MS })
    const session = options
      .session(lineSocket)
      .catch((error: unknown) => defects.push(error))
      .then(() => lineSocket.hangUp())
      .finally(() => sessions.delete(session))
    sessions.add(session)
  }
  const plain = createPlainServer(serve)
  const secure = createTlsServer({ ...options.tls }, serve)
  secure.on('tlsClientError', (_error, socket) => socket.destroy())
  for (const server of [plain, secure]) {
    // On a TLS server 'connection' comes before the handshake: connections that never finish it are closed as well.
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
    })
  }
  return {
    upgradePort: await listen(plain),
    tlsPort: await listen(secure),
    connections: () => sockets.size,
    async close() {
      const closed = [plain, secure].map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
      for (const socket of sockets) socket.destroy()
      await Promise.all([...closed, ...sessions])
      if (defects.length > 0) throw new AggregateError(defects, 'a simulated session failed')
    },
  }
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not a TCP server')
  return address.port
}
