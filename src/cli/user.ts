// `poststelle user`: who may log in at the dashboard. Also the way back in for somebody who has lost password or second factor.

import { Option, type Command } from 'commander'
import { UserError } from '../base/failure.ts'
import { invite } from '../contract/invite.ts'
import { newOperator, operatorJson } from '../contract/people.ts'
import { changeRights, createOperator, findOperator, listOperators, type Operator } from '../db/operators.ts'
import { ROLES_OF_PEOPLE, type PersonRole } from '../db/schema-people.ts'
import { endSessions } from '../db/sessions.ts'
import type { Language } from '../health/phrases.ts'
import { commandActor } from './actor.ts'
import type { CommandContext, Installation } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { printableLine } from './printable.ts'
import { age, answer, JSON_FLAG, table, withInstallation, type JsonOption } from './run.ts'

type Options = JsonOption & LanguageOption

interface InviteOptions extends Options {
  readonly role: PersonRole
  readonly readMail?: true
}

interface ChangeOptions extends Options {
  readonly role?: PersonRole
  readonly readMail?: boolean
  readonly lock?: true
  readonly unlock?: true
  readonly removeSecondFactor?: true
}

export function addUserCommands(program: Command, ctx: CommandContext): void {
  const user = program.command('user').description('who may log in at the dashboard')
  const add = (command: Command): Command => addLanguageOption(command.option(...JSON_FLAG))
  add(user.command('list').description('everybody with role and last login')).action((options: Options) =>
    withInstallation(ctx, async ({ db, clock }) => {
      const all = await listOperators(db)
      answer(ctx, options, all.map(operatorJson), () =>
        listText(all, chosenLanguage(options), clock.now(), ctx.terminal.columns),
      )
    }),
  )
  add(
    user
      .command('invite')
      .argument('<name>', 'user name')
      .description('a link by which somebody chooses a password: for a new user, or for one who has lost it')
      .addOption(new Option('--role <role>', 'of a new user').choices([...ROLES_OF_PEOPLE]).default('reader'))
      .option('--read-mail', 'a new user may read the contents of mail'),
  ).action((name: string, options: InviteOptions) =>
    withInstallation(ctx, async (installation) => await inviteUser(ctx, installation, name, options)),
  )
  add(
    user
      .command('change')
      .argument('<name>', 'user name')
      .description('change what a user may; open sessions end')
      .addOption(new Option('--role <role>', 'the new role').choices([...ROLES_OF_PEOPLE]))
      .option('--read-mail', 'the user may read the contents of mail')
      .option('--no-read-mail', 'the user may not')
      .addOption(new Option('--lock', 'the user may not log in any more').conflicts('unlock'))
      .option('--unlock', 'the user may log in again')
      .option('--remove-second-factor', 'the user has lost it, and logs in without until a new one is set up'),
  ).action((name: string, options: ChangeOptions) =>
    withInstallation(ctx, async (installation) => await changeUser(ctx, installation, name, options)),
  )
}

async function found({ db }: Installation, name: string): Promise<Operator> {
  const one = await findOperator(db, { name })
  if (!one)
    throw new UserError(`there is no user "${printableLine(name, 60)}"; "poststelle user list" shows who is there`, {
      exitCode: 2,
    })
  return one
}

async function inviteUser(
  ctx: CommandContext,
  installation: Installation,
  name: string,
  options: InviteOptions,
): Promise<void> {
  const { db } = installation
  const parsed = newOperator.safeParse({ name, role: options.role, may_read_mail: options.readMail ?? false })
  if (!parsed.success)
    throw new UserError(`user name: ${parsed.error.issues[0]?.message ?? 'is not one'}`, { exitCode: 2 })
  await createOperator(db, { name, role: options.role, mayReadMail: options.readMail ?? false })
  const link = await invite(installation, commandActor(), await found(installation, name))
  answer(ctx, options, link, () => inviteText(link, chosenLanguage(options)))
}

async function changeUser(
  ctx: CommandContext,
  installation: Installation,
  name: string,
  options: ChangeOptions,
): Promise<void> {
  const { role, readMail: mayReadMail, lock, unlock, removeSecondFactor } = options
  if ([role, mayReadMail, lock, unlock, removeSecondFactor].every((value) => value === undefined))
    throw new UserError('nothing is to be changed; --help shows what can be', { exitCode: 2 })
  const { db } = installation
  const { id } = await found(installation, name)
  const left = await changeRights(db, commandActor(), id, {
    role,
    mayReadMail,
    ...((lock ?? unlock) && { disabled: lock === true }),
    ...(removeSecondFactor && { totp: null }),
  })
  if (!left) throw new UserError('nobody would be left who may administer; nothing was changed')
  await endSessions(db, { operatorId: id })
  const changed = await found(installation, name)
  answer(ctx, options, operatorJson(changed), () =>
    listText([changed], chosenLanguage(options), installation.clock.now(), ctx.terminal.columns),
  )
}

const inviteText = (
  { operator, url, expires_at: until }: Awaited<ReturnType<typeof invite>>,
  language: Language,
): string =>
  language === 'de'
    ? `Einmal gültig, bis ${until}, für ${operator}:\n${url}\n`
    : `Good once, until ${until}, for ${operator}:\n${url}\n`

function stateOf({ disabledAt, passwordHash }: Operator): readonly [german: string, english: string] {
  if (disabledAt) return ['gesperrt', 'locked']
  return passwordHash === null ? ['eingeladen', 'invited'] : ['', '']
}

function listText(all: readonly Operator[], language: Language, now: Date, columns: number): string {
  const german = language === 'de'
  if (all.length === 0)
    return german
      ? 'Noch niemand. Der Link zum Einrichten steht in der Ausgabe von "poststelle start".\n'
      : 'Nobody yet. The link to begin with is in what "poststelle start" prints.\n'
  const head = german
    ? ['ID', 'BENUTZER', 'ROLLE', 'INHALTE', 'ZWEITER FAKTOR', 'LETZTE ANMELDUNG', '']
    : ['ID', 'USER', 'ROLE', 'CONTENTS', 'SECOND FACTOR', 'LAST LOGIN', '']
  const [yes, no] = german ? (['ja', 'nein'] as const) : (['yes', 'no'] as const)
  const rows = all.map((one) => [
    String(one.id),
    printableLine(one.name, 40),
    one.role,
    one.mayReadMail ? yes : no,
    one.totpConfirmedAt ? yes : no,
    one.lastLoginAt ? age(one.lastLoginAt, now) : '-',
    stateOf(one)[german ? 0 : 1],
  ])
  return table([head, ...rows], columns)
}
