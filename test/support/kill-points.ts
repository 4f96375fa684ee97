// Kills a worker process where the POP3 server sees it arrive: the named points of a session. The server is the one that knows,
// so that nothing in the program has to.

import { sql } from 'kysely'
import { openCrashRig, type CrashRig } from './crash.ts'
import { sampleMessage } from './mail-world.ts'
import { inspect, type Findings, type Truth } from './oracle.ts'
import { startPopbox, type BoxEvent, type Popbox, type Twist } from './popbox.ts'

export interface KillPoint {
  /** seen: the server has the command and did nothing yet. answered: the answer has left. */
  readonly when: 'seen' | 'answered'
  readonly verb: 'RETR' | 'DELE' | 'QUIT'
  /** For QUIT: the server does not carry it out, as if it had come a moment too late. */
  readonly dropped?: boolean
}

export interface KillPlan {
  readonly kills: number
  readonly point: KillPoint
  readonly accounts: number
  /** Messages in each maildrop at the beginning. */
  readonly each: number
  /** The accounts delete on the server what is stored. */
  readonly deletes: boolean
  /** Nobody helps to notice the last kill. */
  readonly timed?: boolean
}

export interface KillOutcome extends Findings {
  readonly kills: number
  /** From a kill that nobody helped to notice to the next login. */
  readonly recoverySeconds: number | undefined
  /** RETR of a message that was sent whole before. */
  readonly sentAgain: number
}

/** So many unread messages are there at each kill. */
const FRESH = 40

export async function killAt(plan: KillPlan): Promise<KillOutcome> {
  const box = await startPopbox()
  const over = plan.deletes ? { delete_after_days: 0 } : {}
  const users = Array.from({ length: plan.accounts }, (_, i) => `user${i + 1}@example.test`)
  for (const user of users) fill(box, user, plan.each)
  const rig = await openCrashRig({ accounts: users.map((user) => box.account(user, over)) })
  try {
    await rig.start()
    let recoverySeconds: number | undefined
    for (let kill = 1; kill <= plan.kills; kill++) {
      await strike(box, rig, plan.point)
      const killedAt = Date.now()
      const timed = plan.timed && kill === plan.kills
      if (!timed) await rig.noticeDeath()
      for (const user of users) fill(box, user, FRESH)
      await rig.start()
      if (timed) recoverySeconds = await untilLogin(box, rig, killedAt)
    }
    await settle(rig, () => deliveredTo(box))
    const findings = await inspect(rig.database.db, truths(box))
    return { ...findings, kills: rig.kills, recoverySeconds, sentAgain: sentAgain(box) }
  } finally {
    await rig.close()
    await box.stop()
  }
}

export function fill(box: Popbox, user: string, count: number): void {
  const maildrop = box.maildrop(user)
  for (let n = 1; n <= count; n++) maildrop.add(sampleMessage(user, maildrop.delivered.length + 1, 500 + (n % 7) * 600))
}

export const truths = (box: Popbox): Truth[] =>
  [...box.maildrops.values()].map(({ user, delivered, messages, deleted }) => ({
    email: user,
    delivered: delivered.map(({ sha256 }) => sha256),
    onServer: messages.map(({ sha256 }) => sha256),
    deleted: deleted.map(({ sha256 }) => sha256),
  }))

async function untilLogin(box: Popbox, rig: CrashRig, since: number): Promise<number> {
  await rig.until(
    () => 'nobody logs in again',
    () => box.seen.logins.some(({ at, accepted }) => accepted && at > since),
  )
  return (Date.now() - since) / 1000
}

export const deliveredTo = (box: Popbox): number =>
  [...box.maildrops.values()].reduce((sum, { delivered }) => sum + delivered.length, 0)

/** Kills at the point, at the n-th time a session passes it; n is different every time. */
async function strike(box: Popbox, rig: CrashRig, point: KillPoint): Promise<void> {
  let struck = false
  const nth = point.verb === 'QUIT' ? 1 : 1 + Math.floor(Math.random() * FRESH)
  const look = async (when: KillPoint['when'], event: BoxEvent): Promise<Twist | undefined> => {
    const here = when === point.when && event.verb === point.verb && event.nth === nth
    // a session that has nothing to delete is not what the point is about
    if (struck || !here || (point.verb === 'QUIT' && !deletesSomething(box, event))) return undefined
    struck = true
    await rig.kill()
    return point.dropped ? { reply: Buffer.alloc(0), hangUp: 'reset' } : undefined
  }
  box.hooks = {
    seen: (event) => look('seen', event),
    answered: async (event) => void (await look('answered', event)),
  }
  await rig.until(
    () => `${point.verb} ${nth} was not ${point.when}; the last: ${JSON.stringify(box.seen.commands.slice(-3))}`,
    () => struck,
  )
  box.hooks = {}
}

const deletesSomething = (box: Popbox, { session }: BoxEvent): boolean =>
  box.seen.commands.some((command) => command.session === session && command.line.startsWith('DELE'))

/** Everything stored and, by the accounts' policy, deleted; then every maildrop is listed once more. */
export async function settle(rig: CrashRig, delivered: () => number): Promise<void> {
  const { db } = rig.database
  const open = async (): Promise<string> => {
    const { rows } = await sql<{ stored: number; leased: number; open: number }>`select
      (select count(*) from poststelle.messages) as stored,
      (select count(*) from poststelle.lanes where lane = 'receive' and lease_token is not null) as leased,
      (select count(*) from poststelle.maildrop_uidls where state in ('listed', 'delete_intent')) as open`.execute(db)
    const { stored = 0, leased = 0, open: begun = 0 } = rows[0] ?? {}
    return stored >= delivered() && leased === 0 && begun === 0
      ? ''
      : `${stored} of ${delivered()} stored, ${leased} leases, ${begun} open rows`
  }
  let said = ''
  const quiet = async (): Promise<boolean> => (said = await open()) === ''
  await rig.until(() => said, quiet)
  const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(db)
  await rig.pollAll()
  await rig.until(
    () => 'not every maildrop was listed again',
    async () => {
      const late =
        await sql`select from poststelle.maildrops where last_poll_at is null or last_poll_at < ${rows[0]?.at}`.execute(
          db,
        )
      return late.rows.length === 0
    },
  )
  await rig.until(() => said, quiet)
}

function sentAgain(box: Popbox): number {
  let times = 0
  for (const { line } of box.seen.commands) times += line.startsWith('RETR') ? 1 : 0
  return times - deliveredTo(box)
}
