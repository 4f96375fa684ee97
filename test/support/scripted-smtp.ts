// An SMTP server that does what a test tells it to at each step, on a real socket with real TLS, and remembers every
// command and every message byte. Where the script says nothing it behaves.

import { EventEmitter, once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { TLSSocket, type SecureContextOptions } from 'node:tls'
import type { Provider } from '../../src/base/failure.ts'
import type { Endpoint, Security } from '../../src/net/net.ts'

export interface Step {
  /** Bytes sent exactly as they are; without it nothing is said. */
  readonly raw?: string
  /** Sent instead of `raw`, each in a packet of its own. */
  readonly pieces?: readonly string[]
  /** From here on nothing of this connection is heard until say(). */
  readonly hang?: boolean
  /** close: FIN after the bytes. reset: RST. */
  readonly end?: 'close' | 'reset'
}
/** A string is a reply: its CRLF is added. */
export type Answer = string | Step

export interface SmtpScript {
  readonly security?: Security
  readonly tls?: Pick<SecureContextOptions, 'cert' | 'key' | 'minVersion' | 'maxVersion' | 'ciphers'>
  /** Announced in EHLO besides STARTTLS. */
  readonly extensions?: readonly string[]
  /**
   * What to say to a command line; undefined: the usual. Also asked about '(greeting)', '(sasl)' for a SASL response
   * line, and '.' for the end of a message. Connections are numbered from 1.
   */
  readonly answer?: (command: string, secured: boolean, connection: number) => Answer | undefined
  /** Awaited before the answer to a command leaves, and after it has left. Asked about the same words as `answer`. */
  readonly before?: (command: string) => Promise<void> | void
  readonly after?: (command: string) => Promise<void> | void
  /** Called as message bytes come in, with the number received of this message; may break in. */
  readonly onBody?: (received: number) => Step | undefined
  /** Every byte of a reply in a write of its own. */
  readonly chunked?: boolean
}

export interface ReceivedMessage {
  readonly from: string
  readonly recipients: readonly string[]
  /** With the dots of transparency taken out again. */
  readonly bytes: Buffer
}

interface Seen {
  /** Command and SASL lines of all connections, in order. */
  readonly commands: string[]
  readonly messages: ReceivedMessage[]
  /** Those whose dot was not refused: they are in the recipients' mailboxes, whatever the client heard of that. */
  readonly taken: ReceivedMessage[]
  connections: number
  /** Connections open now. */
  open: number
  /** Message bytes received so far, on all connections. */
  bodyBytes: number
  /** Everything that came in without TLS. */
  plaintext: string
}

export interface ScriptedSmtp {
  readonly endpoint: Endpoint & { readonly provider: Provider }
  readonly seen: Readonly<Seen>
  /** Says a reply unasked, on the latest connection. */
  say(reply: string): void
  /** Resolves when the condition holds; looked at whenever something happened. */
  waitFor(condition: () => boolean): Promise<void>
  stop(): Promise<void>
}

const EXTENSIONS = ['SIZE 157286400', '8BITMIME', 'ENHANCEDSTATUSCODES', 'SMTPUTF8', 'AUTH LOGIN PLAIN XOAUTH2']
const TERMINATOR = Buffer.from('\r\n.\r\n')

export async function startScriptedSmtp(script: SmtpScript = {}): Promise<ScriptedSmtp> {
  const seen: Seen = { commands: [], messages: [], taken: [], connections: 0, open: 0, bodyBytes: 0, plaintext: '' }
  const changes = new EventEmitter().setMaxListeners(0)
  const sockets = new Set<Socket>()
  let say: ((reply: string) => void) | undefined
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    seen.connections += 1
    seen.open += 1
    socket.on('close', () => {
      sockets.delete(socket)
      seen.open -= 1
      changes.emit('change')
    })
    say = serve(socket, script, seen, () => changes.emit('change'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    endpoint: { host: 'localhost', port: address.port, security: script.security ?? 'none', provider: 'generic' },
    seen,
    say: (reply) => say?.(reply),
    async waitFor(condition) {
      while (!condition()) await once(changes, 'change')
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const says = (answer: Answer, code: string): boolean =>
  (typeof answer === 'string' ? answer : (answer.pieces?.join('') ?? answer.raw ?? '')).startsWith(code)

function serve(plain: Socket, script: SmtpScript, seen: Seen, changed: () => void): (reply: string) => void {
  const connection = seen.connections
  let socket = plain
  let state: 'command' | 'sasl' | 'body' = 'command'
  let input = Buffer.alloc(0)
  let body: Buffer[] = []
  let bodyLength = 0
  let tail = Buffer.alloc(0)
  /** Came while the server hung. */
  let missed: Buffer = Buffer.alloc(0)
  let from = ''
  let recipients: string[] = []
  let inTransaction = false
  let lastWrite = Promise.resolve()
  /** The connection ends, and what else was in the same packet is not looked at. */
  let deaf = false
  let hanging = false

  const write = async (bytes: string) => {
    for (const piece of script.chunked ? bytes : [bytes]) {
      socket.write(piece, 'latin1')
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const act = (answer: Answer, about?: string, afterwards?: () => void) => {
    const step = typeof answer === 'string' ? { raw: `${answer}\r\n` } : answer
    deaf = step.end !== undefined
    hanging = step.hang ?? false
    lastWrite = lastWrite.then(async () => {
      if (about !== undefined) await script.before?.(about)
      if (plain.destroyed) return
      for (const piece of step.pieces ?? (step.raw === undefined ? [] : [step.raw])) await write(piece)
      if (step.end === 'close') socket.end()
      if (step.end === 'reset') plain.resetAndDestroy()
      afterwards?.()
      if (about !== undefined) await script.after?.(about)
    })
  }
  const scripted = (command: string) => script.answer?.(command, socket instanceof TLSSocket, connection)

  const secure = (greet: boolean) => {
    plain.off('data', onData)
    const secured = new TLSSocket(plain, { isServer: true, ...script.tls })
    socket = secured
    listen()
    if (greet) secured.once('secure', () => act(scripted('(greeting)') ?? '220 scripted ESMTP', '(greeting)'))
  }
  const usual = (command: string): string => {
    const verb = command.slice(0, 4).toUpperCase()
    if (verb === 'EHLO') {
      const upgrade = script.security === 'starttls' && !(socket instanceof TLSSocket) ? ['STARTTLS'] : []
      const lines = ['localhost', ...(script.extensions ?? EXTENSIONS), ...upgrade]
      return lines.map((line, index) => `250${index === lines.length - 1 ? ' ' : '-'}${line}`).join('\r\n')
    }
    if (/^AUTH \S+ \S/i.test(command) || command === '(sasl)') return '235 2.7.0 welcome'
    if (verb === 'AUTH') return '334 '
    if (verb === 'DATA') return recipients.length > 0 ? '354 go ahead' : '503 5.5.1 no valid recipients'
    if (verb === 'QUIT') return '221 2.0.0 bye'
    if (verb === 'RCPT' && !inTransaction) return '503 5.5.1 need MAIL before RCPT'
    if (command === 'STARTTLS') return script.security === 'starttls' ? '220 go ahead' : '502 5.5.1 not here'
    return '250 2.0.0 ok'
  }
  const onLine = (line: string) => {
    seen.commands.push(line)
    const command = state === 'sasl' ? '(sasl)' : line
    const answer = scripted(command) ?? usual(command)
    state = (command === '(sasl)' || /^AUTH /i.test(command)) && says(answer, '334') ? 'sasl' : 'command'
    if (/^(?:MAIL FROM:|RSET$|EHLO )/i.test(command)) {
      from = /<(.*?)>/.exec(command)?.[1] ?? ''
      recipients = []
      inTransaction = command.startsWith('MAIL') && says(answer, '2')
    }
    if (/^RCPT TO:/i.test(command) && says(answer, '2')) recipients.push(/<(.*?)>/.exec(command)?.[1] ?? '')
    if (command === 'DATA' && says(answer, '354')) {
      state = 'body'
      body = []
      bodyLength = 0
      // The line end of DATA itself: a message of no lines ends with the dot alone.
      tail = Buffer.from('\r\n')
    }
    const upgrade = command === 'STARTTLS' && says(answer, '220')
    // Before the reply is out, so that the client's first TLS bytes find the TLS server.
    if (upgrade) lastWrite = lastWrite.then(() => void plain.off('data', onData).pause())
    act(answer, command === '(sasl)' ? '(sasl)' : line, () => {
      if (command === 'QUIT') socket.end()
      if (upgrade) secure(false)
    })
  }
  const onBodyBytes = (chunk: Buffer): Buffer => {
    const joined = Buffer.concat([tail, chunk])
    const end = joined.indexOf(TERMINATOR)
    const taken = end < 0 ? chunk.length : end + TERMINATOR.length - tail.length
    body.push(chunk.subarray(0, taken))
    bodyLength += taken
    seen.bodyBytes += taken
    tail = joined.subarray(-(TERMINATOR.length - 1))
    const step = script.onBody?.(bodyLength)
    if (step !== undefined) act(step)
    if (end >= 0) {
      const stuffed = Buffer.concat(body).toString('latin1').slice(0, -'.\r\n'.length)
      const bytes = Buffer.from(`\r\n${stuffed}`.replaceAll('\r\n.', '\r\n').slice(2), 'latin1')
      state = 'command'
      inTransaction = false
      const answer = scripted('.') ?? '250 2.0.0 queued as 1'
      const message = { from, recipients, bytes }
      seen.messages.push(message)
      if (!says(answer, '4') && !says(answer, '5')) seen.taken.push(message)
      recipients = []
      act(answer, '.')
    }
    return chunk.subarray(taken)
  }
  const onData = (chunk: Buffer) => {
    if (socket === plain) seen.plaintext += chunk.toString('latin1')
    let rest: Buffer = Buffer.concat([missed, chunk])
    missed = Buffer.alloc(0)
    while (rest.length > 0) {
      if (deaf) return
      if (hanging) {
        missed = rest
        break
      }
      if (state === 'body') {
        rest = onBodyBytes(rest)
        continue
      }
      input = Buffer.concat([input, rest])
      const end = input.indexOf('\n')
      if (end < 0) break
      const line = input.subarray(0, end).toString('utf8').replace(/\r$/, '')
      rest = input.subarray(end + 1)
      input = Buffer.alloc(0)
      onLine(line)
    }
    changed()
  }
  const listen = () => void socket.on('data', onData).on('error', () => plain.destroy())

  if (script.security === 'tls') {
    secure(true)
  } else {
    listen()
    act(scripted('(greeting)') ?? '220 scripted ESMTP', '(greeting)')
  }
  return (reply) => {
    act(reply)
    onData(Buffer.alloc(0))
  }
}
