// The steps at the token endpoint: does it speak, does its clock agree with ours, does the grant work, and what does the token say of
// itself. The token comes by the same door as every other: single flight, and past the breaker of the app registration.

import { MINUTE_MS, SECOND_MS } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { CredentialContext, OAuthAccount } from '../credentials/context.ts'
import { refreshGrant } from '../credentials/refresh.ts'
import { openAccessToken } from '../credentials/sealed.ts'
import { findingsOf } from '../credentials/token-says.ts'
import { loadGrant, type Grant } from '../db/grants.ts'
import { refuse } from '../failures/classify.ts'
import { NetError, type FetchedReply, type Login } from '../net/net.ts'
import { describeToken } from '../oauth/lint-token.ts'
import { directionOf, failedBy, report, type Side, type StepReport } from './probe-steps.ts'
import { timed } from './probe-server.ts'

const CLOCK_MAY_DIFFER_MS = 2 * MINUTE_MS
/** A token that young was just fetched: another request would only be one more. */
const YOUNG_MS = MINUTE_MS
const TIMEOUT_MS = 20 * SECOND_MS

/** A request without a grant: every token endpoint answers it with a JSON error, and counts nothing. */
export async function probeEndpoint(ctx: CredentialContext, account: OAuthAccount): Promise<StepReport> {
  const { tokenEndpoint, provider } = account.auth.client
  const asked = await timed(() =>
    ctx.net.fetch(tokenEndpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: '',
      timeoutMs: TIMEOUT_MS,
    }),
  )
  const { ms } = asked
  const about = { provider, stage: 'token', step: 'http' } as const
  if (asked.error !== undefined || !asked.value) {
    const { error } = asked
    if (!(error instanceof NetError)) throw error
    return failedBy(
      'token_endpoint',
      null,
      ms,
      refuse({ ...about, step: error.step, reply: error.message, errorCode: error.code }),
    )
  }
  const { status, headers, body } = asked.value
  if (!isJsonObject(asked.value)) {
    const reply = body.trim() === '' || (status >= 300 && status < 400) ? `HTTP ${status} without JSON` : body
    return failedBy('token_endpoint', null, ms, refuse({ ...about, httpStatus: status, reply }))
  }
  const host = new URL(tokenEndpoint).host
  const aheadMs = Date.parse(headers['date'] ?? '') - ctx.clock.now().getTime()
  if (Math.abs(aheadMs) > CLOCK_MAY_DIFFER_MS)
    return report('token_endpoint', null, 'failed', {
      ms,
      flag: 'clock_skew',
      evidence: `the clock of ${host} is ${Math.round(Math.abs(aheadMs) / 1000)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} ours`,
    })
  const clock = Number.isNaN(aheadMs) ? '' : `, clocks differ by ${Math.round(Math.abs(aheadMs) / 1000)} s`
  return report('token_endpoint', null, 'ok', { ms, evidence: `${host} answers ${status} with JSON${clock}` })
}

function isJsonObject({ status, body }: FetchedReply): boolean {
  if (status >= 500 || (status >= 300 && status < 400)) return false
  try {
    const value: unknown = JSON.parse(body)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

export interface TokenProbe {
  readonly steps: readonly StepReport[]
  /** Logins made of the token, where a login is worth a try. */
  readonly logins: ReadonlyMap<Side, Login>
}

/** One request at most, none where the token is a minute old or the endpoint is not to be asked yet. */
export async function probeToken(ctx: CredentialContext, account: OAuthAccount): Promise<TokenProbe> {
  const now = ctx.clock.now()
  const before = await loadGrant(ctx.db, account.id)
  const young = before?.refreshedAt && now.getTime() - before.refreshedAt.getTime() < YOUNG_MS
  const { ms, error } = await timed(async () => {
    if (before && !young) await refreshGrant(ctx, account.id, before.version)
  })
  if (error !== undefined) {
    if (!(error instanceof Failure)) throw error
    const waits =
      error.step === 'waiting' ? ((await loadGrant(ctx.db, account.id))?.parkedUntil ?? undefined) : undefined
    const step = report('token', null, 'failed', {
      ms,
      flag: error.flag,
      evidence: waits ? `not asked again yet: ${error.evidence}` : error.evidence,
      nextTryAt: waits,
    })
    return { steps: [step], logins: new Map() }
  }
  const grant = await loadGrant(ctx.db, account.id)
  const accessToken = grant && openAccessToken(ctx.vault, grant)
  if (!grant || accessToken === undefined) throw new Error('a token was issued and is not there')
  return judge(ctx, account, grant, accessToken, ms)
}

function judge(
  ctx: CredentialContext,
  account: OAuthAccount,
  grant: Grant,
  accessToken: string,
  ms: number,
): TokenProbe {
  const now = ctx.clock.now()
  const steps: StepReport[] = []
  const logins = new Map<Side, Login>()
  const minutes = Math.round(((grant.accessExpiresAt?.getTime() ?? 0) - now.getTime()) / MINUTE_MS)
  const described = describeToken(accessToken)
  const says = described.opaque
    ? `opaque token, ${minutes} min left`
    : [
        `${minutes} min left`,
        `for ${described.audience ?? 'no audience'}`,
        `user ${described.username ?? 'none (app)'}`,
        `grants ${[...described.scopes, ...described.roles].join(' ') || 'nothing'}`,
      ].join(', ')
  for (const side of ['pop3', 'smtp'] as const) {
    const host = account[side]
    if (!host) continue
    const login: Login = { mechanism: 'xoauth2', username: host.username, accessToken }
    const [finding] = findingsOf(account, login, directionOf(side), now)
    if (!finding?.certain) logins.set(side, login)
    if (finding)
      steps.push(
        report('token', side, finding.certain ? 'failed' : 'note', {
          ms,
          flag: finding.flag,
          evidence: `${finding.says} (${says})`,
        }),
      )
  }
  return { steps: steps.length > 0 ? steps : [report('token', null, 'ok', { ms, evidence: says })], logins }
}
