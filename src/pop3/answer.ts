// What the server owes for one command: a status line and, by the command's shape, a body.

import type { Failure } from '../base/failure.ts'
import type { Body } from './body.ts'
import type { Status, Step } from './reply.ts'

/**
 * 'body': +OK is followed by one. 'sasl': `+ ` may come instead of +OK. 'hint': like 'body', but nonsense is no failure.
 * 'upgrade': after +OK the socket stands still, and a byte more is an attack.
 */
export type Shape = 'line' | 'body' | 'sasl' | 'hint' | 'upgrade'

export class Answer {
  readonly step: Step
  readonly shape: Shape
  status: Status | undefined
  /** The status line as received, without its line end. */
  line = ''
  body: Body | undefined
  #dropped = false
  #failure: Failure | undefined
  #wake: (() => void) | undefined

  constructor(step: Step, shape: Shape) {
    this.step = step
    this.shape = shape
  }

  /** Until the status line is here. Throws the Failure that ended the session before. */
  async arrived(): Promise<void> {
    if (this.status === undefined && !this.#failure) await new Promise<void>((wake) => (this.#wake = wake))
    if (this.#failure) throw this.#failure
  }

  allows(status: Status): boolean {
    if (status === 'continue') return this.shape === 'sasl'
    return status !== 'garbage' || this.shape === 'hint'
  }

  arrive(status: Status, line: string, body: Body | undefined): void {
    this.status = status
    this.line = line
    this.body = body
    if (this.#dropped) body?.drop()
    this.#wake?.()
  }

  /** Nobody will read the body. */
  drop(): void {
    this.#dropped = true
    this.body?.drop()
  }

  fail(failure: Failure): void {
    this.#failure = failure
    this.#wake?.()
  }
}
