// Tokens and their sessions: what a token says of itself before anybody logs in with it, and what becomes of a session whose token is
// revoked in its middle.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { pollMaildrop } from '../../../src/retrieval/poll-maildrop.ts'
import { startTokenEndpoint } from '../../../src/sandbox/token-endpoint.ts'
import { row } from '../../support/figures.ts'
import { openHouse } from '../../support/house.ts'
import { withInbound } from '../../support/inbound.ts'
import { letters } from '../../support/letters.ts'
import { UNHARMED } from '../../support/oracle.ts'
import { withOutbound } from '../../support/outbound.ts'
import { makePki } from '../../support/pki.ts'
import { startScriptedPop3 } from '../../support/scripted-pop3.ts'

const EMAIL = 'info@firma.example'
const CLIENT = '11111111-2222-3333-4444-555555555555'
const TENANT = '6b29fc40-ca47-1067-b31d-00dd010662da'

row(
  'B15',
  'a token without the permission is found out before the first login, and the slow probe tries all the same',
  { fast: true },
  async () => {
    const pki = await makePki()
    const tokens = await startTokenEndpoint({
      tls: pki,
      accounts: [
        {
          email: EMAIL,
          tenant: TENANT,
          clientId: CLIENT,
          clientSecret: null,
          flows: ['password'],
          password: 'pw',
          permissions: ['SMTP.Send'],
        },
      ],
    })
    const pop3 = await startScriptedPop3({ provider: 'microsoft' })
    const house = await openHouse({ caPem: pki.ca })
    try {
      const auth = {
        type: 'oauth2',
        flow: 'password',
        token_endpoint: tokens.tokenUrl(TENANT),
        client_id: CLIENT,
        scope: 'https://outlook.office365.com/.default',
        password: 'pw',
      }
      const { host, port } = pop3.target
      const [{ id } = { id: 0 }] = await house.importAccounts([
        { email: EMAIL, pop3: { host, port, security: 'none' }, auth },
      ])
      const poll = async () => await pollMaildrop(house, await house.lease(id, 'receive'), AbortSignal.timeout(20_000))
      const logins = (): number => pop3.seen.commands.filter((line) => line.startsWith('AUTH')).length
      expect((await poll()).failure).toMatchObject({ flag: 'permission_missing_pop', step: 'claims' })
      expect(logins()).toBe(0)
      const { rows } = await sql<{ state: string; evidence: string }>`
      select h.state, f.evidence from poststelle.account_health h join poststelle.health_flags f using (account_id, direction)
      where h.direction = 'receive' and f.cleared_at is null`.execute(house.db)
      expect(rows).toMatchObject([{ state: 'blocked' }])
      expect(rows[0]?.evidence).toMatch(/grants SMTP\.Send, and not POP\.AccessAsUser\.All/)
      // the server takes the token: what it says is believed, and nothing is held against it again
      expect((await poll()).failure).toBeUndefined()
      expect((await poll()).failure).toBeUndefined()
      expect(logins()).toBe(2)
      return 'logins before the first probe 0; a server that takes the token is believed from then on'
    } finally {
      await house.close()
      await pop3.stop()
      await tokens.close()
      await pki.stop()
    }
  },
)

row(
  'B9',
  'the token is revoked while a maildrop is read: what was stored stays, the rest comes later, nothing twice',
  { fast: true },
  () =>
    withInbound({}, async ({ box, house, user, poll, relist, inspect }) => {
      for (const bytes of letters(40)) box.maildrop(user).add(bytes)
      let read = 0
      box.hooks = {
        seen: ({ verb }) =>
          verb === 'RETR' && ++read > 20 ? { reply: '-ERR [AUTH] the session has expired' } : undefined,
      }
      const first = await poll()
      box.hooks = {}
      await relist()
      const second = await poll()
      expect(first.stored + second.stored).toBe(40)
      expect(await inspect()).toMatchObject(UNHARMED)
      const { rows } = await sql<{ n: number }>`select count(*)::int as n from poststelle.messages`.execute(house.db)
      expect(rows[0]?.n).toBe(40)
      return `stored ${first.stored}, then ${second.stored}; lost 0, doubled 0`
    }),
)

row('B9b', 'the token is revoked while messages are handed over: none fails, none goes twice', { fast: true }, () =>
  withOutbound({}, async ({ sender }) => {
    let revoked = true
    let mails = 0
    const lane = await sender({
      extensions: ['AUTH PLAIN LOGIN'],
      answer: (line) =>
        line.startsWith('MAIL') && revoked && ++mails > 3
          ? '530 5.7.57 Client not authenticated to send mail.'
          : undefined,
    })
    for (let n = 0; n < 10; n++) await lane.submit(String(n))
    await lane.drain()
    const between = await lane.states()
    expect(between['failed'] ?? 0).toBe(0)
    revoked = false
    for (let turn = 0; turn < 4; turn++) {
      await lane.unpark()
      await lane.makeDue()
      await lane.drain()
    }
    expect(await lane.states()).toEqual({ sent: 10 })
    for (let n = 0; n < 10; n++) expect(lane.copies(String(n))).toBe(1)
    return `before ${JSON.stringify(between)}, in the end sent 10, doubled 0, failed 0`
  }),
)
