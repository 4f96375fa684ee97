// A worker process that sends to a scripted server, and is killed where the server sees it: the server is the one that knows,
// so that nothing in the program has to.

import { sql } from 'kysely'
import pg from 'pg'
import { openCrashRig, type CrashRig } from './crash.ts'
import { passwordAccount } from './house.ts'
import { outgoingMessage } from './mail-world.ts'
import { RECIPIENT, submit } from './outbound.ts'
import { tally, type Tally } from './outbound-oracle.ts'
import { startScriptedSmtp, type ScriptedSmtp, type SmtpScript } from './scripted-smtp.ts'

export interface SendRig extends CrashRig {
  readonly server: ScriptedSmtp
  /** What the server does at a command, before and after its answer; may be changed at any time. */
  hooks: Pick<SmtpScript, 'before' | 'after'>
  /** So many more messages, spread over the accounts. */
  readonly submit: (count: number) => Promise<void>
  readonly tally: () => Promise<Tally>
  /** Nothing waits but what is uncertain, and no lane is at work. */
  readonly settle: () => Promise<Tally>
  /** What is uncertain is repeated now; then as `settle`. */
  readonly repeatUncertain: () => Promise<Tally>
}

export interface SendRigOptions {
  readonly accounts: number
  readonly script?: SmtpScript
}

const EXTENSIONS = ['PIPELINING', '8BITMIME', 'AUTH PLAIN LOGIN']

export async function openSendRig({ accounts, script }: SendRigOptions): Promise<SendRig> {
  let sendRig: SendRig | undefined
  const server = await startScriptedSmtp({
    extensions: EXTENSIONS,
    ...script,
    before: (command) => sendRig?.hooks.before?.(command),
    after: (command) => sendRig?.hooks.after?.(command),
  })
  const { host, port, security } = server.endpoint
  const users = Array.from({ length: accounts }, (_, i) => `absender${i + 1}@example.test`)
  const rig = await openCrashRig({
    accounts: users.map((user) => passwordAccount(user, { pop3: null, smtp: { host, port, security } })),
  })
  const { db } = rig.database
  let submitted = 0
  const look = () => tally(db, server.seen.taken)
  const settle = async (all: boolean): Promise<Tally> => {
    let rest = { waiting: 0, uncertain: 0, leased: 0 }
    await rig.until(
      () => `it does not come to rest: ${JSON.stringify(rest)}`,
      async () => {
        // a lane parked for a passing fault is not waited for
        await sql`update poststelle.lanes set parked_until = null, due_at = now()
          where lane = 'send' and lease_token is null and parked_until > now()`.execute(db)
        const { rows } = await sql<typeof rest>`select
          count(*) filter (where state <> 'uncertain') as waiting, count(*) filter (where state = 'uncertain') as uncertain,
          (select count(*) from poststelle.lanes where lease_token is not null) as leased
          from poststelle.outbound_messages where finished_at is null`.execute(db)
        rest = rows[0] ?? rest
        return rest.waiting === 0 && rest.leased === 0 && (rest.uncertain === 0 || !all)
      },
    )
    return await look()
  }
  sendRig = Object.assign(Object.create(rig) as CrashRig, {
    server,
    hooks: {},
    async submit(count: number) {
      await db.transaction().execute(async (tx) => {
        for (let n = 0; n < count; n++) {
          const user = users[submitted % users.length] ?? ''
          submitted += 1
          const raw = outgoingMessage(user, RECIPIENT, String(submitted))
          await submit(tx, { from: user, to: [RECIPIENT], raw })
        }
      })
    },
    tally: look,
    settle: () => settle(false),
    async repeatUncertain() {
      await sql`update poststelle.outbound_messages set next_attempt_at = now()
        where state = 'uncertain' and next_attempt_at is not null`.execute(db)
      return await settle(true)
    },
    async close() {
      await rig.close()
      await server.stop()
    },
  })
  return sendRig
}

/**
 * Whoever settles a message waits until `end` is called, which also ends those that wait: as if their process had gone before it
 * could say so. `blocked` resolves when somebody waits.
 */
export async function holdSettlements(url: string): Promise<{ blocked(): Promise<boolean>; end(): Promise<void> }> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  // those that are being settled at this moment are let go: to wait for them would be a deadlock
  await client.query(
    `begin; select from poststelle.outbound_messages where state = 'sending' for no key update skip locked`,
  )
  const waiting = `select pid from pg_stat_activity
    where datname = current_database() and pg_backend_pid() = any(pg_blocking_pids(pid))`
  return {
    blocked: async () => (await client.query(waiting)).rows.length > 0,
    async end() {
      // whoever waited behind one that ends here is the next to wait for us
      let left = true
      while (left) left = (await client.query(`select pg_terminate_backend(pid) from (${waiting}) w`)).rows.length > 0
      await client.end()
    },
  }
}
