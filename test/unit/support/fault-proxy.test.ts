import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { startFaultProxy, type FaultProxy, type ProxyFaults } from '../../support/fault-proxy.ts'

/** A server behind a proxy, and a client in front of it. */
async function through(
  serve: (socket: Socket) => void,
  faults?: ProxyFaults,
): Promise<{ proxy: FaultProxy; client: Socket }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    serve(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const proxy = await startFaultProxy(address.port, faults)
  const client = connect(proxy.port, '127.0.0.1')
  onTestFinished(async () => {
    client.destroy()
    await proxy.stop()
    server.close()
  })
  await once(client, 'connect')
  return { proxy, client }
}

const LONG = Buffer.alloc(3_000_000, 'abcdefg')
const echo = (socket: Socket): void => void socket.pipe(socket)

test('without faults everything passes both ways, byte for byte, and is counted', async () => {
  const { proxy, client } = await through(echo)
  client.end(LONG)
  expect((await buffer(client)).equals(LONG)).toBe(true)
  expect(proxy.bytes).toEqual({ up: LONG.length, down: LONG.length })
  expect(proxy.connections).toBe(1)
})

test('latency is added once per way, not once per piece', async () => {
  const { client } = await through(echo, { up: { latencyMs: 60 }, down: { latencyMs: 60 } })
  const begun = performance.now()
  client.end(LONG)
  expect((await buffer(client)).equals(LONG)).toBe(true)
  const took = performance.now() - begun
  expect(took).toBeGreaterThanOrEqual(118)
  expect(took).toBeLessThan(1_500)
})

test('no more bytes per second than allowed', async () => {
  const { client } = await through((socket) => socket.end(Buffer.alloc(400)), { down: { bytesPerSecond: 1_000 } })
  const begun = performance.now()
  expect(await buffer(client)).toHaveLength(400)
  expect(performance.now() - begun).toBeGreaterThan(350)
})

test.each(['close', 'reset'] as const)('cut (%s) after exactly so many bytes', async (cut) => {
  const { client } = await through((socket) => socket.end(LONG), { down: { cutAfterBytes: 70_001 }, cut })
  const pieces: Buffer[] = []
  client.on('data', (piece: Buffer) => pieces.push(piece))
  let code = ''
  client.on('error', (error: NodeJS.ErrnoException) => (code = error.code ?? ''))
  await new Promise((resolve) => client.once('close', resolve))
  const got = Buffer.concat(pieces)
  expect(got.equals(LONG.subarray(0, got.length))).toBe(true)
  expect(got.length).toBeLessThanOrEqual(70_001)
  // a reset may overtake what was sent before it
  expect(cut === 'reset' || got.length === 70_001).toBe(true)
  expect(code).toBe(cut === 'close' ? '' : 'ECONNRESET')
})

test('what the client sends is cut as well', async () => {
  let got = 0
  const { client, proxy } = await through((socket) => socket.on('data', (piece) => (got += piece.length)), {
    up: { cutAfterBytes: 10 },
  })
  client.on('error', () => undefined).write(Buffer.alloc(1_000))
  client.resume()
  await new Promise((resolve) => client.once('close', resolve))
  expect(proxy.bytes.up).toBe(10)
  await expect.poll(() => got).toBe(10)
})

test('a black hole swallows what is sent, and the connection stays open until it is cut', async () => {
  const { client, proxy } = await through(echo, { down: { blackhole: true } })
  let got = 0
  client.on('data', (piece: Buffer) => (got += piece.length)).on('error', () => undefined)
  client.write(Buffer.alloc(100))
  await expect.poll(() => proxy.bytes.up).toBe(100)
  expect(proxy.bytes.down).toBe(0)
  proxy.set({})
  client.write(Buffer.alloc(50))
  await expect.poll(() => got).toBe(50)
  expect(proxy.open).toBe(1)
  proxy.cutAll()
  await new Promise((resolve) => client.once('close', resolve))
  await expect.poll(() => proxy.open).toBe(0)
})

test('segments of the chosen size', async () => {
  const sizes: number[] = []
  const { client } = await through((socket) => socket.on('data', (piece) => sizes.push(piece.length)).resume(), {
    up: { segmentBytes: 1, latencyMs: 1 },
  })
  client.write(Buffer.alloc(200))
  await expect.poll(() => sizes.reduce((sum, size) => sum + size, 0)).toBe(200)
  expect(sizes.length).toBeGreaterThan(20)
})
