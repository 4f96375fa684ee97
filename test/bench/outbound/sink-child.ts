// The server at the end of the line, in a process of its own: STARTTLS, AUTH PLAIN, and as little work for a message as can be.
// It counts the messages of one run by the ids in their subjects and notes when each arrived. sink.c does the same for less.

import { createServer, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { createSecureContext, TLSSocket } from 'node:tls'
import { monotonicMs } from '../machine.ts'
import type { SinkFindings } from './sink.ts'

const END = Buffer.from('\r\n.\r\n')
const EXTENSIONS = ['PIPELINING', 'SIZE 157286400', '8BITMIME', 'ENHANCEDSTATUSCODES']
/** The subject stands within this much of the head, also behind what a relay puts before it. */
const HEAD_BYTES = 2_048

const [user = '', password = ''] = process.argv.slice(2)
const secureContext = createSecureContext({ cert: process.env['SINK_CERT'], key: process.env['SINK_KEY'] })

let run = ''
let expected = 0
let doubled = 0
const arrivedAt = new Map<number, number>()
const senders = new Set<Session>()

class Session {
  #secure = false
  #loggedIn = false
  #mode: 'command' | 'password' | 'data' = 'command'
  #rest: Buffer = Buffer.alloc(0)
  #head = ''

  constructor(socket: Socket) {
    this.#listen(socket)
    socket.write('220 sink.example.test ESMTP\r\n')
  }

  #listen(socket: Socket): void {
    socket.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => {
      const replies = this.#take(bytes)
      if (replies !== '') socket.write(replies, 'latin1')
      if (replies.endsWith('221 2.0.0 Bye\r\n')) socket.end()
      if (!this.#secure && replies.startsWith('220 ')) this.#encrypt(socket)
    })
  }

  #encrypt(socket: Socket): void {
    this.#secure = true
    this.#rest = Buffer.alloc(0)
    socket.removeAllListeners('data')
    this.#listen(new TLSSocket(socket, { isServer: true, secureContext }))
  }

  #take(bytes: Buffer): string {
    let input = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    let seen = this.#mode === 'data' ? this.#rest.length : 0
    let replies = ''
    for (;;) {
      const data = this.#mode === 'data'
      const end = data ? input.indexOf(END) : input.indexOf('\r\n')
      if (data && this.#head.length < HEAD_BYTES)
        this.#head += input.toString('latin1', seen, end < 0 ? seen + HEAD_BYTES : Math.max(seen, end))
      seen = 0
      if (end < 0) break
      if (data) {
        input = input.subarray(end + END.length)
        this.#mode = 'command'
        replies += '250 2.0.0 Kept\r\n'
        this.#count()
      } else {
        const line = input.toString('latin1', 0, end)
        // the line's own end may be the first half of a message's last line
        const reply = this.#mode === 'password' ? this.#logIn(line) : this.#command(line)
        input = input.subarray((this.#mode as string) === 'data' ? end : end + 2)
        replies += reply
      }
    }
    // of a message only what may be the beginning of its end
    const kept = this.#mode === 'data' ? input.subarray(-(END.length - 1)) : input
    this.#rest = Buffer.from(kept)
    return replies
  }

  #command(line: string): string {
    switch (line.slice(0, 4).toUpperCase()) {
      case 'MAIL':
        return this.#loggedIn ? '250 2.1.0 OK\r\n' : '530 5.7.0 Log in first\r\n'
      case 'RCPT':
        return '250 2.1.5 OK\r\n'
      case 'DATA':
        this.#mode = 'data'
        this.#head = ''
        return '354 Go on\r\n'
      case 'EHLO': {
        const said = [...EXTENSIONS, this.#secure ? 'AUTH PLAIN' : 'STARTTLS']
        return ['sink.example.test', ...said].map((text, i) => `250${i < said.length ? '-' : ' '}${text}\r\n`).join('')
      }
      case 'STAR':
        return this.#secure ? '503 5.5.1 Already encrypted\r\n' : '220 2.0.0 Go ahead\r\n'
      case 'AUTH': {
        if (!this.#secure) return '538 5.7.11 Encryption required\r\n'
        const initial = line.split(' ')[2]
        if (initial !== undefined) return this.#logIn(initial)
        this.#mode = 'password'
        return '334 \r\n'
      }
      case 'QUIT':
        return '221 2.0.0 Bye\r\n'
      case 'RSET':
      case 'NOOP':
        return '250 2.0.0 OK\r\n'
      default:
        return '500 5.5.2 Not known here\r\n'
    }
  }

  #logIn(response: string): string {
    this.#mode = 'command'
    const [, name, secret] = Buffer.from(response, 'base64').toString().split('\0')
    this.#loggedIn = name === user && secret === password
    return this.#loggedIn ? '235 2.7.0 Welcome\r\n' : '535 5.7.8 Wrong password\r\n'
  }

  #count(): void {
    const at = monotonicMs()
    const [, ofRun, id] = /^Subject: bench ([a-z0-9]+)-(\d+)/m.exec(this.#head) ?? []
    if (ofRun !== run) return
    senders.add(this)
    if (arrivedAt.has(Number(id))) doubled += 1
    else arrivedAt.set(Number(id), at)
    if (arrivedAt.size === expected) answer('all')
  }
}

const answer = (line: string): void => void process.stdout.write(`${line}\n`)

const server = createServer({ noDelay: true }, (socket) => void new Session(socket))
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address !== null && typeof address === 'object') answer(String(address.port))
})

createInterface(process.stdin)
  .on('line', (line) => {
    const [word, name = '', count] = line.split(' ')
    if (word === 'expect') {
      run = name
      expected = Number(count)
      doubled = 0
      arrivedAt.clear()
      senders.clear()
      answer('ready')
    } else {
      const findings: SinkFindings = { arrivedAt: [...arrivedAt], doubled, connections: senders.size }
      answer(JSON.stringify(findings))
    }
  })
  .once('close', () => process.exit())
