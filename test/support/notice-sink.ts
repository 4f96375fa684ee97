// Somebody who is told: a web hook that answers as it is bidden, with the installation that tells it.

import { createServer, type Server } from 'node:https'
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import { sql } from 'kysely'
import { createTarget, setTargetSecret } from '../../src/db/notify.ts'
import { reconcileIncidents } from '../../src/health/reconcile-incidents.ts'
import { secretPlace } from '../../src/notify/deliver.ts'
import { Notifier } from '../../src/notify/notifier.ts'
import { newWebhookSecret } from '../../src/notify/webhook.ts'
import { ageIncidents, recover } from './health-rows.ts'
import { openHouse, type TestHouse } from './house.ts'
import { makePki } from './pki.ts'

export interface Told {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Sink {
  readonly url: string
  readonly told: Told[]
  status: number
  headers: Record<string, string>
}

export async function withSink(
  work: (house: TestHouse, sink: Sink, notifier: Notifier) => Promise<string>,
): Promise<string> {
  const pki = await makePki()
  const house = await openHouse({ caPem: pki.ca })
  const told: Told[] = []
  const server: Server = createServer({ key: pki.key, cert: pki.cert }, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      told.push({ headers: request.headers, body: Buffer.concat(pieces).toString('utf8') })
      response.writeHead(sink.status, sink.headers).end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  const sink: Sink = { url: `https://localhost:${port}/hook`, told, status: 200, headers: {} }
  try {
    return await work(house, sink, new Notifier({ ...house, publicUrl: 'https://post.firma.example' }))
  } finally {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
    await house.close()
    await pki.stop()
  }
}

export async function hook(
  house: TestHouse,
  url: string,
  events: string[],
  secret = newWebhookSecret(),
): Promise<{ id: number; secret: string }> {
  const id = await house.db.transaction().execute(async (tx) => {
    const about = {
      kind: 'webhook',
      label: 'ERP',
      address: url,
      settings: {},
      events,
      language: 'de',
      patienceMinutes: 5,
      digest: false,
    } as const
    const made = await createTarget(tx, about)
    await setTargetSecret(tx, made, house.vault.seal(secret, secretPlace(made)))
    return made
  })
  return { id, secret }
}

export const deliveries = async (house: TestHouse) =>
  (
    await sql<{ type: string; state: string; attempts: number; last_status: number | null; last_error: string | null }>`
      select type, state, attempts, last_status, last_error from poststelle.notify_deliveries order by id`.execute(
      house.db,
    )
  ).rows
/** All is well again, and for so long that their incident is over. */
export async function heal(house: TestHouse, ids: readonly number[]): Promise<void> {
  await recover(house.db, ids)
  await reconcileIncidents(house.db)
  await ageIncidents(house.db, 30)
  await reconcileIncidents(house.db)
}

export const dueNow = async (house: TestHouse): Promise<unknown> =>
  await sql`update poststelle.notify_deliveries set next_attempt_at = now() where state = 'waiting'`.execute(house.db)
