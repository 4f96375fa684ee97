// How a login is said in SMTP: which mechanism, which lines, and what ends a refused exchange.
// RFC 4954; XOAUTH2 as Microsoft and Google document it.

import type { Login } from '../net/net.ts'
import { xoauth2 } from '../net/sasl.ts'

export interface AuthExchange {
  readonly mechanism: 'XOAUTH2' | 'PLAIN' | 'LOGIN'
  /** base64, in the order the server asks for them. */
  readonly responses: readonly string[]
  /** Whether the first response goes with the AUTH command itself. */
  readonly initialResponse: boolean
  /** Answers a challenge when nothing is left to say: XOAUTH2 wants an empty line, the others a cancellation. */
  readonly farewell: '' | '*'
  /** What must not be seen in any reply that echoes it. */
  readonly secrets: readonly string[]
}

/** An AUTH command is a command line: 512 octets with its CRLF (RFC 4954 section 4). Gmail answers longer ones with 555. */
const COMMAND_OCTETS = 512 - 2

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64')

const fitsCommand = (mechanism: string, response: string): boolean =>
  `AUTH ${mechanism} ${response}`.length <= COMMAND_OCTETS

/** `announced` are the mechanisms of the EHLO reply; what is not announced is tried all the same: a refusal explains more. */
export function authExchange(login: Login, announced: readonly string[]): AuthExchange {
  if (login.mechanism === 'xoauth2') {
    const response = xoauth2(login.username, login.accessToken)
    return {
      mechanism: 'XOAUTH2',
      responses: [response],
      initialResponse: fitsCommand('XOAUTH2', response),
      farewell: '',
      secrets: [response, login.accessToken],
    }
  }
  if (announced.includes('LOGIN') && !announced.includes('PLAIN')) {
    const responses = [base64(login.username), base64(login.password)]
    const secrets = [...responses, login.password]
    return { mechanism: 'LOGIN', responses, initialResponse: false, farewell: '*', secrets }
  }
  const response = base64(`\0${login.username}\0${login.password}`)
  return {
    mechanism: 'PLAIN',
    responses: [response],
    initialResponse: fitsCommand('PLAIN', response),
    farewell: '*',
    secrets: [response, login.password],
  }
}
