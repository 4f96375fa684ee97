// A POP3 server that does what a test tells it to at each step, on a real socket with real TLS, cuts its output into the
// pieces a test wants, and remembers every command. Where the script says nothing it behaves.

import { EventEmitter, once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'
import type { Provider } from '../../src/base/failure.ts'
import type { Endpoint, Security } from '../../src/net/net.ts'

export interface Step {
  /** Bytes sent exactly as they are; without it nothing is said. */
  readonly raw?: string | Buffer
  /** close: FIN after the bytes. reset: RST. */
  readonly hangUp?: 'close' | 'reset'
}
/** A string is a status line: its CRLF is added. */
export type Reply = string | Step

export interface PopScript {
  readonly security?: Security
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly provider?: Provider
  readonly messages?: readonly Buffer[]
  readonly capabilities?: readonly string[]
  /** What to say to a line; undefined: the usual. Also asked about '(greeting)' and '(sasl)' for a SASL response line. */
  readonly answer?: (command: string, secured: boolean) => Reply | undefined
  /** How each write is cut; each piece is a segment of its own. */
  readonly cut?: (bytes: Buffer) => readonly Buffer[]
  /** Replies to commands that came together leave together. */
  readonly merge?: boolean
}

interface Seen {
  /** Command and SASL lines of all connections, in order. */
  readonly commands: string[]
  connections: number
  /** Connections open now. */
  open: number
  /** Everything that came in without TLS. */
  plaintext: string
  /** Bytes that left this process's buffers. */
  bytesWritten: number
}

export interface ScriptedPop3 {
  readonly target: Endpoint & { readonly provider: Provider }
  readonly seen: Readonly<Seen>
  /** Says something nobody asked for, on every connection. */
  say(bytes: string): void
  /** Resolves when the condition holds; looked at whenever something happened. */
  waitFor(condition: () => boolean): Promise<void>
  stop(): Promise<void>
}

const CAPABILITIES = ['TOP', 'UIDL', 'USER', 'SASL PLAIN XOAUTH2', 'PIPELINING', 'LOGIN-DELAY 300', 'EXPIRE 60']

export const bytewise = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1))

/** Cuts once; counted from the end where `offset` is negative. */
export const cutAt =
  (offset: number) =>
  (bytes: Buffer): Buffer[] => [bytes.subarray(0, offset), bytes.subarray(offset)]

/** As a message stands on the wire: dots doubled, terminator behind it. */
export function onTheWire(message: Buffer): Buffer {
  const stuffed = `\r\n${message.toString('latin1')}`.replaceAll('\r\n.', '\r\n..').slice(2)
  return Buffer.from(`${stuffed}.\r\n`, 'latin1')
}

export async function startScriptedPop3(script: PopScript = {}): Promise<ScriptedPop3> {
  const seen: Seen = { commands: [], connections: 0, open: 0, plaintext: '', bytesWritten: 0 }
  const changes = new EventEmitter().setMaxListeners(0)
  const sockets = new Set<Socket>()
  const says = new Set<(bytes: string) => void>()
  const changed = () => void changes.emit('change')
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    seen.connections += 1
    seen.open += 1
    const dialogue = new Dialogue(socket, script, seen, changed)
    const say = (bytes: string) => dialogue.reply({ raw: bytes })
    says.add(say)
    socket.on('close', () => {
      sockets.delete(socket)
      says.delete(say)
      seen.open -= 1
      changed()
    })
    dialogue.begin()
    changed()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return {
    target: {
      host: 'localhost',
      port: address.port,
      security: script.security ?? 'none',
      provider: script.provider ?? 'generic',
    },
    seen,
    say: (bytes) => says.forEach((say) => say(bytes)),
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

class Dialogue {
  readonly #plain: Socket
  #socket: Socket
  readonly #script: PopScript
  readonly #seen: Seen
  readonly #changed: () => void
  #input = ''
  #sasl = false
  /** Replies that are to leave together. */
  #merged: Buffer[] = []
  #ended = false
  /** Of the lines that came together. */
  #unanswered = 0
  #written = Promise.resolve()

  constructor(socket: Socket, script: PopScript, seen: Seen, changed: () => void) {
    this.#plain = socket
    this.#socket = socket
    this.#script = script
    this.#seen = seen
    this.#changed = changed
  }

  begin(): void {
    this.#plain.on('error', () => this.#plain.destroy())
    if (this.#script.security === 'tls') return this.#secure(() => this.#greet())
    this.#plain.on('data', this.#onData)
    this.#greet()
  }

  reply(reply: Reply, afterwards?: () => void): void {
    const step = typeof reply === 'string' ? { raw: `${reply}\r\n` } : reply
    this.#written = this.#written.then(async () => {
      if (this.#ended) return
      if (step.raw !== undefined) this.#merged.push(Buffer.from(step.raw))
      this.#ended = step.hangUp !== undefined
      const holdBack = this.#script.merge && !this.#ended && --this.#unanswered > 0
      if (!holdBack) await this.#write(Buffer.concat(this.#merged.splice(0)))
      if (step.hangUp === 'close') this.#socket.end()
      if (step.hangUp === 'reset') this.#plain.resetAndDestroy()
      afterwards?.()
    })
  }

  async #write(bytes: Buffer): Promise<void> {
    for (const piece of this.#script.cut?.(bytes) ?? [bytes]) {
      if (this.#socket.destroyed) return
      if (piece.length === 0) continue
      this.#socket.write(piece, () => {
        this.#seen.bytesWritten += piece.length
        this.#changed()
      })
      if (this.#script.cut) await turn()
    }
  }

  #greet(): void {
    this.reply(this.#script.answer?.('(greeting)', this.#socket !== this.#plain) ?? '+OK scripted POP3')
  }

  #secure(then?: () => void): void {
    this.#plain.off('data', this.#onData)
    const secured = new TLSSocket(this.#plain, { isServer: true, ...this.#script.tls })
    this.#socket = secured
    secured.on('data', this.#onData).on('error', () => this.#plain.destroy())
    if (then) secured.once('secure', then)
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#socket === this.#plain) this.#seen.plaintext += chunk.toString('latin1')
    this.#input += chunk.toString('utf8')
    this.#unanswered = this.#input.split('\r\n').length - 1
    for (let end = this.#input.indexOf('\r\n'); end >= 0; end = this.#input.indexOf('\r\n')) {
      const line = this.#input.slice(0, end)
      this.#input = this.#input.slice(end + 2)
      this.#onLine(line)
    }
    this.#changed()
  }

  #onLine(line: string): void {
    this.#seen.commands.push(line)
    const command = this.#sasl ? '(sasl)' : line
    const reply = this.#script.answer?.(command, this.#socket !== this.#plain) ?? this.#usual(command)
    const continues = (typeof reply === 'string' ? reply : String(reply.raw ?? '')).startsWith('+ ')
    this.#sasl = continues || (/^AUTH /i.test(command) && reply === '+OK')
    const upgrade = command === 'STLS' && typeof reply === 'string' && reply.startsWith('+OK')
    this.reply(reply, () => {
      if (command === 'QUIT') this.#socket.end()
      if (upgrade) this.#secure()
    })
  }

  #usual(command: string): Reply {
    const [verb = '', first] = command.toUpperCase().split(' ')
    const messages = this.#script.messages ?? []
    const message = messages[Number(first) - 1]
    const list = (lines: readonly string[]) => ({ raw: ['+OK', ...lines, '.', ''].join('\r\n') })
    if (verb === 'CAPA') return list(this.#script.capabilities ?? CAPABILITIES)
    if (verb === 'AUTH') return '+ '
    if (verb === 'STAT') return `+OK ${messages.length} ${messages.reduce((sum, { length }) => sum + length, 0)}`
    if (verb === 'UIDL' || verb === 'LIST') {
      const lines = messages.map(({ length }, i) => `${i + 1} ${verb === 'UIDL' ? `uid-${i + 1}` : length}`)
      if (first === undefined) return list(lines)
      return message ? `+OK ${lines[Number(first) - 1]}` : `-ERR There's no message ${first}.`
    }
    if (verb === 'RETR' || verb === 'TOP') {
      if (!message) return `-ERR There's no message ${first}.`
      return { raw: Buffer.concat([Buffer.from(`+OK ${message.length} octets\r\n`), onTheWire(message)]) }
    }
    if (verb === 'STLS') return this.#script.security === 'starttls' ? '+OK begin TLS' : '-ERR unknown command'
    return '+OK'
  }
}
