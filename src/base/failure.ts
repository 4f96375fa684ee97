// The one error class that crosses module borders. It carries data, decided once at the protocol edge:
// what happened (flag), whose fault it is (scope), whether waiting helps (persistence), and the proof (evidence).

/** Whose fault it is; a fault is charged to its owner and to nobody else. */
export const SCOPES = ['recipient', 'message', 'account', 'tenant', 'app', 'server', 'network', 'service'] as const
export type Scope = (typeof SCOPES)[number]

/** transient: waiting helps. permanent: this message or recipient is refused for good. human: somebody must act. */
export const PERSISTENCES = ['transient', 'permanent', 'human'] as const
export type Persistence = (typeof PERSISTENCES)[number]

export const DIRECTIONS = ['receive', 'send'] as const
/** One half of an account; account x direction is a lane. */
export type Direction = (typeof DIRECTIONS)[number]

export const STAGES = ['token', 'pop3', 'smtp'] as const
export type Stage = (typeof STAGES)[number]

export const PROVIDERS = ['microsoft', 'google', 'generic'] as const
export type Provider = (typeof PROVIDERS)[number]

/** What the catalogue says about one refusal. */
export interface Verdict {
  readonly flag: string
  readonly scope: Scope
  readonly persistence: Persistence
  /** Which lanes of the account cannot work while this lasts; empty where only a message or recipient is refused. */
  readonly blocks: readonly Direction[]
  /** A wait the peer asked for. */
  readonly retryAfterMs?: number
}

/** What a peer said, before anybody judged it. Never contains a secret. */
export interface Refusal {
  readonly provider: Provider
  readonly stage: Stage
  /** The reply as received: a status line, all lines of an SMTP reply, or the body of a token response. */
  readonly reply: string
  readonly httpStatus?: number
  /** Where in the dialogue it happened: 'connect', 'greeting', 'tls', 'auth', 'stat', 'mail', 'rcpt', 'data' ... */
  readonly step?: string
  /** Code of a local error (ECONNREFUSED, CERT_HAS_EXPIRED ...) where no reply was received. */
  readonly errorCode?: string
  readonly retryAfterMs?: number
}

export class Failure extends Error {
  override readonly name = 'Failure'
  readonly verdict: Verdict
  /** The masked line shown to the operator. */
  readonly evidence: string
  readonly stage: Stage
  readonly step: string

  constructor(verdict: Verdict, about: { stage: Stage; step: string; evidence: string }, options?: ErrorOptions) {
    super(`${verdict.flag} at ${about.stage} ${about.step}: ${about.evidence}`, options)
    this.verdict = verdict
    this.evidence = about.evidence
    this.stage = about.stage
    this.step = about.step
  }

  get flag(): string {
    return this.verdict.flag
  }
}

/** A mistake in what the operator gave us: configuration, a file, an argument. Its message is one clear sentence. */
export class UserError extends Error {
  override readonly name = 'UserError'
  /** 1: it could not be done. 2: it was asked for wrongly. 3: some of it was refused, the rest was done. */
  readonly exitCode: 1 | 2 | 3

  constructor(message: string, options: ErrorOptions & { exitCode?: 1 | 2 | 3 } = {}) {
    super(message, options)
    this.exitCode = options.exitCode ?? 1
  }
}

/** The lease was lost or another worker settled first: nothing may be written any more. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost'
}

export const errorText = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Code of a system or TLS error, '' where there is none. */
export function errorCode(error: unknown): string {
  for (let e = error; e instanceof Error; e = e.cause) {
    if ('code' in e && typeof e.code === 'string') return e.code
  }
  return ''
}

/** Reason of an AbortSignal: the service is stopping. What it interrupts is nobody's fault. */
export class Stopping extends Error {
  override readonly name = 'Stopping'
}

export const isStopping = (signal: AbortSignal): boolean => signal.aborted && signal.reason instanceof Stopping
