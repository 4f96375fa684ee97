// Mail on its way out of this process: submitted in either form, composed, and sent to a server that the test can read.

import { drainLane, type DrainResult } from '../../src/delivery/drain-lane.ts'
import { composeDraft } from '../../src/delivery/compose-draft.ts'
import { releaseLane } from '../../src/db/lanes.ts'
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
    drain: async () => {
      await composeAll(house, id)
      return await drainLane(house, await house.lease(id, 'send'), AbortSignal.timeout(120_000))
    },
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

/** Makes the bytes of every draft of an account. */
export async function composeAll(house: TestHouse, accountId: number): Promise<void> {
  const drafts = await house.db
    .selectFrom('outbound_messages')
    .select('id')
    .where('account_id', '=', accountId)
    .where('size_bytes', 'is', null)
    .execute()
  const lease = await house.lease(accountId, 'send')
  for (const { id } of drafts) await composeDraft(house.db, lease, id)
  await releaseLane(house.db, lease, null)
}
