// Who may look, until there are users: everybody on this machine sees the status page; whoever comes from elsewhere, and whoever
// wants the raw queues, needs the generated password. The queues are for this machine only.

import { randomBytes, timingSafeEqual, createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorCode, UserError } from '../base/failure.ts'

export const USER = 'admin'

/** Reads `<folder>/queue-password`, or makes it with mode 0600 on the first start. */
export function loadPassword(folder: string): { password: string; file: string } {
  const file = path.join(folder, 'queue-password')
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(file, `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (errorCode(error) !== 'EEXIST')
      throw new UserError(`POSTSTELLE_DATA: ${file} cannot be written (${errorCode(error)})`, { cause: error })
  }
  return { password: readFileSync(file, 'utf8').trim(), file }
}

/** What came through a proxy came from somewhere else, whatever the address of the proxy. */
const isLocal = ({ ip, headers }: FastifyRequest): boolean =>
  /^(127\.|::1$|::ffff:127\.)/.test(ip) &&
  !['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'].some((name) => name in headers)

/** A page of another site can point a name at 127.0.0.1: a browser then sends that name, and gets nothing. */
const namesThisMachine = (host: string): boolean => /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/i.test(host)

export class Access {
  readonly #digest: Buffer

  constructor(password: string) {
    this.#digest = digest(`${USER}:${password}`)
  }

  /** For the status page. */
  readonly page = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    if (isLocal(request) && namesThisMachine(request.headers.host ?? '')) return undefined
    return this.#knowsPassword(request) ? undefined : askForPassword(reply)
  }

  /** For the raw queues. */
  readonly queues = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    if (!isLocal(request) || !namesThisMachine(request.headers.host ?? '')) {
      return await reply.code(403).type('text/plain').send('The queues can be seen from this machine only.\n')
    }
    if (!this.#knowsPassword(request)) return askForPassword(reply)
    // a browser sends the password by itself: what changes something must come from our own page
    const site = request.headers['sec-fetch-site']
    if (request.method !== 'GET' && site !== undefined && site !== 'same-origin') {
      return await reply.code(403).type('text/plain').send('This request came from another site.\n')
    }
    return undefined
  }

  #knowsPassword(request: FastifyRequest): boolean {
    const [scheme = '', given = ''] = (request.headers.authorization ?? '').split(' ')
    return (
      scheme.toLowerCase() === 'basic' &&
      timingSafeEqual(digest(Buffer.from(given, 'base64').toString('utf8')), this.#digest)
    )
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

async function askForPassword(reply: FastifyReply): Promise<unknown> {
  return await reply
    .code(401)
    .header('www-authenticate', 'Basic realm="Poststelle", charset="UTF-8"')
    .type('text/plain')
    .send('A password is needed.\n')
}
