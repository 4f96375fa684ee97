// Exchange answers every refused login with the same line. What the token says of itself often names the cause, without another
// login. Pure. The claims of Microsoft's tokens: learn.microsoft.com, "Access token claims reference".

import { Failure } from '../base/failure.ts'
import type { Login } from '../net/net.ts'
import { flagEntryOf } from '../failures/catalogue.ts'
import { readClaims, type TokenClaims } from '../oauth/claims.ts'

/** Refusals that leave the cause open. */
const CATCH_ALL = new Set(['pop3_auth_rejected', 'smtp_auth_rejected'])
/** Exchange Online by its names, also in the clouds for governments and China, and by its application id. */
const MAIL_AUDIENCE =
  /^(?:https:\/\/)?(?:outlook(?:-dod)?\.office(?:365)?\.(?:com|us)|partner\.outlook\.cn|outlook\.com)\/?$|^00000002-0000-0ff1-ce00-000000000000$/i
const POP_DELEGATED = 'POP.AccessAsUser.All'
const POP_APP = 'POP.AccessAsApp'

/** The refusal with the cause that the token gives away; as it was where it gives away none. */
export function explainedByToken(failure: Failure, login: Login): Failure {
  if (login.mechanism !== 'xoauth2' || !CATCH_ALL.has(failure.flag)) return failure
  const claims = readClaims(login.accessToken)
  if (!claims) return failure // an opaque token says nothing
  const found = causeIn(claims, failure.stage)
  if (!found) {
    const other = claims.username !== undefined && claims.username.toLowerCase() !== login.username.toLowerCase()
    return other
      ? withEvidence(
          failure,
          failure.flag,
          `the token is that of ${claims.username}, the user name is ${login.username}`,
        )
      : failure
  }
  return withEvidence(failure, found.flag, found.says)
}

function causeIn({ audience, scopes, roles }: TokenClaims, stage: string): { flag: string; says: string } | undefined {
  if (audience !== undefined && !MAIL_AUDIENCE.test(audience))
    return { flag: 'token_wrong_audience', says: `the token is for ${audience}, not for Exchange Online` }
  if (stage !== 'pop3') return undefined
  if (scopes.length > 0 && !scopes.includes(POP_DELEGATED))
    return { flag: 'permission_missing_pop', says: `the token grants ${scopes.join(' ')}, and not ${POP_DELEGATED}` }
  if (scopes.length === 0 && !roles.includes(POP_APP))
    return {
      flag: 'admin_consent_missing',
      says: `the token of the app grants ${roles.length > 0 ? roles.join(' ') : 'nothing'}, and not ${POP_APP}`,
    }
  return undefined
}

function withEvidence({ verdict, evidence, stage, step }: Failure, flag: string, says: string): Failure {
  const entry = flagEntryOf(flag)
  const blocks = entry.blocks === 'stage' ? verdict.blocks : entry.blocks
  const named = flag === verdict.flag ? verdict : { flag, scope: entry.scope, persistence: entry.persistence, blocks }
  return new Failure(named, { stage, step, evidence: `${evidence}; ${says}` })
}
