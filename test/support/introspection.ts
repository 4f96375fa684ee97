// A token introspection endpoint (RFC 7662) whose answers the test decides: what the mail servers ask about a token.

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'

export interface Introspection {
  readonly url: string
  /** From now on `token` is good for this mailbox. */
  allow(token: string, email: string): void
  revoke(token: string): void
  /** How often a mail server has asked. */
  requests(): number
  stop(): Promise<void>
}

/** `check`: who a token belongs to, where somebody else keeps the book; besides what the test has allowed. */
export async function startIntrospection(
  check: (token: string) => string | undefined = () => undefined,
): Promise<Introspection> {
  const mailboxes = new Map<string, string>()
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    void readForm(request).then((form) => {
      const token = form.get('token') ?? ''
      const email = mailboxes.get(token) ?? check(token)
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(email ? { active: true, email, username: email, scope: 'mail' } : { active: false }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}/introspect`,
    allow: (token, email) => void mailboxes.set(token, email),
    revoke: (token) => void mailboxes.delete(token),
    requests: () => requests,
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  let body = ''
  for await (const chunk of request.setEncoding('utf8')) body += String(chunk)
  return new URLSearchParams(body)
}
