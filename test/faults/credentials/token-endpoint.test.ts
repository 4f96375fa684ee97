// Token endpoints that are none, lie about lifetimes, or lead elsewhere: named, bounded, and never a reason to ask in a loop.

import { createServer, type Server } from 'node:https'
import { once } from 'node:events'
import { gzipSync } from 'node:zlib'
import type { ServerResponse } from 'node:http'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { HOUR_MS, later } from '../../../src/base/clock.ts'
import { UserError } from '../../../src/base/failure.ts'
import { hostCheck } from '../../../src/accounts/host-check.ts'
import { parseAccounts } from '../../../src/accounts/settings.ts'
import { refreshUnderLease } from '../../../src/credentials/refresh.ts'
import { row } from '../../support/figures.ts'
import { openHouse, passwordAccount } from '../../support/house.ts'
import { ManualClock, mostWithin } from '../../support/manual-clock.ts'
import { makePki } from '../../support/pki.ts'
import { withTokens } from '../../support/token-life.ts'

const HUGE = Buffer.alloc(10 * 1024 * 1024, 'x')

interface Answer {
  readonly what: string
  readonly flag: string
  readonly answer: (response: ServerResponse) => void
}

const json = (value: unknown) => (response: ServerResponse) =>
  void response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
const ANSWERS: readonly Answer[] = [
  {
    what: 'a login page',
    flag: 'token_response_invalid',
    answer: (r) => void r.writeHead(200, { 'content-type': 'text/html' }).end('<html><form>Sign in</form></html>'),
  },
  {
    what: 'a page that is not there',
    flag: 'token_url_invalid',
    answer: (r) => void r.writeHead(404).end('<html>Not Found</html>'),
  },
  {
    what: 'a redirect',
    flag: 'token_url_invalid',
    answer: (r) => void r.writeHead(302, { location: 'https://169.254.169.254/latest/meta-data' }).end(),
  },
  { what: 'nothing', flag: 'token_response_invalid', answer: (r) => void r.writeHead(200).end() },
  { what: 'ten megabytes', flag: 'token_response_invalid', answer: (r) => void r.writeHead(200).end(HUGE) },
  {
    what: 'a small answer that unpacks to ten megabytes',
    flag: 'token_response_invalid',
    answer: (r) => void r.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(HUGE)),
  },
  {
    what: 'broken JSON',
    flag: 'token_response_invalid',
    answer: (r) => void r.writeHead(200).end('{"access_token":"x"'),
  },
  { what: 'a list', flag: 'token_response_invalid', answer: json(['access_token']) },
  { what: 'a token that is a number', flag: 'token_response_invalid', answer: json({ access_token: 7 }) },
  {
    what: 'an outage',
    flag: 'token_endpoint_unavailable',
    answer: (r) => void r.writeHead(503).end('<html>Service Unavailable</html>'),
  },
  { what: 'a connection that ends', flag: 'connection_lost', answer: (r) => void r.destroy() },
]

async function serve(
  answer: { now: Answer['answer'] },
  tls: { key: string; cert: string },
): Promise<{ server: Server; url: string; asked: () => number }> {
  let asked = 0
  const server = createServer(tls, (request, response) => {
    asked += 1
    request.resume()
    answer.now(response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    server,
    url: `https://localhost:${typeof address === 'object' && address ? address.port : 0}/token`,
    asked: () => asked,
  }
}

row(
  'B6',
  'whatever a token endpoint answers in place of a token has a name, and costs no memory',
  { fast: true },
  async () => {
    const pki = await makePki()
    const answer: { now: Answer['answer'] } = { now: json({}) }
    const { server, url, asked } = await serve(answer, pki)
    const house = await openHouse({ caPem: pki.ca })
    try {
      const auth = {
        type: 'oauth2',
        flow: 'password',
        token_endpoint: url,
        client_id: 'app',
        scope: 'mail',
        password: 'pw',
      }
      const [{ id } = { id: 0 }] = await house.importAccounts([passwordAccount('a@example.test', { auth })])
      const wrong: unknown[] = []
      const before = process.memoryUsage().rss
      for (const { what, flag, answer: now } of ANSWERS) {
        answer.now = now
        await sql`delete from poststelle.health_flags`.execute(house.db)
        await sql`delete from poststelle.client_breakers`.execute(house.db)
        await sql`update poststelle.grants set refusal = null`.execute(house.db)
        const count = asked()
        await refreshUnderLease(house, await house.lease(id, 'token'))
        const { rows } = await sql<{ flag: string; evidence: string }>`
        select distinct flag, evidence from poststelle.health_flags where cleared_at is null`.execute(house.db)
        if (rows.length !== 1 || rows[0]?.flag !== flag || asked() - count !== 1)
          wrong.push({ what, flag, rows, asked: asked() - count })
        if ((rows[0]?.evidence.length ?? 0) > 1_000) wrong.push({ what, long: rows[0]?.evidence.length })
      }
      expect(wrong).toEqual([])
      const grown = Math.max(0, Math.round((process.memoryUsage().rss - before) / 1_048_576))
      expect(grown).toBeLessThan(150)
      return `${ANSWERS.length} answers named, 1 request each, redirects followed 0, memory +${grown} MB`
    } finally {
      await house.close()
      server.closeAllConnections()
      server.close()
      await pki.stop()
    }
  },
)

row('B8', 'lifetimes of nonsense make nobody ask in a loop', { fast: true }, async () => {
  const figures: string[] = []
  for (const expiresIn of [0, -5, 30, '3600', 'soon', null, 1e12, undefined]) {
    const clock = new ManualClock()
    figures.push(
      await withTokens(
        { clock, tenant: 'generic', flow: 'refresh_token' },
        async ({ tokens, live, flags, emails: [email = ''] }) => {
          tokens.setFault(email, {
            status: 200,
            body: JSON.stringify({
              access_token: 'opaque-token',
              refresh_token: `seed-${email}`,
              token_type: 'Bearer',
              ...(expiresIn !== undefined && { expires_in: expiresIn }),
            }),
          })
          await live(later(clock.now(), HOUR_MS))
          const times = tokens.requests.map(({ at }) => at.getTime())
          expect(mostWithin(times, 60_000)).toBeLessThanOrEqual(3)
          expect(await flags()).toEqual([])
          return `${String(expiresIn)}: ${times.length}`
        },
      ),
    )
  }
  return `requests in an hour by lifetime: ${figures.join(', ')}`
})

const ENDPOINTS = [
  'http://login.example/token',
  'ftp://login.example/token',
  'gopher://login.example/token',
  'file:///etc/passwd',
  'https://user@login.example/token',
  'https://user:secret@login.example/token',
  'https://127.0.0.1/token',
  'https://localhost/token',
  'https://localhost./token',
  'https://2130706433/token',
  'https://0x7f000001/token',
  'https://0177.0.0.1/token',
  'https://[::1]/token',
  'https://[::ffff:127.0.0.1]/token',
  'https://169.254.169.254/token',
  'https://10.0.0.1/token',
  'https://login.example/{tenant}/token',
  'login.example/token',
  '',
]

row(
  'B11',
  'endpoint addresses that are none, or lead inside, are refused before anybody dials',
  { fast: true },
  async () => {
    const accept = (endpoint: string): boolean => {
      const auth = {
        type: 'oauth2',
        flow: 'password',
        token_endpoint: endpoint,
        client_id: 'app',
        scope: 'mail',
        password: 'pw',
      }
      try {
        parseAccounts(
          JSON.stringify(
            passwordAccount('a@example.test', {
              pop3: { host: 'pop.example', port: 995, security: 'tls' },
              smtp: null,
              auth,
            }),
          ),
          'file',
          hostCheck([]),
        )
        return true
      } catch (error) {
        if (!(error instanceof UserError)) throw error
        expect(error.message).toMatch(/auth\.token_endpoint/)
        expect(error.message).not.toContain('secret')
        return false
      }
    }
    expect(ENDPOINTS.filter(accept)).toEqual([])
    // what a form or a mail has put between the letters is taken out
    expect(
      [' https://login.example/token ', 'https://login.example/\r\ntoken', 'https://login.example/to ken'].filter(
        accept,
      ),
    ).toHaveLength(3)
    return `${ENDPOINTS.length} refused, connections 0; 3 with blanks and line breaks put right`
  },
)
