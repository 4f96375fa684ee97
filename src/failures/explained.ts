// A pasted refusal, explained: where it comes from, as far as the words tell, its cause, and who must do what. For the command and the
// API alike. Pure.

import type { Provider, Refusal, Stage } from '../base/failure.ts'
import { explain, type FlagTexts } from './catalogue.ts'
import { classify } from './classify.ts'

export interface Pasted {
  readonly reply: string
  /** As the words tell unless given. */
  readonly provider?: Provider | undefined
  readonly stage?: Stage | undefined
  readonly step?: string | undefined
  readonly httpStatus?: number | undefined
}

/** The shape is a contract: docs/cli.md, `classify --json`. */
export type Explained = FlagTexts & {
  readonly flag: string
  readonly scope: string
  readonly persistence: string
  readonly blocks: readonly string[]
  readonly retry_after_seconds?: number
  readonly provider: Provider
  readonly stage: Stage
}

const MICROSOFT =
  /AADSTS\d|outlook\.com|office365|microsoft|exchange|5\.7\.139|5\.7\.57|STOREDRV|SmtpClientAuthentication/i
const GOOGLE = /gsmtp|google|gmail|GPOP|invalid_rapt|Token has been expired or revoked|accounts\.google/i
const TOKEN =
  /AADSTS\d|"error"\s*:|invalid_(?:grant|client|scope|request)|unauthorized_client|interaction_required|consent_required|access_denied/
const POP3 = /(?:^|\s)[-+](?:ERR|OK)\b|^\+ /

export const stageOf = (reply: string): Stage => {
  if (POP3.test(reply)) return 'pop3'
  return TOKEN.test(reply) && !/^\s*[245]\d\d[ -]/.test(reply) ? 'token' : 'smtp'
}

export function providerOfWords(reply: string): Provider {
  if (MICROSOFT.test(reply)) return 'microsoft'
  return GOOGLE.test(reply) ? 'google' : 'generic'
}

export function explained(pasted: Pasted, language: 'de' | 'en'): Explained {
  const { reply, step, httpStatus } = pasted
  const provider = pasted.provider ?? providerOfWords(reply)
  const stage = pasted.stage ?? stageOf(reply)
  const refusal: Refusal = {
    provider,
    stage,
    reply,
    ...(step !== undefined && { step }),
    ...(httpStatus !== undefined && { httpStatus }),
  }
  const { flag, scope, persistence, blocks, retryAfterMs } = classify(refusal)
  return {
    flag,
    scope,
    persistence,
    blocks,
    ...(retryAfterMs !== undefined && { retry_after_seconds: retryAfterMs / 1000 }),
    ...explain(flag, language),
    provider,
    stage,
  }
}
