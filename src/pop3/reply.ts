// What a POP3 status line says, and how a refusal becomes a Failure: cleaned, without secrets, classified.
// RFC 1939 section 3; continuations by RFC 5034 section 4.

import type { Failure, Provider } from '../base/failure.ts'
import { refuse } from '../failures/classify.ts'
import { NetError } from '../net/net.ts'

/** 'continue' is the `+ ` of a SASL exchange; 'garbage' is no POP3 at all. */
export type Status = 'ok' | 'err' | 'continue' | 'garbage'

/** Where in the dialogue a refusal happened. A command that only node-pop3 gives has its own name, as 'rset'. */
export type Step =
  | 'connect'
  | 'greeting'
  | 'tls'
  | 'capa'
  | 'auth'
  | 'stat'
  | 'uidl'
  | 'list'
  | 'retr'
  | 'top'
  | 'dele'
  | 'quit'
  | (string & {})

const EVIDENCE_CHARS = 1_000
/** Shorter secrets would blot out ordinary words. */
const SECRET_CHARS = 6

export function statusOf(line: string): Status {
  if (/^\+OK\b/i.test(line)) return 'ok'
  if (/^-ERR\b/i.test(line)) return 'err'
  return line === '+' || line.startsWith('+ ') ? 'continue' : 'garbage'
}

/** Makes the Failures of one session. */
export class Refusals {
  readonly #provider: Provider
  #secrets: readonly string[] = []

  constructor(provider: Provider) {
    this.#provider = provider
  }

  /** Texts to be blotted out should the server echo them. */
  hide(secrets: readonly string[]): void {
    this.#secrets = secrets.filter((secret) => secret.length >= SECRET_CHARS)
  }

  /** The server said no. */
  said(step: Step, line: string, errorCode?: string): Failure {
    const about = { provider: this.#provider, stage: 'pop3', step, reply: this.#evidence(line) } as const
    return refuse(errorCode === undefined ? about : { ...about, errorCode })
  }

  /** No reply was received, or none that counts: `code` says what happened, `sentence` says it in words. */
  local(step: Step, code: string, sentence: string, cause?: unknown): Failure {
    const reply = this.#evidence(sentence)
    return refuse({ provider: this.#provider, stage: 'pop3', step, errorCode: code, reply }, cause)
  }

  /** An error that is not the network's comes back as it is. */
  net(error: unknown): unknown {
    if (!(error instanceof NetError)) return error
    return this.local(error.step === 'tls' ? 'tls' : 'connect', error.code, error.message, error)
  }

  #evidence(text: string): string {
    const masked = this.#secrets
      .reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
      .replace(/\bPASS\s+\S.*/i, 'PASS ***')
    const clean = masked.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, '?')
    return clean.length > EVIDENCE_CHARS ? `${clean.slice(0, EVIDENCE_CHARS)}...` : clean
  }
}
