// The end of the line: an SMTP server that takes what Postfix delivers and keeps it, transaction by transaction, so that
// a test can prove what arrived, where, and that it arrived once.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'

export interface Delivered {
  readonly from: string
  readonly recipients: readonly string[]
  /** As received: CRLF lines, without the dots of transparency. Postfix has put its Received field on top. */
  readonly raw: Buffer
  readonly messageId: string | null
}

export interface SmtpSink {
  readonly port: number
  /** Everything taken so far, in order. */
  delivered(): readonly Delivered[]
  stop(): Promise<void>
}

const END = Buffer.from('\r\n.\r\n')

export async function startSmtpSink(): Promise<SmtpSink> {
  const delivered: Delivered[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    receive(socket, (message) => delivered.push(message))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    delivered: () => delivered,
    async stop() {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

function receive(socket: Socket, keep: (message: Delivered) => void): void {
  let buffer = Buffer.alloc(0)
  let from = ''
  let recipients: string[] = []
  let inData = false
  const say = (line: string): void => void socket.write(`${line}\r\n`)

  const command = (line: string): void => {
    const address = /<(.*?)>/.exec(line)?.[1] ?? ''
    const verb = line.slice(0, 4).toUpperCase()
    if (verb === 'MAIL') from = address
    if (verb === 'RCPT') recipients.push(address)
    if (verb === 'RSET' || verb === 'MAIL') recipients = []
    inData = verb === 'DATA'
    if (inData) buffer = Buffer.concat([Buffer.from('\r\n'), buffer])
    if (verb === 'QUIT') socket.end('221 2.0.0 Bye\r\n')
    else say(inData ? '354 Go on' : verb === 'EHLO' ? '250-sink.test\r\n250 8BITMIME' : '250 2.0.0 Ok')
  }

  say('220 sink.test ESMTP')
  socket.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk])
    for (;;) {
      const end = buffer.indexOf(inData ? END : '\r\n')
      if (end < 0) return
      if (inData) {
        const raw = Buffer.from(
          buffer
            .subarray(2, end + 2)
            .toString('latin1')
            .replaceAll('\r\n..', '\r\n.'),
          'latin1',
        )
        buffer = buffer.subarray(end + END.length)
        keep({ from, recipients, raw, messageId: messageIdOf(raw) })
        inData = false
        recipients = []
        say('250 2.0.0 Kept')
      } else {
        const line = buffer.subarray(0, end).toString('latin1')
        buffer = buffer.subarray(end + 2)
        command(line)
      }
    }
  })
}

function messageIdOf(raw: Buffer): string | null {
  const [head = ''] = raw.toString('latin1').split('\r\n\r\n', 1)
  return /^message-id:\s*(<[^>]*>)/im.exec(head)?.[1] ?? null
}
