// A marked secret in every credential field, a service that meets every error with servers that repeat what they are told, and then a
// search through all that it has written, stored, queued and answered.

import { randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { once } from 'node:events'
import { text as bodyOf } from 'node:stream/consumers'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { startTokenEndpoint } from '../../../src/sandbox/token-endpoint.ts'
import { canary, search, spellingsOf } from '../../support/canary-secrets.ts'
import { removeFolder, tempFolder } from '../../support/child.ts'
import { runCommand, startCommand } from '../../support/command.ts'
import { freshDatabase, type TestDatabase } from '../../support/database.ts'
import { row } from '../../support/figures.ts'
import { makePki, type Pki } from '../../support/pki.ts'
import { startScriptedPop3 } from '../../support/scripted-pop3.ts'
import { startScriptedSmtp } from '../../support/scripted-smtp.ts'

/** Repeats the whole request, in JSON, in a page, and as an outage. */
async function startEcho(pki: Pki): Promise<{ server: Server; port: number; asked: () => number }> {
  let asked = 0
  const server = createServer({ key: pki.key, cert: pki.cert }, (request, response) => {
    void bodyOf(request).then((body) => {
      asked += 1
      if (asked % 3 === 0)
        response.writeHead(503, { 'content-type': 'text/html' }).end(`<html><body>Failed: ${body}</body></html>`)
      else if (asked % 3 === 1)
        response.writeHead(400).end(
          JSON.stringify({
            error: 'invalid_grant',
            error_description: `You sent ${body} and ${decodeURIComponent(body)}`,
          }),
        )
      else response.writeHead(400).end(`these do not fit: ${[...new URLSearchParams(body).values()].join(' | ')}`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return { server, port: typeof address === 'object' && address ? address.port : 0, asked: () => asked }
}

async function tablesOf({ db }: TestDatabase): Promise<Map<string, string>> {
  const { rows } = await sql<{ schema: string; name: string }>`
    select table_schema as schema, table_name as name from information_schema.tables
    where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'`.execute(db)
  const texts = new Map<string, string>()
  for (const { schema, name } of rows) {
    const { rows: all } = await sql<{ text: string | null }>`
      select string_agg(t::text, E'\n') as text from ${sql.table(`${schema}.${name}`)} t`.execute(db)
    texts.set(`table ${schema}.${name}`, all[0]?.text ?? '')
  }
  return texts
}

/** What a core file would hold: everything writable in the memory of a process. Returns how often each secret is there. */
function memoryHits(pid: number, secrets: ReadonlyMap<string, readonly string[]>): number {
  const maps = readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  let hits = 0
  try {
    for (const line of maps) {
      const [, from = '', to = '', mode = ''] = /^([\da-f]+)-([\da-f]+) (\S+)/.exec(line) ?? []
      const [start, size] = [parseInt(from, 16), parseInt(to, 16) - parseInt(from, 16)]
      if (!mode.startsWith('rw') || !Number.isSafeInteger(start) || size > 256 * 1024 * 1024) continue
      const bytes = Buffer.alloc(size)
      try {
        readSync(memory, bytes, 0, size, start)
      } catch {
        continue // not there, or not to be read
      }
      for (const spellings of secrets.values()) if (spellings.some((spelling) => bytes.includes(spelling))) hits += 1
    }
  } finally {
    closeSync(memory)
  }
  return hits
}

row(
  'S17',
  'a marked secret in every credential field is found nowhere but sealed',
  { fast: true, timeoutMs: 180_000 },
  async () => {
    const pki = await makePki()
    const folder = tempFolder('canary')
    const database = await freshDatabase()
    const echo = await startEcho(pki)
    const users = ['pw@example.test', 'ropc@example.test', 'good@example.test', 'wrong@example.test']
    const [pw = '', ropc = '', good = '', wrong = ''] = users
    const own = {
      pw: canary('pw'),
      ropc: canary('ropc'),
      client: canary('client'),
      refresh: canary('refresh'),
      wrong: canary('wrong'),
    }
    const tokens = await startTokenEndpoint({
      tls: pki,
      accounts: [
        {
          email: good,
          tenant: 'generic',
          clientId: 'app-good',
          clientSecret: own.client,
          flows: [],
          refreshToken: own.refresh,
        },
      ],
    })
    const pop3 = await startScriptedPop3({
      answer: (line) => {
        return /^(PASS|USER)/.test(line) || line === '(sasl)'
          ? `-ERR you said ${line} ${pop3.seen.commands.at(-1) ?? ''}`
          : undefined
      },
    })
    /** The access token, as the POP3 server has got it. */
    const bearerSeen = (): string =>
      pop3.seen.commands
        .map((line) => /auth=Bearer (\S+?)\x01/.exec(Buffer.from(line, 'base64').toString('utf8'))?.[1])
        .find(Boolean) ?? ''
    const smtp = await startScriptedSmtp({
      answer: (line) =>
        line.startsWith('AUTH') || line === '(sasl)'
          ? `535 5.7.8 you said ${line} ${smtp.seen.commands.at(-1) ?? ''}`
          : undefined,
    })
    const mail = {
      pop3: { host: 'localhost', port: pop3.target.port, security: 'none' },
      smtp: { host: 'localhost', port: smtp.endpoint.port, security: 'none' },
      poll_interval_seconds: 5,
    }
    const oauth = { type: 'oauth2', client_id: 'app', client_secret: own.client, scope: 'mail' }
    const accounts = [
      { ...mail, email: pw, auth: { type: 'password', password: own.pw } },
      {
        ...mail,
        email: ropc,
        auth: {
          ...oauth,
          flow: 'password',
          token_endpoint: `https://localhost:${echo.port}/token`,
          password: own.ropc,
        },
      },
      {
        ...mail,
        email: good,
        auth: {
          ...oauth,
          client_id: 'app-good',
          flow: 'refresh_token',
          token_endpoint: tokens.tokenUrl('generic'),
          refresh_token: own.refresh,
        },
      },
      {
        ...mail,
        email: wrong,
        auth: {
          ...oauth,
          client_id: 'other',
          flow: 'refresh_token',
          token_endpoint: `https://localhost:${echo.port}/6b29fc40-ca47-1067-b31d-00dd010662da/oauth2/v2.0/token`,
          refresh_token: own.wrong,
        },
      },
    ]
    const env = {
      DATABASE_URL: database.url,
      POSTSTELLE_KEYS: `k:${randomBytes(32).toString('base64')}`,
      POSTSTELLE_DATA: folder,
      POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1',
      POSTSTELLE_HTTP: '127.0.0.1:0',
      POSTSTELLE_LOG: 'trace',
      POSTSTELLE_CA_FILE: pki.caFile,
    }
    const texts = new Map<string, string>()
    const command = async (...args: string[]): Promise<void> => {
      const { out, err } = await runCommand(args, {
        env,
        ...(args.includes('-') && { input: JSON.stringify(accounts) }),
      })
      texts.set(args.join(' '), `${out}\n${err}`)
    }
    try {
      await command('account', 'import', '-', '--json')
      const service = startCommand(['start'], { env })
      await sql`select poststelle.submit_message(email, email, '{x@example.test}', convert_to(E'Subject: x\r\n\r\ny\r\n', 'UTF8')) from poststelle.accounts`.execute(
        database.db,
      )
      const isDone = async (): Promise<boolean> => {
        const { rows } = await sql<{
          n: number
        }>`select count(distinct (account_id, direction))::int as n from poststelle.health_flags`.execute(database.db)
        return (rows[0]?.n ?? 0) >= 2 * users.length && echo.asked() >= 3 && bearerSeen() !== ''
      }
      while (!(await isDone())) {
        // what is refused is tried again at once: every way of repeating a request has its turn
        await sql`update poststelle.client_breakers set open_until = now() - interval '1 minute' where open_until is not null`.execute(
          database.db,
        )
        await sql`update poststelle.lanes set parked_until = null, due_at = now(), dispatched_until = null where lease_token is null`.execute(
          database.db,
        )
        await sql`select pg_sleep(0.3)`.execute(database.db)
      }
      const limits = readFileSync(`/proc/${service.pid}/limits`, 'utf8')
      expect(/Max core file size\s+0\s/.test(limits)).toBe(true)
      const secrets = new Map(
        Object.entries({ ...own, bearer: bearerSeen() }).map(([name, secret]) => [name, spellingsOf(secret, users)]),
      )
      const inMemory = memoryHits(service.pid, secrets)
      service.child.kill('SIGTERM')
      const { out, err } = await service.ended()
      texts.set('log', out).set('standard error', err)
      await command('status', '--json')
      await command('status', '--lang', 'de', '--all')
      await command('account', 'list', '--json')
      await command('client', 'list', '--json')
      await command('incident', 'list', '--json')
      await command('outbox', 'list', '--json')
      for (const id of [1, 2, 3, 4]) await command('outbox', 'show', String(id), '--json')
      for (const user of users) {
        await command('account', 'test', user, '--json')
        await command('account', 'test', user, '--report')
      }
      for (const [where, text] of await tablesOf(database)) texts.set(where, text)
      expect(texts.get('log')).toContain('you said')
      expect(search(texts, secrets)).toEqual([])
      return `${secrets.size} secrets, ${texts.size} places searched, hits 0; regions of the live process's memory that hold one: ${inMemory}; core files are switched off`
    } finally {
      await pop3.stop()
      await smtp.stop()
      await tokens.close()
      echo.server.close()
      echo.server.closeAllConnections()
      await database.drop()
      await pki.stop()
      removeFolder(folder)
    }
  },
)
