// The client's end of a mail dialogue, spoken line by line: what goes over the wire is what the test says.

import { connect as connectPlain, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'

export class RawClient {
  #socket: Socket
  #text = ''
  #ended = false
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#attach()
  }

  static async connect(port: number, caPem?: string): Promise<RawClient> {
    const socket =
      caPem === undefined
        ? connectPlain({ host: '127.0.0.1', port })
        : connectTls({ host: '127.0.0.1', port, ca: caPem, servername: 'localhost' })
    await new Promise<void>((resolve, reject) => {
      socket.once(caPem === undefined ? 'connect' : 'secureConnect', resolve)
      socket.once('error', reject)
    })
    return new RawClient(socket)
  }

  #attach(): void {
    this.#socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      this.#wake?.()
    })
    this.#socket.on('error', () => this.#socket.destroy())
    this.#socket.on('close', () => {
      this.#ended = true
      this.#wake?.()
    })
  }

  /** STLS and STARTTLS, after the server agreed. */
  async startTls(caPem: string): Promise<void> {
    const plain = this.#socket
    plain.removeAllListeners()
    const secured = connectTls({ socket: plain, ca: caPem, servername: 'localhost' })
    await new Promise<void>((resolve, reject) => {
      secured.once('secureConnect', resolve)
      secured.once('error', reject)
    })
    this.#socket = secured
    this.#attach()
  }

  write(text: string | Buffer): void {
    this.#socket.write(text)
  }

  async #arrived<T>(take: () => T | undefined): Promise<T> {
    for (;;) {
      const taken = take()
      if (taken !== undefined) return taken
      if (this.#ended) throw new Error(`connection closed, unread: ${JSON.stringify(this.#text)}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  line(): Promise<string> {
    return this.#arrived(() => {
      const end = this.#text.indexOf('\r\n')
      if (end < 0) return undefined
      const line = this.#text.slice(0, end)
      this.#text = this.#text.slice(end + 2)
      return line
    })
  }

  /** Lines of a POP3 answer after the status line, without the dot; as they were sent, dots doubled. */
  async untilDot(): Promise<string[]> {
    const lines: string[] = []
    for (let line = await this.line(); line !== '.'; line = await this.line()) lines.push(line)
    return lines
  }

  /** All lines of an SMTP reply, joined by LF. */
  async reply(): Promise<string> {
    const lines: string[] = []
    do lines.push(await this.line())
    while (/^\d{3}-/.test(lines.at(-1) ?? ''))
    return lines.join('\n')
  }

  /** POP3: a command and its status line. */
  async pop3(command: string): Promise<string> {
    this.write(`${command}\r\n`)
    return this.line()
  }

  /** SMTP: a command and its whole reply. */
  async smtp(command: string): Promise<string> {
    this.write(`${command}\r\n`)
    return this.reply()
  }

  /** Everything that comes until the server closes. */
  async rest(): Promise<string> {
    while (!this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#text
  }

  async close(): Promise<void> {
    this.#socket.destroy()
    await this.rest()
  }
}

export const xoauth2 = (user: string, accessToken: string): string =>
  Buffer.from(`user=${user}\x01auth=Bearer ${accessToken}\x01\x01`).toString('base64')

export const plain = (user: string, password: string): string =>
  Buffer.from(`\0${user}\0${password}`).toString('base64')
