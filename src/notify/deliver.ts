// One notice to one target: a signed web hook, a mail over a relay of its own, a program, or a heartbeat.

import { randomUUID } from 'node:crypto'
import { later, type Clock, HOUR_MS } from '../base/clock.ts'
import { errorText } from '../base/failure.ts'
import type { Db } from '../db/database.ts'
import {
  incidentIsOpen,
  settleDelivery,
  switchTarget,
  wasTold,
  type Delivery,
  type DeliveryOutcome,
  type NotifyTarget,
} from '../db/notify.ts'
import { compose } from '../message/compose.ts'
import type { Net, Security } from '../net/net.ts'
import type { Vault } from '../secrets/vault.ts'
import { Submission } from '../smtp/submission.ts'
import { runCommand } from './command.ts'
import { noticeText } from './texts.ts'
import { nextWaitMs, signature } from './webhook.ts'

export interface NotifyContext {
  readonly db: Db
  readonly vault: Vault
  readonly net: Net
  readonly clock: Clock
  /** As browsers reach us, for links. */
  readonly publicUrl: string
  /** Programs that notices may go to, by name. */
  readonly commands?: ReadonlyMap<string, string>
}

const TIMEOUT_MS = 20_000
const GONE = 410

export const secretPlace = (id: number) => ({ table: 'notify_targets', id, column: 'secret' })
export const previousPlace = (id: number) => ({ table: 'notify_targets', id, column: 'previous_secret' })

/** Settles the delivery, whatever comes of it. */
export async function deliver(ctx: NotifyContext, target: NotifyTarget, delivery: Delivery): Promise<void> {
  await settleDelivery(ctx.db, delivery, await outcomeOf(ctx, target, delivery))
}

async function outcomeOf(ctx: NotifyContext, target: NotifyTarget, delivery: Delivery): Promise<DeliveryOutcome> {
  if (await isMoot(ctx, target, delivery)) return { state: 'dropped' }
  try {
    const status = await WAYS[target.kind](ctx, target, delivery)
    if (status >= 200 && status < 300) return { state: 'delivered', status }
    if (status === GONE) {
      await switchTarget(ctx.db, target.id, false, 'it answered 410 Gone')
      return { state: 'failed', status, error: 'HTTP 410' }
    }
    return again(ctx, delivery, `HTTP ${status}`, status)
  } catch (error) {
    return again(ctx, delivery, errorText(error).slice(0, 500))
  }
}

/** Each returns the status of HTTP that says the same. */
const WAYS = { webhook: byWebhook, heartbeat: byWebhook, mail: byMail, command: byCommand } as const

function again({ clock }: NotifyContext, { attempts }: Delivery, error: string, status?: number): DeliveryOutcome {
  const waitMs = nextWaitMs(attempts, Math.random())
  return waitMs === undefined
    ? { state: 'failed', error, status }
    : { state: 'waiting', error, status, nextAt: later(clock.now(), waitMs) }
}

/** What has healed before its patience ended is told to nobody, and neither is its end. */
async function isMoot({ db }: NotifyContext, target: NotifyTarget, { type, payload }: Delivery): Promise<boolean> {
  const incident = Number(payload['incident'])
  if (!Number.isSafeInteger(incident)) return false
  if (type === 'incident.opened' && payload['transient'] === true) return !(await incidentIsOpen(db, incident))
  if (type === 'incident.closed' || type === 'incident.grew') return !(await wasTold(db, target.id, incident))
  return false
}

async function byWebhook(ctx: NotifyContext, target: NotifyTarget, delivery: Delivery): Promise<number> {
  const now = ctx.clock.now()
  const id = `msg_${delivery.id}`
  const seconds = Math.floor(now.getTime() / 1000)
  const body = JSON.stringify(bodyOf(delivery))
  const secrets = secretsOf(ctx, target, now)
  const { status } = await ctx.net.fetch(target.address, {
    method: 'POST',
    timeoutMs: TIMEOUT_MS,
    headers: {
      'content-type': 'application/json',
      'user-agent': 'Poststelle',
      'webhook-id': id,
      'webhook-timestamp': String(seconds),
      'webhook-signature': signature(secrets, id, seconds, body),
    },
    body,
  })
  return status
}

export function secretsOf({ vault }: Pick<NotifyContext, 'vault'>, target: NotifyTarget, now: Date): string[] {
  const { id, secretSealed, previousSecretSealed, previousSecretUntil } = target
  return [
    ...(secretSealed === null ? [] : [vault.open(secretSealed, secretPlace(id))]),
    ...(previousSecretSealed !== null && previousSecretUntil && previousSecretUntil > now
      ? [vault.open(previousSecretSealed, previousPlace(id))]
      : []),
  ]
}

const bodyOf = ({ type, createdAt, payload }: Delivery) => ({
  type,
  timestamp: createdAt.toISOString(),
  data: payload,
})

function wordsOf(
  { publicUrl }: NotifyContext,
  { language }: NotifyTarget,
  { type, payload }: Delivery,
): { subject: string; body: string } {
  const ready = payload as { subject?: string; body?: string }
  return type === 'digest' || type === 'test'
    ? { subject: ready.subject ?? 'Poststelle', body: ready.body ?? '' }
    : noticeText(type, payload, language, `${publicUrl}/`)
}

async function byCommand(ctx: NotifyContext, target: NotifyTarget, delivery: Delivery): Promise<number> {
  const program = ctx.commands?.get(target.address)
  if (program === undefined) throw new Error(`POSTSTELLE_NOTIFY_COMMANDS does not name "${target.address}" any more`)
  const { subject, body } = wordsOf(ctx, target, delivery)
  const notice = { id: `msg_${delivery.id}`, ...bodyOf(delivery), subject, text: body }
  await runCommand(program, `${JSON.stringify(notice)}\n`, TIMEOUT_MS)
  return 200
}

/** The relay is not one of the accounts: what is told of the mail does not travel with it. */
async function byMail(ctx: NotifyContext, target: NotifyTarget, delivery: Delivery): Promise<number> {
  const { settings, address } = target
  const { subject, body } = wordsOf(ctx, target, delivery)
  const from = String(settings['from'])
  const recipients = (settings['to'] as string[] | undefined) ?? []
  const pieces: Buffer[] = []
  for await (const piece of compose({
    from: { address: from, name: 'Poststelle' },
    to: recipients.map((one) => ({ address: one })),
    cc: [],
    subject,
    text: body,
    headers: { 'Auto-Submitted': 'auto-generated' },
    attachments: [],
    messageId: `<${randomUUID()}@${from.slice(from.lastIndexOf('@') + 1)}>`,
    date: ctx.clock.now(),
  }))
    pieces.push(piece)
  const bytes = Buffer.concat(pieces)
  const at = address.lastIndexOf(':')
  const session = await Submission.open(
    ctx.net,
    {
      host: address.slice(0, at),
      port: Number(address.slice(at + 1)),
      security: settings['security'] as Security,
      provider: 'generic',
    },
    { signal: AbortSignal.timeout(TIMEOUT_MS * 3), clientName: from.slice(from.lastIndexOf('@') + 1) },
  )
  if (target.secretSealed !== null) {
    const { username, password } = JSON.parse(ctx.vault.open(target.secretSealed, secretPlace(target.id))) as {
      username: string
      password: string
    }
    await session.login({ mechanism: 'password', username, password })
  }
  const { recipients: outcomes } = await session.send({ from, recipients }, once(bytes), {
    sizeBytes: bytes.length,
    beforeFinalDot: async () => undefined,
  })
  await session.quit()
  const refused = outcomes.find(({ accepted }) => !accepted)
  if (refused) throw new Error(refused.reply)
  return 250
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes
}

/** After a secret was replaced the old one signs as well for a day. */
export const OVERLAP_MS = 24 * HOUR_MS
