// The connection test of an account against what can be wrong at name, port, encryption, token endpoint, mailbox and sender: the
// right step fails, by the right name, in both languages, and no fault costs more than one login in each direction.

import { createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { sql } from 'kysely'
import { expect } from 'vitest'
import { probeAccount } from '../../../src/accounts/probe.ts'
import type { StepReport } from '../../../src/accounts/probe-steps.ts'
import { stepText } from '../../../src/cli/account-test-words.ts'
import { findAccount } from '../../../src/db/accounts.ts'
import { explain } from '../../../src/failures/catalogue.ts'
import { startTokenEndpoint, type SandboxGrant } from '../../../src/sandbox/token-endpoint.ts'
import { CLIENT, FAULTS, SECRET, smtpSays, TENANT, type Fault, type World } from '../../support/account-faults.ts'
import { row } from '../../support/figures.ts'
import { openHouse } from '../../support/house.ts'
import { makePki } from '../../support/pki.ts'
import { startScriptedPop3 } from '../../support/scripted-pop3.ts'
import { startScriptedSmtp } from '../../support/scripted-smtp.ts'

const EMAIL = 'info@firma.example'
async function openWorld(fault: Fault): Promise<World & { close: () => Promise<void> }> {
  const what = fault.says?.source ?? ''
  const pki = await makePki(
    what.includes('name') ? { hosts: ['other.example'] } : { expired: what.includes('expired') },
  )
  const own = await makePki()
  // authorities of one name: only that is given which is to be found
  const caPem = isTls(fault) ? pki.ca : own.ca
  const grant: SandboxGrant = {
    email: EMAIL,
    tenant: TENANT,
    clientId: CLIENT,
    clientSecret: SECRET,
    flows: ['password'],
    password: 'pw',
  }
  const tokens = await startTokenEndpoint({ tls: own, accounts: [grant] })
  const house = await openHouse(what.includes('authority') ? {} : { caPem })
  const plain = createServer(
    (socket) =>
      void socket
        .on('error', () => undefined)
        .resume()
        .end('+OK plain\r\n'),
  )
  plain.listen(0, '127.0.0.1')
  const gone = createServer().listen(0, '127.0.0.1')
  await Promise.all([once(plain, 'listening'), once(gone, 'listening')])
  const portOf = (server: Server): number => {
    const address = server.address()
    return typeof address === 'object' && address ? address.port : 0
  }
  const closedPort = portOf(gone)
  gone.close()
  await once(gone, 'close')
  return {
    house,
    pki,
    tokens,
    grant,
    silent: plain,
    closedPort,
    plainPort: portOf(plain),
    close: async () => {
      await house.close()
      await tokens.close()
      plain.close()
      await once(plain, 'close')
      await pki.stop()
      await own.stop()
    },
  }
}

const isTls = ({ flag }: Fault): boolean => flag.startsWith('tls_certificate')

async function examine(fault: Fault): Promise<{ steps: StepReport[]; logins: Record<'pop3' | 'smtp', number> }> {
  const world = await openWorld(fault)
  const tls = { cert: world.pki.cert, key: world.pki.key }
  const pop3 = await startScriptedPop3({
    provider: 'microsoft',
    ...(isTls(fault) && { security: 'tls', tls }),
    ...fault.pop3,
  })
  const smtp = await startScriptedSmtp(fault.smtp)
  try {
    const { scope, ...over } = {
      scope: 'https://outlook.office365.com/.default offline_access',
      ...fault.account?.(world, { pop3, smtp }),
    }
    const { house, tokens } = world
    await house.importAccounts([
      {
        email: EMAIL,
        pop3: { host: 'localhost', port: pop3.target.port, security: pop3.target.security },
        smtp: { host: 'localhost', port: smtp.endpoint.port, security: smtp.endpoint.security },
        auth: {
          type: 'oauth2',
          flow: 'password',
          token_endpoint: tokens.tokenUrl(TENANT),
          client_id: CLIENT,
          client_secret: SECRET,
          scope,
          password: 'pw',
        },
        ...over,
      },
    ])
    fault.before?.(world)
    const steps: StepReport[] = []
    const run = async () => {
      for await (const step of probeAccount(house, await findAccount(house.db, EMAIL))) steps.push(step)
    }
    await run()
    const logins = {
      pop3: pop3.seen.commands.filter((line) => /^AUTH|^PASS/.test(line)).length,
      smtp: smtp.seen.commands.filter((line) => line.startsWith('AUTH')).length,
    }
    const { rows } = await sql<{ outcome: string }>`select outcome from poststelle.account_tests`.execute(house.db)
    expect(rows).toEqual([{ outcome: fault.isNote ? 'passed' : 'failed' }])
    return { steps, logins }
  } finally {
    await pop3.stop()
    await smtp.stop()
    await world.close()
  }
}

row(
  'D1',
  'the connection test names the step and the cause of each fault, with one login in each direction at most',
  { fast: true },
  async () => {
    const wrong: unknown[] = []
    for (const fault of FAULTS) {
      const { steps, logins } = await examine(fault)
      const found = steps.find(({ state }) => state === (fault.isNote ? 'note' : 'failed'))
      const expected = [fault.what, fault.step, fault.side ?? null, fault.flag]
      const actual = [fault.what, found?.name, found?.side, found?.flag]
      if (fault.says && !fault.says.test(found?.evidence ?? ''))
        wrong.push({ what: fault.what, evidence: found?.evidence })
      if (JSON.stringify(actual) !== JSON.stringify(expected))
        wrong.push({ expected, actual, evidence: found?.evidence })
      for (const language of ['de', 'en'] as const) {
        const { label, actor } = explain(fault.flag, language)
        const text = found ? stepText(found, language) : ''
        if (!text.includes(label) || !text.includes(actor)) wrong.push({ what: fault.what, language, text })
      }
      if (Math.max(logins.pop3, logins.smtp) > 1) wrong.push({ what: fault.what, logins })
    }
    expect(wrong).toEqual([])
    return `${FAULTS.length} faults named at the right step, in two languages; logins at most 1 in each direction`
  },
)

row(
  'D2',
  'a lane that is parked for refused logins allows the operator one try, and says when the next one is due',
  { fast: true },
  async () => {
    const fault: Fault = {
      what: '',
      step: 'login_smtp',
      flag: '',
      smtp: smtpSays(/^\(sasl\)|^AUTH/, '535 5.7.8 Error: authentication failed'),
    }
    const world = await openWorld(fault)
    const smtp = await startScriptedSmtp({ ...fault.smtp, extensions: ['AUTH PLAIN'] })
    try {
      const { house } = world
      const account = {
        email: EMAIL,
        smtp: { host: 'localhost', port: smtp.endpoint.port, security: 'none' },
        auth: { type: 'password', password: 'wrong' },
      }
      await house.importAccounts([account])
      const test = async (): Promise<StepReport | undefined> => {
        const steps: StepReport[] = []
        for await (const step of probeAccount(house, await findAccount(house.db, EMAIL))) steps.push(step)
        return steps.find(({ name }) => name === 'login_smtp')
      }
      const logins = () => smtp.seen.commands.filter((line) => line.startsWith('AUTH')).length
      expect(await test()).toMatchObject({ state: 'failed' })
      const second = await test()
      expect(second).toMatchObject({ state: 'skipped' })
      expect(second?.nextTryAt).not.toBeNull()
      expect(logins()).toBe(1)
      // something was changed: it may be tried at once
      await house.importAccounts([{ ...account, auth: { type: 'password', password: 'other' } }])
      expect(await test()).toMatchObject({ state: 'failed' })
      expect(logins()).toBe(2)
      return `logins 2 of 3 tests, the second waits until ${second?.nextTryAt ? 'its time' : ''}`
    } finally {
      await smtp.stop()
      await world.close()
    }
  },
)
