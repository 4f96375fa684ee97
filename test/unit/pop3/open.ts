// A scripted server and a session with it; both are gone when the test is over.

import { onTestFinished } from 'vitest'
import { Failure } from '../../../src/base/failure.ts'
import { createNet } from '../../../src/net/dial.ts'
import { PopSession, type PopMessage, type PopSessionOptions, type RefusedMessage } from '../../../src/pop3/session.ts'
import { startScriptedPop3, type PopScript, type ScriptedPop3 } from '../../support/scripted-pop3.ts'

type Options = Partial<PopSessionOptions> & { readonly ca?: string }

export async function serve(script: PopScript): Promise<ScriptedPop3> {
  const server = await startScriptedPop3(script)
  onTestFinished(() => server.stop())
  return server
}

export async function connect(server: ScriptedPop3, { ca, ...options }: Options = {}): Promise<PopSession> {
  const net = createNet({ allowPrivate: ['127.0.0.0/8', '::1'], ...(ca === undefined ? {} : { extraCaPem: ca }) })
  const signal = options.signal ?? new AbortController().signal
  const session = await PopSession.open(net, server.target, { ...options, signal })
  onTestFinished(() => session.close())
  return session
}

export async function open(
  script: PopScript,
  options: Options = {},
): Promise<{ server: ScriptedPop3; session: PopSession }> {
  const server = await serve(script)
  return { server, session: await connect(server, options) }
}

/** The Failure that a promise must end in. */
export async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  try {
    await promise
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('it did not fail')
}

export async function read(message: PopMessage | RefusedMessage): Promise<Buffer> {
  if ('failure' in message) throw message.failure
  const pieces: Buffer[] = []
  for await (const batch of message.chunks) pieces.push(...batch)
  return Buffer.concat(pieces)
}

export async function readAll(session: PopSession, numbers: readonly number[]): Promise<Buffer[]> {
  const messages: Buffer[] = []
  for await (const message of session.retrieve(numbers)) messages.push(await read(message))
  return messages
}
