import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createNet } from '../../../src/net/dial.ts'
import { NetError } from '../../../src/net/net.ts'
import { makePki, type Pki } from '../../support/pki.ts'

const MIB = 1024 * 1024

let pki: Pki
beforeAll(async () => {
  pki = await makePki()
})
afterAll(() => pki.stop())

const net = (allowPrivate = ['127.0.0.0/8', '::1']) => createNet({ allowPrivate, extraCaPem: pki.ca })

async function https(listener: RequestListener) {
  const server = createServer({ cert: pki.cert, key: pki.key }, listener)
  let connections = 0
  server.on('connection', () => (connections += 1)).on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  return { url: `https://localhost:${port}/token`, port, server, connections: () => connections }
}

async function text(request: IncomingMessage): Promise<string> {
  request.setEncoding('utf8')
  let body = ''
  for await (const chunk of request) body += String(chunk)
  return body
}

async function netError(promise: Promise<unknown>): Promise<NetError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof NetError) return error
    throw error
  }
  throw new Error('it did not fail')
}

describe('an https request', () => {
  test('sends method, headers and body, and gives status, headers and body', async () => {
    const { url } = await https((request, response) => {
      response.writeHead(400, { 'Retry-After': '7', 'X-Method': request.method ?? '' })
      void text(request).then((body) => response.end(`${request.headers['content-type']} ${body} é`))
    })
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const reply = await net().fetch(url, { method: 'POST', headers, body: 'a=b&c=ü' })
    expect(reply).toMatchObject({ status: 400, body: 'application/x-www-form-urlencoded a=b&c=ü é' })
    expect(reply.headers).toMatchObject({ 'retry-after': '7', 'x-method': 'POST' })
  })

  test('does not follow a redirect', async () => {
    const { url, connections } = await https((_, response) => {
      response.writeHead(302, { location: 'https://169.254.169.254/' }).end()
    })
    const reply = await net().fetch(url, { method: 'GET' })
    expect(reply).toMatchObject({ status: 302, headers: { location: 'https://169.254.169.254/' } })
    expect(connections()).toBe(1)
  })

  test('leaves no connection open', async () => {
    const { url, server } = await https((_, response) => void response.end('ok'))
    expect((await net().fetch(url, { method: 'GET' })).body).toBe('ok')
    let open = 1
    while (open > 0) open = await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)))
    expect(open).toBe(0)
  })
})

describe('refused without a connection', () => {
  test.each([
    ['http://localhost:1/', 'HTTPS_REQUIRED'],
    ['ftp://localhost/', 'HTTPS_REQUIRED'],
    ['file:///etc/passwd', 'HTTPS_REQUIRED'],
    ['https://user:geheim@localhost/', 'USERINFO_REFUSED'],
    ['https://user@localhost/', 'USERINFO_REFUSED'],
    ['https://localhost/\r\nHost: other', 'INVALID_URL'],
    ['not a url', 'INVALID_URL'],
    ['https://', 'INVALID_URL'],
  ])('%s is %s', async (url, code) => {
    const error = await netError(net().fetch(url, { method: 'GET' }))
    expect(error).toMatchObject({ step: 'http', code })
    expect(error.message).not.toContain('geheim')
  })

  test.each([
    '127.0.0.1',
    'localhost',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '169.254.169.254',
  ])('%s, as a host inside', async (host) => {
    const { port, connections } = await https((_, response) => void response.end())
    const error = await netError(net([]).fetch(`https://${host}:${port}/`, { method: 'GET' }))
    expect(error).toMatchObject({ step: 'egress', code: 'EGRESS_REFUSED' })
    expect(connections()).toBe(0)
  })

  test('anything after close, which waits for what is on its way', async () => {
    const asked = Promise.withResolvers<() => void>()
    const { url } = await https((_, response) => asked.resolve(() => response.end('the only copy')))
    const ours = net()
    const running = ours.fetch(url, { method: 'POST', body: '' })
    const answer = await asked.promise
    let closed = false
    const closing = ours.close().then(() => (closed = true))
    expect(await netError(ours.fetch(url, { method: 'GET' }))).toMatchObject({ code: 'CLOSED' })
    expect(closed).toBe(false)
    answer()
    expect((await running).body).toBe('the only copy')
    await closing
  })
})

describe('bounds', () => {
  test('a body of 1 MiB is taken, one byte more is not', async () => {
    const { url } = await https((request, response) => {
      response.end('x'.repeat(request.method === 'GET' ? MIB : MIB + 1))
    })
    expect((await net().fetch(url, { method: 'GET' })).body).toHaveLength(MIB)
    const error = await netError(net().fetch(url, { method: 'POST' }))
    expect(error).toMatchObject({ step: 'http', code: 'RESPONSE_TOO_LARGE' })
  })

  test.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
  ])('a small %s answer that unpacks to 200 MiB is broken off', async (encoding, compress) => {
    const bomb = compress(Buffer.alloc(200 * MIB))
    const { url } = await https((_, response) => {
      response.writeHead(200, { 'content-encoding': encoding }).end(bomb)
    })
    const before = process.memoryUsage().rss
    const error = await netError(net().fetch(url, { method: 'GET' }))
    expect(error.code).toBe('RESPONSE_TOO_LARGE')
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB)
  })

  test('an answer without end is broken off', async () => {
    const { url } = await https((_, response) => {
      const more = () => void (response.destroyed || response.write('x'.repeat(65_536), () => setImmediate(more)))
      more()
    })
    expect(await netError(net().fetch(url, { method: 'GET' }))).toMatchObject({ code: 'RESPONSE_TOO_LARGE' })
  })

  test.each(['before the head', 'in the body'])('time is up %s', async (where) => {
    const { url } = await https((_, response) => {
      if (where === 'in the body') response.writeHead(200).write('half')
    })
    const error = await netError(net().fetch(url, { method: 'GET', timeoutMs: 100 }))
    expect(error).toMatchObject({ step: 'http', code: 'ETIMEDOUT' })
    expect(error.message).toContain('took longer than 0.1 s')
  })

  test('an abort ends it at once', async () => {
    const stop = new AbortController()
    const { url } = await https(() => stop.abort())
    expect(await netError(net().fetch(url, { method: 'GET', signal: stop.signal }))).toMatchObject({
      code: 'ABORT_ERR',
    })
  })

  test('a half answer is an error, not a short body', async () => {
    const { url } = await https((_, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half', () => response.destroy())
    })
    expect((await netError(net().fetch(url, { method: 'GET' }))).step).toBe('http')
  })

  test('a certificate nobody vouches for names the host', async () => {
    const { url } = await https((_, response) => void response.end())
    const error = await netError(createNet({ allowPrivate: ['127.0.0.1'] }).fetch(url, { method: 'GET' }))
    expect(error.step).toBe('tls')
    expect(error.message).toContain('the certificate of localhost')
  })
})
