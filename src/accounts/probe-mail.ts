// The steps behind the login: what a maildrop shows, and whether the account may send as itself. Nothing is sent, nothing deleted.

import { Failure } from '../base/failure.ts'
import type { Account } from '../db/accounts.ts'
import type { Login } from '../net/net.ts'
import type { PopSession } from '../pop3/session.ts'
import type { Submission } from '../smtp/submission.ts'
import { asFailure, timed, type Opened } from './probe-server.ts'
import { failedBy, report, SKIPPED_AFTER, type StepReport } from './probe-steps.ts'

export interface MailStep {
  readonly step: StepReport
  /** What is to be held against the lane. */
  readonly failure?: Failure
}

/** Logs in once, whatever comes of it. */
export async function* probeMail(
  account: Account,
  opened: Opened,
  login: Login,
  { readOne = false }: { readOne?: boolean },
): AsyncGenerator<MailStep, void, undefined> {
  const { side, session } = opened
  const name = side === 'pop3' ? 'login_pop3' : 'login_smtp'
  const { ms, error } = await timed(() => session.login(login))
  if (error !== undefined) {
    const failure = asFailure(account, side, error)
    yield { step: failedBy(name, side, ms, failure), failure }
    yield {
      step: report(side === 'pop3' ? 'maildrop' : 'envelope', side, 'skipped', {
        evidence: `${SKIPPED_AFTER} ${name}`,
      }),
    }
    return
  }
  yield { step: report(name, side, 'ok', { ms, evidence: `${login.mechanism} as ${login.username}` }) }
  if (opened.side === 'pop3') yield* maildrop(account, opened.session, readOne)
  else yield* envelope(account, opened.session)
}

async function* maildrop(
  account: Account,
  session: PopSession,
  readOne: boolean,
): AsyncGenerator<MailStep, void, undefined> {
  const looked = await timed(async (): Promise<{ says: string; flag?: string; count: number }> => {
    const { count } = await session.stat()
    if (count === 0) return { says: 'empty', count }
    return { ...(await compare(session, count)), count }
  })
  if (looked.error !== undefined) {
    const failure = asFailure(account, 'pop3', looked.error)
    return yield { step: failedBy('maildrop', 'pop3', looked.ms, failure), failure }
  }
  const { says, flag, count } = looked.value ?? { says: '', count: 0 }
  yield { step: report('maildrop', 'pop3', flag ? 'note' : 'ok', { ms: looked.ms, evidence: says, flag }) }
  if (readOne && count > 0) {
    const read = await timed(() => firstLineOf(session, count))
    yield read.error === undefined
      ? {
          step: report('read_one', 'pop3', 'ok', {
            ms: read.ms,
            evidence: `head of message ${count}, ${read.value} bytes`,
          }),
        }
      : { step: failedBy('read_one', 'pop3', read.ms, asFailure(account, 'pop3', read.error)) }
  }
  await session.reset().catch(() => undefined) // some servers take what was read for marked
  await session.quit()
}

/** UIDLs must be as many as messages, and no two the same. */
async function compare(session: PopSession, count: number): Promise<{ says: string; flag?: string }> {
  try {
    const listing = await session.uidls()
    const names = [...listing].map(({ uidl }) => uidl)
    const shared = names.length - new Set(names).size
    const says = `${count} messages, ${names.length} UIDLs`
    if (shared > 0) return { says: `${says}, ${shared} of them shared`, flag: 'uidl_not_supported' }
    return { says }
  } catch (error) {
    if (!(error instanceof Failure) || session.ended) throw error
    return { says: `${count} messages; UIDL: ${error.evidence}`, flag: 'uidl_not_supported' }
  }
}

async function firstLineOf(session: PopSession, number: number): Promise<number> {
  for await (const message of session.tops([number], 0)) {
    if ('failure' in message) throw message.failure
    return message.head.length
  }
  return 0
}

/** The account as sender and as recipient; Exchange may object to a sender only after DATA, which nobody can try without sending. */
async function* envelope(
  { email, ...account }: Account,
  session: Submission,
): AsyncGenerator<MailStep, void, undefined> {
  const offered = await timed(() => session.tryEnvelope({ from: email, recipients: [email] }))
  if (offered.error !== undefined) {
    const failure = asFailure({ email, ...account }, 'smtp', offered.error)
    yield { step: failedBy('envelope', 'smtp', offered.ms, failure), failure }
  } else {
    const [recipient] = offered.value ?? []
    yield {
      step:
        recipient?.accepted === true
          ? report('envelope', 'smtp', 'ok', {
              ms: offered.ms,
              evidence: `${email} may send to itself; nothing was sent`,
            })
          : failedRecipient(offered.ms, recipient),
    }
  }
  await session.quit()
}

function failedRecipient(
  ms: number,
  recipient: { accepted: boolean; reply: string; failure?: Failure } | undefined,
): StepReport {
  if (recipient?.failure) return failedBy('envelope', 'smtp', ms, recipient.failure)
  return report('envelope', 'smtp', 'failed', { ms, evidence: recipient?.reply ?? '', flag: 'recipient_rejected' })
}
