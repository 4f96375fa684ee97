// Mail on its way out of this process: submitted in either form, composed, and sent to a server that the test can read.

import { drainLane, type DrainResult } from '../../src/delivery/drain-lane.ts'
import { submitMessage, submitParts } from '../../src/db/submissions.ts'
import { openHouse, passwordAccount, type TestHouse } from './house.ts'
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from './scripted-smtp.ts'

export const SENDER = 'absender@example.test'

export interface Outgoing {
  readonly house: TestHouse
  readonly server: ScriptedSmtp
  /** Throws what the database says. */
  readonly parts: (parts: object, key?: string) => Promise<number>
  readonly raw: (raw: Buffer, over?: { recipients?: readonly string[]; from?: string }) => Promise<number>
  /** Sends whatever is due. */
  readonly drain: () => Promise<DrainResult>
  readonly close: () => Promise<void>
}

export async function openOutgoing(script: SmtpScript = {}): Promise<Outgoing> {
  const server = await startScriptedSmtp(script)
  const house = await openHouse()
  const { host, port, security } = server.endpoint
  const [account] = await house.importAccounts([passwordAccount(SENDER, { smtp: { host, port, security } })])
  const id = account?.id ?? 0
  return {
    house,
    server,
    parts: (parts, key) =>
      submitParts(house.db, { account: SENDER, parts, idempotencyKey: key ?? null, sendAfter: null, priority: 0 }),
    raw: (raw, { recipients = ['kunde@example.test'], from = SENDER } = {}) =>
      submitMessage(house.db, { account: SENDER, envelopeFrom: from, recipients, raw, idempotencyKey: null }),
    drain: async () => await drainLane(house, await house.lease(id, 'send'), AbortSignal.timeout(120_000)),
    close: async () => {
      await house.close()
      await server.stop()
    },
  }
}

export async function withOutgoing<T>(script: SmtpScript, work: (outgoing: Outgoing) => Promise<T>): Promise<T> {
  const outgoing = await openOutgoing(script)
  try {
    return await work(outgoing)
  } finally {
    await outgoing.close()
  }
}
