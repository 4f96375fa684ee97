// What the SMTP tests share: a Net that goes to loopback only, a server certificate, and a session to talk over.

import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import { errorCode, errorText } from '../../../src/base/failure.ts'
import { NetError, type Login, type Net, type NetStep } from '../../../src/net/net.ts'
import { Submission, type SendOptions, type SubmissionOptions } from '../../../src/smtp/submission.ts'
import { makePki, type Pki } from '../../support/pki.ts'
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from '../../support/scripted-smtp.ts'

const established = async <T extends Socket>(step: NetStep, socket: T, event: string): Promise<T> =>
  new Promise((resolve, reject) => {
    const fail = (error: unknown) => {
      socket.destroy()
      reject(new NetError(step, errorCode(error) || 'ECONNRESET', errorText(error), { cause: error }))
    }
    socket.once('error', fail).once('close', () => fail(new Error('closed')))
    socket.once(event, () => {
      socket.removeAllListeners('error').removeAllListeners('close')
      resolve(socket)
    })
  })

export function loopbackNet(ca?: string): Net {
  const trust = ca === undefined ? {} : { ca }
  const secure = (socket: Socket, servername: string): Promise<TLSSocket> =>
    established('tls', connectTls({ socket, servername, ...trust }), 'secureConnect')
  return {
    async dial(to, { signal }) {
      signal.throwIfAborted()
      const socket = await established('connect', connectTcp(to.port, '127.0.0.1'), 'connect')
      return to.security === 'tls' ? secure(socket, to.host) : socket
    },
    startTls: (socket, host) => secure(socket, host),
    resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
    fetch: () => Promise.reject(new NetError('http', 'ENOTSUP', 'mail only')),
  }
}

export const PASSWORD = {
  mechanism: 'password' as const,
  username: 'office@example.test',
  password: 'correct horse battery',
}
export const xoauth2 = (accessToken = 'EwB4A8l6BAAUkj1NuJYtTVha'): Login => ({
  mechanism: 'xoauth2',
  username: 'office@example.test',
  accessToken,
})

export interface Opened {
  readonly server: ScriptedSmtp
  readonly session: Submission
  /** Turns the session's signal. */
  readonly abort: () => void
}

let pki: Promise<Pki> | undefined
export const serverPki = (): Promise<Pki> => (pki ??= makePki())

/** A server that lives as long as the test. */
export async function serve(script: SmtpScript = {}): Promise<ScriptedSmtp> {
  const { cert, key } = script.tls ?? (script.security === undefined ? { cert: '', key: '' } : await serverPki())
  const server = await startScriptedSmtp(cert === '' ? script : { ...script, tls: { cert, key } })
  onTestFinished(() => server.stop())
  return server
}

export async function openTo(server: ScriptedSmtp, options: Partial<SubmissionOptions> = {}): Promise<Opened> {
  const controller = new AbortController()
  const net = loopbackNet(server.endpoint.security === 'none' ? undefined : (await serverPki()).ca)
  const session = await Submission.open(net, server.endpoint, {
    signal: controller.signal,
    clientName: 'client.example.test',
    ...options,
  })
  onTestFinished(() => session.close())
  return { server, session, abort: () => controller.abort() }
}

export const open = async (script: SmtpScript = {}, options: Partial<SubmissionOptions> = {}): Promise<Opened> =>
  openTo(await serve(script), options)

export async function* body(...chunks: readonly (string | Buffer)[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk
}

export const ENVELOPE = { from: 'office@example.test', recipients: ['anna@example.test'] }
export const TEXT = 'Subject: hello\r\n\r\nhello\r\n'

export const plain = (over: Partial<SendOptions> = {}): SendOptions => ({
  sizeBytes: TEXT.length,
  beforeFinalDot: () => Promise.resolve(),
  ...over,
})

/** What a promise was rejected with; an Error if it was not. */
export const rejection = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  )
