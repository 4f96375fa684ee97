// Sends in this process to scripted servers, one for each account: for rows about what a server says, not about who is killed.
// After the work the tables are searched for what must never be in them.

import { sql } from 'kysely'
import pg from 'pg'
import type { Clock } from '../../src/base/clock.ts'
import type { DbOrTx } from '../../src/db/database.ts'
import { drainLane, type DrainResult } from '../../src/delivery/drain-lane.ts'
import { openHouse, passwordAccount, type TestHouse } from './house.ts'
import { outgoingMessage } from './mail-world.ts'
import { copiesIn, violations } from './outbound-oracle.ts'
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from './scripted-smtp.ts'

export interface OutboxRow {
  readonly id: number
  readonly state: string
  readonly hold_reason: string | null
  readonly attempts: number
  readonly repeated: boolean
  readonly next_attempt_at: Date | null
  readonly expires_at: Date
  readonly last_reply: string | null
  readonly last_flag: string | null
}

export interface AttemptRow {
  readonly number: number
  readonly phase: string
  readonly outcome: string | null
  readonly step: string | null
  readonly reply: string | null
}

export interface RecipientRow {
  readonly address: string
  readonly state: string
  readonly reply_code: number | null
}

export interface SubmitOptions {
  readonly to?: readonly string[]
  /** About; without it the message is short. */
  readonly sizeBytes?: number
}

/** An account and the server that it sends to. */
export interface Sender {
  readonly user: string
  readonly id: number
  readonly server: ScriptedSmtp
  /** `name`: its Message-ID is made of it. Returns the id in the outbox. */
  readonly submit: (name: string, o?: SubmitOptions) => Promise<number>
  /** One turn of the lane, due or not. */
  readonly drain: (signal?: AbortSignal) => Promise<DrainResult>
  readonly row: (id: number) => Promise<OutboxRow>
  readonly recipients: (id: number) => Promise<RecipientRow[]>
  readonly attempts: (id: number) => Promise<AttemptRow[]>
  /** How many of this account's messages are in each state. */
  readonly states: () => Promise<Readonly<Record<string, number>>>
  /** What waits for a later time is due now, and nothing stands in its way. */
  readonly makeDue: () => Promise<void>
  /** The lane and its host are open again; messages wait as they did. */
  readonly unpark: () => Promise<void>
  /** How often the server took it. */
  readonly copies: (name: string) => number
  /** Flags that are open for sending. */
  readonly flags: () => Promise<{ flag: string; persistence: string; evidence: string }[]>
  /** When the lane may work next; throws where it never will. */
  readonly nextAt: () => Promise<Date>
}

export interface SenderOptions {
  /** Fields of the account. */
  readonly over?: object
  /** Other than the server's own: a proxy's, or a name its certificate does not have. */
  readonly port?: number
  readonly host?: string
}

export interface Outbound {
  readonly house: TestHouse
  readonly sender: (script?: SmtpScript, o?: SenderOptions) => Promise<Sender>
  /** Nothing about attempts can be committed until the function that it returns is called. */
  readonly holdCommits: () => Promise<() => Promise<void>>
}

export interface OutboundOptions {
  readonly clock?: Clock
  /** PEM of the authority that the installation trusts. */
  readonly caPem?: string
}

/** Opens, works, and closes whatever comes of it. The invariants hold afterwards, or it throws. */
export async function withOutbound(o: OutboundOptions, work: (outbound: Outbound) => Promise<string>): Promise<string> {
  const house = await openHouse(o)
  const servers: ScriptedSmtp[] = []
  try {
    const figure = await work({
      house,
      async sender(script = {}, options = {}) {
        const server = await startScriptedSmtp(script)
        servers.push(server)
        return await openSender(house, server, `absender${servers.length}@example.test`, options)
      },
      holdCommits: () => holdCommits(house.database.url),
    })
    const broken = await violations(house.db)
    if (broken.length > 0) throw new Error(broken.join('\n'))
    return figure
  } finally {
    // what a lane keeps open ends with its server
    for (const server of servers) await server.stop()
    await house.close()
  }
}

export const RECIPIENT = 'kunde@example.test'

async function openSender(house: TestHouse, server: ScriptedSmtp, user: string, o: SenderOptions): Promise<Sender> {
  const { db } = house
  const { host, port, security } = server.endpoint
  const smtp = { host: o.host ?? host, port: o.port ?? port, security }
  const [account] = await house.importAccounts([passwordAccount(user, { pop3: null, smtp, ...o.over })])
  const id = account?.id ?? 0
  return {
    user,
    id,
    server,
    submit: (name, { to = [RECIPIENT], sizeBytes = 0 } = {}) =>
      submit(db, { from: user, to, raw: padded(outgoingMessage(user, to[0] ?? '', name), sizeBytes) }),
    drain: async (signal = AbortSignal.timeout(120_000)) =>
      await drainLane(house, await house.lease(id, 'send'), signal),
    row: async (message) =>
      only(await sql<OutboxRow>`select * from poststelle.outbox where id = ${message}`.execute(db)),
    recipients: async (message) =>
      (
        await sql<RecipientRow>`select address, state, reply_code from poststelle.outbox_recipients
          where message_id = ${message} order by address`.execute(db)
      ).rows,
    attempts: async (message) =>
      (
        await sql<AttemptRow>`select number, phase, outcome, step, reply from poststelle.delivery_attempts
          where message_id = ${message} order by number`.execute(db)
      ).rows,
    async states() {
      const { rows } = await sql<{ state: string; n: number }>`select state, count(*)::int as n
        from poststelle.outbound_messages where account_id = ${id} group by state`.execute(db)
      return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
    },
    makeDue: () => makeDue(house, id),
    unpark: () => unpark(house, id),
    copies: (name) => copiesIn(server.seen.taken).get(`<${name}@out.example.test>`) ?? 0,
    flags: async () =>
      (
        await sql<{ flag: string; persistence: string; evidence: string }>`
          select flag, persistence, evidence from poststelle.health_flags
          where account_id = ${id} and direction = 'send' and cleared_at is null order by flag`.execute(db)
      ).rows,
    async nextAt() {
      const { at } = only(
        await sql<{ at: Date | null }>`select greatest(due_at, parked_until) as at from poststelle.lanes
          where account_id = ${id} and lane = 'send'`.execute(db),
      )
      if (!at) throw new Error('the lane is never due again')
      return at
    },
  }
}

/** As an application does. Returns the id in the outbox. */
export async function submit(
  db: DbOrTx,
  { from, to, raw }: { from: string; to: readonly string[]; raw: Buffer },
): Promise<number> {
  const result = await sql<{
    id: number
  }>`select poststelle.submit_message(${from}, ${from}, ${[...to]}::text[], ${raw}) as id`.execute(db)
  return only(result).id
}

function only<T>({ rows }: { rows: T[] }): T {
  const [row] = rows
  if (row === undefined) throw new Error('there is no such row')
  return row
}

const LINE = 'Zeile mit Text, wie er in einem Brief steht.\r\n'

const padded = (message: Buffer, sizeBytes: number): Buffer =>
  Buffer.concat([message, Buffer.from(LINE.repeat(Math.max(0, Math.ceil((sizeBytes - message.length) / LINE.length))))])

async function makeDue(house: TestHouse, accountId: number): Promise<void> {
  await sql`update poststelle.outbound_messages set next_attempt_at = now()
    where account_id = ${accountId} and next_attempt_at > now() and finished_at is null`.execute(house.db)
  await unpark(house, accountId)
}

async function unpark({ db }: TestHouse, accountId: number): Promise<void> {
  await sql`update poststelle.lanes set parked_until = null, due_at = now()
    where account_id = ${accountId} and lane = 'send'`.execute(db)
  await sql`update poststelle.host_breakers set open_until = now()`.execute(db)
}

async function holdCommits(url: string): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('begin; lock table poststelle.delivery_attempts in share mode')
  return () => client.end()
}
