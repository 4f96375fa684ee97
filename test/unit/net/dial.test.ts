import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, TLSSocket, type TlsOptions } from 'node:tls'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createNet, type NetOptions } from '../../../src/net/dial.ts'
import { NetError, type Endpoint, type Security } from '../../../src/net/net.ts'
import { makePki, type Pki } from '../../support/pki.ts'

const LOOPBACK = ['127.0.0.0/8', '::1']
const signal = new AbortController().signal

let pki: Pki
let expired: Pki
beforeAll(async () => {
  pki = await makePki({ names: ['mail.example.com'] })
  expired = await makePki({ expired: true })
})
afterAll(async () => {
  await pki.stop()
  await expired.stop()
})

async function listening(server: Server): Promise<{ port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  return { port, sockets }
}

const tlsServer = (options: TlsOptions = { cert: pki.cert, key: pki.key }) =>
  listening(createTlsServer(options, (socket) => socket.on('error', () => {}).write('+OK\r\n')))

const net = (options: Partial<NetOptions> = {}) => createNet({ allowPrivate: LOOPBACK, extraCaPem: pki.ca, ...options })

const to = (host: string, port: number, security: Security = 'tls'): Endpoint => ({ host, port, security })

async function netError(promise: Promise<unknown>): Promise<NetError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof NetError) return error
    throw error
  }
  throw new Error('it did not fail')
}

async function dialled(net: ReturnType<typeof createNet>, endpoint: Endpoint): Promise<Socket> {
  const socket = await net.dial(endpoint, { signal })
  onTestFinished(() => void socket.destroy())
  return socket
}

describe('egress', () => {
  test.each([
    '127.0.0.1',
    'localhost',
    'localhost.',
    '2130706433',
    '0177.0.0.1',
    '0x7f.1',
    '127.1',
    '::1',
    '::ffff:127.0.0.1',
  ])('%s is refused before a connection is opened', async (host) => {
    const { port, sockets } = await tlsServer()
    for (const security of ['tls', 'starttls', 'none'] as const) {
      const error = await netError(net({ allowPrivate: [] }).dial(to(host, port, security), { signal }))
      expect(error).toMatchObject({ step: 'egress', code: 'EGRESS_REFUSED' })
      expect(error.message).toContain('POSTSTELLE_EGRESS_ALLOW')
    }
    expect(sockets.size).toBe(0)
  })

  test('the sentence names host and address', async () => {
    const lookup = async () => [{ address: '10.0.0.5', family: 4 }]
    const error = await netError(net({ lookup }).dial(to('mail.example.com', 995), { signal }))
    expect(error.message).toBe(
      'mail.example.com resolves to 10.0.0.5, a private address that POSTSTELLE_EGRESS_ALLOW does not name',
    )
    const literal = await netError(net({ lookup }).dial(to('10.0.0.5', 995), { signal }))
    expect(literal.message).toBe('10.0.0.5 is a private address that POSTSTELLE_EGRESS_ALLOW does not name')
  })

  test('a name is looked up once, and rebinding it has no effect', async () => {
    const { port } = await tlsServer()
    let lookups = 0
    const lookup = async () => [{ address: lookups++ === 0 ? '127.0.0.1' : '10.0.0.1', family: 4 }]
    const socket = await dialled(net({ lookup }), to('mail.example.com', port))
    expect([lookups, socket.remoteAddress]).toEqual([1, '127.0.0.1'])
  })

  test('a name that is remembered is checked and pinned as one that was looked up, and forgotten when it does not answer', async () => {
    const { port, sockets } = await tlsServer()
    let lookups = 0
    const lookup = async () => [{ address: lookups++ === 0 ? '127.0.0.1' : '10.0.0.1', family: 4 }]
    const same = net({ lookup })
    await dialled(same, to('mail.example.com', port))
    await dialled(same, to('mail.example.com', port))
    expect([lookups, sockets.size]).toEqual([1, 2])
    await netError(same.dial(to('mail.example.com', 1), { signal }))
    expect(await netError(same.dial(to('mail.example.com', port), { signal }))).toMatchObject({ step: 'egress' })
    expect(lookups).toBe(2)
  })

  test('of several addresses only those that are allowed are tried', async () => {
    const { port } = await tlsServer()
    const lookup = async () => [
      { address: '10.0.0.1', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ]
    expect((await dialled(net({ lookup }), to('mail.example.com', port))).remoteAddress).toBe('127.0.0.1')
  })

  test('an address that does not answer gives way to the next', async () => {
    const { port } = await tlsServer()
    const lookup = async () => [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ]
    expect((await dialled(net({ lookup }), to('mail.example.com', port))).remoteAddress).toBe('127.0.0.1')
  })

  test('plaintext goes to this machine only', async () => {
    const { port } = await listening(createServer())
    const lookup = async () => [{ address: '93.184.216.34', family: 4 }]
    const error = await netError(net({ lookup }).dial(to('mail.example.com', port, 'none'), { signal }))
    expect(error).toMatchObject({ step: 'egress', code: 'PLAINTEXT_REFUSED' })
    const allowed = net({ allowPrivate: ['10.0.0.0/8'], lookup: async () => [{ address: '10.0.0.5', family: 4 }] })
    expect(await netError(allowed.dial(to('mail.example.com', port, 'none'), { signal }))).toMatchObject({
      code: 'PLAINTEXT_REFUSED',
    })
    expect((await dialled(net(), to('localhost', port, 'none'))).remoteAddress).toBe('127.0.0.1')
  })

  test.each(['', 'a b', '[::1', 'no/such'])('%j is no host', async (host) => {
    expect(await netError(net().dial(to(host, 995), { signal }))).toMatchObject({ step: 'dns', code: 'ENOTFOUND' })
  })

  test('a failed look-up keeps its code', async () => {
    const lookup = () => Promise.reject(Object.assign(new Error('getaddrinfo'), { code: 'EAI_AGAIN' }))
    const error = await netError(net({ lookup }).dial(to('mail.example.com', 995), { signal }))
    expect(error).toMatchObject({ step: 'dns', code: 'EAI_AGAIN' })
    expect(error.message).toBe('the name mail.example.com could not be looked up just now')
  })
})

describe('TLS', () => {
  test('is verified for the name, and for an address', async () => {
    const { port } = await tlsServer()
    for (const host of ['localhost', '127.0.0.1', 'LOCALHOST.']) {
      const socket = await dialled(net(), to(host, port))
      expect(socket instanceof TLSSocket && socket.authorized).toBe(true)
    }
  })

  test('sends the name, but no address as a name', async () => {
    const names: unknown[] = []
    const server = createTlsServer({ cert: pki.cert, key: pki.key }, (socket) => names.push(socket.servername))
    const { port } = await listening(server)
    await dialled(net(), to('localhost', port))
    await dialled(net(), to('127.0.0.1', port))
    while (names.length < 2) await new Promise((resolve) => setImmediate(resolve))
    expect(names).toEqual(['localhost', false])
  })

  test('a certificate for another name is refused, also the second time', async () => {
    const { port } = await tlsServer({ cert: pki.cert, key: pki.key, maxVersion: 'TLSv1.2' })
    const other = net({ lookup: async () => [{ address: '127.0.0.1', family: 4 }] })
    for (let time = 0; time < 3; time += 1) {
      const error = await netError(other.dial(to('mail.other.example', port), { signal }))
      expect(error).toMatchObject({ step: 'tls', code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
      expect(error.message).toBe('the certificate of mail.other.example is not valid for that name')
    }
  })

  test('a certificate that expired is refused', async () => {
    const { port } = await tlsServer({ cert: expired.cert, key: expired.key })
    const error = await netError(net({ extraCaPem: expired.ca }).dial(to('localhost', port), { signal }))
    expect(error).toMatchObject({
      step: 'tls',
      code: 'CERT_HAS_EXPIRED',
      message: 'the certificate of localhost has expired',
    })
  })

  test('a certificate of an unknown authority is refused', async () => {
    const { port } = await tlsServer()
    const error = await netError(createNet({ allowPrivate: LOOPBACK }).dial(to('localhost', port), { signal }))
    expect(error.step).toBe('tls')
    expect(error.message).toBe('the certificate of localhost was not issued by an authority that is trusted here')
  })

  test('older than 1.2 is refused', async () => {
    const options = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    const { port } = await tlsServer({ cert: pki.cert, key: pki.key, ...options })
    const error = await netError(net().dial(to('localhost', port), { signal }))
    expect(error.step).toBe('tls')
    expect(error.message).toContain('only TLS versions older than 1.2')
  })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('%s sessions are resumed per host and port', async (maxVersion) => {
    const { port } = await tlsServer({ cert: pki.cert, key: pki.key, maxVersion })
    const ours = net()
    const reused: boolean[] = []
    for (const host of ['localhost', 'localhost', '127.0.0.1']) {
      const socket = await dialled(ours, to(host, port))
      if (!(socket instanceof TLSSocket)) throw new Error('no TLS')
      await once(socket, 'data') // behind the ticket
      reused.push(socket.isSessionReused())
    }
    expect(reused).toEqual([false, true, false])
  })

  test('a port that speaks plaintext keeps OpenSSL’s code', async () => {
    const { port } = await listening(createServer((socket) => socket.write('+OK ready\r\n')))
    const error = await netError(net().dial(to('localhost', port), { signal }))
    expect(error).toMatchObject({ step: 'tls', code: expect.stringMatching(/^ERR_SSL_/) })
    expect(error.message).toBe(`localhost:${port} does not speak TLS from the first byte`)
  })

  test('a server that hangs up during the handshake is named', async () => {
    const { port } = await listening(createServer((socket) => socket.end()))
    const error = await netError(net().dial(to('localhost', port), { signal }))
    expect(error).toMatchObject({ step: 'tls', code: 'ECONNRESET' })
  })
})

describe('startTls', () => {
  test('upgrades, and refuses where something is already buffered', async () => {
    const { port } = await listening(
      createServer((socket) => {
        socket.write('injected')
        socket.once('data', () => socket.destroy())
      }),
    )
    const socket = await dialled(net(), to('localhost', port, 'starttls'))
    await once(socket, 'readable')
    expect(await netError(net().startTls(socket, 'localhost', { signal }))).toMatchObject({
      step: 'tls',
      code: 'STARTTLS_INJECTION',
    })
    expect(socket.destroyed).toBe(true)
  })

  test('on a connection that is gone fails at once', async () => {
    const { port } = await listening(createServer((socket) => socket.destroy()))
    const socket = await dialled(net(), to('localhost', port, 'starttls'))
    socket.resume()
    await once(socket, 'close')
    expect(await netError(net().startTls(socket, 'localhost', { signal }))).toMatchObject({ code: 'ECONNRESET' })
  })
})

describe('limits', () => {
  test('a refused connection names host and port', async () => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    server.close()
    await once(server, 'close')
    const error = await netError(net().dial(to('127.0.0.1', port), { signal }))
    expect(error).toMatchObject({
      step: 'connect',
      code: 'ECONNREFUSED',
      message: `127.0.0.1:${port} refused the connection`,
    })
  })

  test('time is up in the look-up and in the handshake, and no socket stays', async () => {
    const never = net({ lookup: () => new Promise(() => {}) })
    const early = await netError(never.dial(to('mail.example.com', 995), { signal, timeoutMs: 20 }))
    expect(early).toMatchObject({ step: 'dns', code: 'ETIMEDOUT' })

    const { port, sockets } = await listening(createServer())
    const late = await netError(net().dial(to('localhost', port), { signal, timeoutMs: 50 }))
    expect(late).toMatchObject({ step: 'tls', code: 'ETIMEDOUT' })
    expect(late.message).toBe(`the TLS handshake with localhost:${port} took longer than 0.05 s`)
    for (const socket of sockets) socket.resume()
    while (sockets.size > 0) await new Promise((resolve) => setImmediate(resolve))
  })

  test('an abort ends the handshake at once, and no listener stays', async () => {
    const stop = new AbortController()
    const { port, sockets } = await listening(
      createServer((socket) => socket.resume().once('data', () => stop.abort())),
    )
    const error = await netError(net().dial(to('localhost', port), { signal: stop.signal }))
    expect(error).toMatchObject({ step: 'tls', code: 'ABORT_ERR' })
    while (sockets.size > 0) await new Promise((resolve) => setImmediate(resolve))
    const gone = AbortSignal.abort()
    expect(await netError(net().dial(to('localhost', port), { signal: gone }))).toMatchObject({ code: 'ABORT_ERR' })
  })

  test('a port that is none is a NetError too', async () => {
    expect(await netError(net().dial(to('localhost', 70_000), { signal }))).toMatchObject({ step: 'connect' })
  })
})
