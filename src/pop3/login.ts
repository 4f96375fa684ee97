// Proving who we are: XOAUTH2 always in two lines (Exchange breaks off one-line tokens; RFC 5034 section 4 allows no initial
// response that long), or USER and PASS (RFC 1939 section 7). Nothing is sent that would end its own line.

import { Failure } from '../base/failure.ts'
import type { Login } from '../net/net.ts'
import { breaksOut, decodeChallenge, xoauth2 } from '../net/sasl.ts'
import type { Wire } from './wire.ts'

/** Throws Failure with step 'auth'. */
export async function logIn(wire: Wire, login: Login): Promise<void> {
  if (login.mechanism === 'xoauth2') return await tokenLogin(wire, login.username, login.accessToken)
  wire.refusals.hide([login.password])
  refuseBroken('user name', login.username)
  refuseBroken('password', login.password)
  await wire.ask('auth', `USER ${login.username}`)
  await wire.ask('auth', `PASS ${login.password}`)
}

async function tokenLogin(wire: Wire, username: string, accessToken: string): Promise<void> {
  refuseBroken('user name', username)
  refuseBroken('access token', accessToken)
  const response = xoauth2(username, accessToken)
  wire.refusals.hide([response, accessToken])
  // some servers say +OK where the RFC wants `+ `
  await wire.ask('auth', 'AUTH XOAUTH2', 'sasl')
  const { status, line } = await wire.ask('auth', response, 'sasl')
  if (status !== 'continue') return
  // Gmail and Dovecot report a refused token as a challenge: it has to be answered with an empty line before the -ERR comes.
  const report = decodeChallenge(line.slice(1))
  const last = wire.expect('auth', 'line')
  wire.write('\r\n')
  try {
    await last.arrived()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw wire.refusals.said('auth', `${report} ${error.evidence}`)
  }
  if (last.status === 'err') throw wire.refusals.said('auth', `${last.line} ${report}`)
  throw wire.refusals.said('auth', `${last.line} although the token was refused: ${report}`, 'EPROTOCOL')
}

function refuseBroken(what: string, value: string): void {
  if (value !== '' && !breaksOut(value)) return
  throw new Failure(
    { flag: 'invalid_credentials', scope: 'account', persistence: 'human', blocks: ['receive'] },
    {
      stage: 'pop3',
      step: 'auth',
      evidence: `not sent: the ${what} is empty or contains a line break or a control character`,
    },
  )
}
