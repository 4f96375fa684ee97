// A TCP proxy that makes a network bad: slow, narrow, cut after so many bytes, or swallowing everything; and counts what passes.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'

/** Of one direction. */
export interface PathFaults {
  /** One way. */
  readonly latencyMs?: number
  readonly bytesPerSecond?: number
  /** The connection is cut when so many bytes of it have passed. */
  readonly cutAfterBytes?: number
  /** Nothing is written in larger pieces. */
  readonly segmentBytes?: number
  /** What comes is swallowed; the connection stays open. */
  readonly blackhole?: boolean
}

export interface ProxyFaults {
  /** From the client to the server. */
  readonly up?: PathFaults
  /** From the server to the client. */
  readonly down?: PathFaults
  /** How a cut ends the connection: FIN or RST. */
  readonly cut?: 'close' | 'reset'
}

export interface FaultProxy {
  readonly port: number
  /** Passed on, all connections together. */
  readonly bytes: { readonly up: number; readonly down: number }
  readonly connections: number
  readonly open: number
  /** For new connections and for what passes from now on; a function is asked once by each new connection. */
  set(faults: ProxyFaults | (() => ProxyFaults)): void
  /** Ends every connection with RST. */
  cutAll(): void
  stop(): Promise<void>
}

/** More than that is not taken from a sender ahead of the receiver. */
const MAX_HELD_BYTES = 4 * 1024 * 1024

export async function startFaultProxy(targetPort: number, first: ProxyFaults = {}): Promise<FaultProxy> {
  let all: ProxyFaults | (() => ProxyFaults) = first
  const bytes = { up: 0, down: 0 }
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    connections += 1
    const own = typeof all === 'function' ? all() : undefined
    const faults = (): ProxyFaults => own ?? (typeof all === 'function' ? {} : all)
    const target = connect({ port: targetPort, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    const ended = new AbortController()
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        // what an orderly end was preceded by may still be on its way
        if (socket.readableEnded && !other.destroyed) return
        ended.abort()
        other.destroy()
      })
    }
    const cut = (): void => {
      for (const socket of [client, target]) {
        if (faults().cut === 'reset') socket.resetAndDestroy()
        else socket.end(() => socket.destroy())
      }
    }
    for (const [way, from, to] of [
      ['up', client, target],
      ['down', target, client],
    ] as const) {
      const path = { from, to, cut, signal: ended.signal, faults: () => faults()[way] ?? {} }
      void pump(path, (count) => (bytes[way] += count))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    port: address.port,
    bytes,
    get connections() {
      return connections
    },
    get open() {
      return sockets.size / 2
    },
    set: (next) => void (all = next),
    cutAll: () => sockets.forEach((socket) => socket.resetAndDestroy()),
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Path {
  readonly from: Socket
  readonly to: Socket
  readonly signal: AbortSignal
  faults(): PathFaults
  cut(): void
}

/** Moves the bytes of one direction of one connection until it ends. */
async function pump(path: Path, count: (bytes: number) => void): Promise<void> {
  const { from, to, signal } = path
  const held: { piece: Buffer; at: number }[] = []
  let heldBytes = 0
  let finished = false
  let wake = (): void => undefined
  from.on('data', (piece: Buffer) => {
    held.push({ piece, at: performance.now() })
    heldBytes += piece.length
    if (heldBytes > MAX_HELD_BYTES) from.pause()
    wake()
  })
  from.once('end', () => {
    finished = true
    wake()
  })
  signal.addEventListener('abort', () => wake())
  const wait = async (ms: number): Promise<void> => {
    if (ms > 0) await pause(ms, undefined, { signal }).catch(() => undefined)
  }
  let passed = 0
  while (!signal.aborted) {
    const next = held.shift()
    if (!next) {
      if (finished) return void to.end()
      await new Promise<void>((resolve) => (wake = resolve))
      continue
    }
    await wait(next.at + (path.faults().latencyMs ?? 0) - performance.now())
    for (let at = 0; at < next.piece.length && !signal.aborted;) {
      const { bytesPerSecond, cutAfterBytes = Infinity, segmentBytes = Infinity, blackhole } = path.faults()
      if (blackhole) break
      const narrow = bytesPerSecond === undefined ? Infinity : Math.max(1, Math.floor(bytesPerSecond / 50))
      const length = Math.min(next.piece.length - at, segmentBytes, narrow, cutAfterBytes - passed)
      if (length <= 0) return path.cut()
      const flows = to.write(next.piece.subarray(at, at + length))
      at += length
      passed += length
      count(length)
      if (passed >= cutAfterBytes) return path.cut()
      if (bytesPerSecond !== undefined) await wait((length * 1_000) / bytesPerSecond)
      else if (segmentBytes !== Infinity) await new Promise((resolve) => setImmediate(resolve))
      if (!flows)
        await Promise.race([once(to, 'drain', { signal }), once(to, 'close', { signal })]).catch(() => undefined)
    }
    heldBytes -= next.piece.length
    if (from.isPaused() && heldBytes < MAX_HELD_BYTES / 2) from.resume()
  }
}
