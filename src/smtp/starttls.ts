// The plaintext minute before STARTTLS: greeting, EHLO, STARTTLS, and nothing else. No credential can be sent here, and
// nothing read here is believed after the upgrade. RFC 3207; response injection: CVE-2021-38371 and its relatives.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { errorCode, errorText } from '../base/failure.ts'
import type { Net } from '../net/net.ts'
import { Lost } from './channel.ts'
import { parseReply, replyClass, type Reply } from './reply.ts'
import type { Transcript } from './transcript.ts'

export interface UpgradeOptions {
  readonly host: string
  readonly clientName: string
  readonly signal: AbortSignal
  readonly greetingMs: number
  readonly commandMs: number
  readonly tlsMs: number
  readonly transcript: Transcript
  readonly onPhase: (phase: 'greeting' | 'ehlo' | 'starttls') => void
}

const MAX_REPLY_BYTES = 64 * 1024

/** A step was answered with a refusal. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly reply: Reply

  constructor(reply: Reply) {
    super(reply.raw)
    this.reply = reply
  }
}

/**
 * Upgrades a fresh plaintext connection. Throws Refused, Lost or NetError,
 * and has closed the socket then. Never goes on in plaintext.
 */
export async function upgrade(net: Net, socket: Socket, options: UpgradeOptions): Promise<TLSSocket> {
  const abort = () => socket.destroy()
  options.signal.addEventListener('abort', abort)
  // Errors are reported by whoever waits; between two waits nobody does.
  socket.on('error', () => {})
  try {
    options.onPhase('greeting')
    await exchange(socket, undefined, options)
    options.onPhase('ehlo')
    const hello = await exchange(socket, `EHLO ${options.clientName}`, options)
    options.onPhase('starttls')
    if (!/^250[ -]STARTTLS\s*$/im.test(hello.raw)) {
      throw new Lost('STARTTLS_NOT_OFFERED', 'the server does not offer STARTTLS', { reply: hello.raw })
    }
    await exchange(socket, 'STARTTLS', options)
    return await net.startTls(socket, options.host, { signal: options.signal, timeoutMs: options.tlsMs })
  } catch (error) {
    socket.destroy()
    if (options.signal.aborted) throw new Lost('ABORT_ERR', 'aborted', { cause: error })
    throw error
  } finally {
    options.signal.removeEventListener('abort', abort)
  }
}

async function exchange(socket: Socket, line: string | undefined, options: UpgradeOptions): Promise<Reply> {
  if (line !== undefined) {
    options.transcript.client(line)
    socket.write(`${line}\r\n`)
  }
  const text = await readReply(socket, line === undefined ? options.greetingMs : options.commandMs)
  options.transcript.server(text.trimEnd())
  const reply = parseReply(text)
  if (reply === undefined) throw new Lost('EPROTOCOL', 'not an SMTP reply', { reply: text.trimEnd() })
  if (replyClass(reply) !== 2) throw new Refused(reply)
  return reply
}

/** Reads exactly one reply and leaves the socket paused. Anything behind the reply was not asked for: injected. */
function readReply(socket: Socket, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = ''
    const finish = (act: () => void) => {
      clearTimeout(timer)
      socket.off('data', onData).off('error', onError).off('close', onClose)
      socket.pause()
      act()
    }
    const fail = (lost: Lost) => finish(() => reject(lost))
    const onData = (chunk: Buffer) => {
      received += chunk.toString('latin1')
      // The first line that is not a continuation ends the reply.
      const end = /(?:^|\n)(?!\d{3}-)[^\n]*\n/.exec(received)
      if (end === null) {
        if (received.length > MAX_REPLY_BYTES) fail(new Lost('EPROTOCOL', 'the reply is too long'))
      } else if (received.length > end.index + end[0].length) {
        fail(new Lost('STARTTLS_INJECTION', 'the server sent more than the reply before TLS was up'))
      } else {
        finish(() => resolve(received))
      }
    }
    const onError = (error: Error) => {
      fail(new Lost(errorCode(error) || 'ECONNRESET', errorText(error), { cause: error }))
    }
    const onClose = () => fail(new Lost('ECONNRESET', 'the server closed the connection'))
    const timer = setTimeout(() => fail(new Lost('ETIMEDOUT', `no answer within ${timeoutMs} ms`)), timeoutMs)
    if (socket.destroyed) return onClose()
    socket.on('data', onData).on('error', onError).on('close', onClose)
    socket.resume()
  })
}
