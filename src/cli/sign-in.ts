// `poststelle account sign-in`: a person signs in for an account, by browser, by a code entered elsewhere, or by a link that is sent
// to the owner of the mailbox.

import type { Command } from 'commander'
import { DAY_MS } from '../base/clock.ts'
import { publicUrl, redirectUri } from '../base/config.ts'
import { Failure, UserError } from '../base/failure.ts'
import type { FinishedSignIn } from '../credentials/sign-in.ts'
import { findAccount } from '../db/accounts.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'
import type { CommandContext, Installation } from './installation.ts'
import { addLanguageOption, chosenLanguage, type LanguageOption } from './language.ts'
import { answer, JSON_FLAG, withInstallation, type JsonOption } from './run.ts'

interface Options extends JsonOption, LanguageOption {
  readonly device?: boolean
  readonly link?: boolean
  readonly days: string
  readonly paste?: boolean
}

export function addSignInCommand(account: Command, ctx: CommandContext): void {
  addLanguageOption(
    account
      .command('sign-in')
      .argument('<account>', 'id or e-mail address')
      .description('sign in for an account at its provider; its mail flows when that is done')
      .option('--device', 'by a code that is entered in any browser')
      .option('--link', 'print a link for the owner of the mailbox, good once')
      .option('--days <n>', 'how long the link is good', '7')
      .option('--paste', 'read the address that the browser came back to from standard input, and finish')
      .option(...JSON_FLAG),
  ).action((idOrEmail: string, options: Options) => {
    if ([options.device, options.link, options.paste].filter(Boolean).length > 1)
      throw new UserError('--device, --link and --paste exclude each other', { exitCode: 2 })
    return withInstallation(ctx, (installation) => run(ctx, installation, idOrEmail, options))
  })
}

async function run(
  ctx: CommandContext,
  installation: Installation,
  idOrEmail: string,
  options: Options,
): Promise<void> {
  const signIn = await import('../credentials/sign-in.ts')
  const language = chosenLanguage(options)
  const account = signIn.requireSignIn(await findAccount(installation.db, idOrEmail))
  const about = { ...installation, command: true }
  const done = (finished: FinishedSignIn): void =>
    answer(ctx, options, { account: account.email, state: 'signed_in', identity: finished.identity ?? null }, () =>
      doneText(finished, language),
    )
  if (options.paste) {
    const pasted = queryOf((await ctx.terminal.stdin()).toString('utf8').trim())
    return done(await told(language, () => signIn.finishByBrowser(about, pasted)))
  }
  if (options.link) {
    const days = Number(options.days)
    if (!Number.isInteger(days) || days < 1 || days > 30)
      throw new UserError('--days is not a whole number from 1 to 30', { exitCode: 2 })
    const { secret, expiresAt } = await signIn.beginByLink(about, account, days * DAY_MS)
    const url = `${publicUrl(installation.config)}/sign-in/${secret}`
    return answer(ctx, options, { account: account.email, url, expires_at: expiresAt }, () =>
      linkText(url, expiresAt, language),
    )
  }
  if (options.device) {
    const finished = await told(language, () =>
      signIn.byDevice(about, account, ({ userCode, verificationUri, expiresInSeconds }) =>
        answer(
          ctx,
          options,
          {
            account: account.email,
            user_code: userCode,
            verification_uri: verificationUri,
            expires_in: expiresInSeconds,
          },
          () => deviceText(userCode, verificationUri, language),
        ),
      ),
    )
    return done(finished)
  }
  const begun = await signIn.beginByBrowser(about, account, redirectUri(installation.config))
  answer(ctx, options, { account: account.email, url: begun.url, expires_at: begun.expiresAt }, () =>
    browserText(begun.url, language),
  )
  if (options.json || !ctx.terminal.inIsTTY) return
  const pasted = (await ctx.terminal.ask(language === 'de' ? 'Adresse: ' : 'Address: ')).trim()
  if (pasted !== '') done(await told(language, () => signIn.finishByBrowser(about, queryOf(pasted))))
}

async function told<T>(language: Language, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    const { label, meaning, steps } = explain(error.flag, language)
    throw new UserError(
      [`${label} [${error.flag}]: ${error.evidence}`, meaning, ...steps.map((step) => `- ${step}`)].join('\n'),
      {
        cause: error,
      },
    )
  }
}

function queryOf(text: string): URLSearchParams {
  const url = URL.parse(text)
  if (!url) throw new UserError('that is not an address', { exitCode: 2 })
  return url.searchParams
}

const doneText = ({ account, identity }: FinishedSignIn, language: Language): string =>
  language === 'de'
    ? `${account.email}: angemeldet${identity === undefined ? '' : ` als ${identity}`}. Abruf und Versand laufen an.\n`
    : `${account.email}: signed in${identity === undefined ? '' : ` as ${identity}`}. Mail begins to flow.\n`

const browserText = (url: string, language: Language): string =>
  language === 'de'
    ? `Diese Adresse im Browser öffnen und sich anmelden (10 Minuten gültig):\n\n${url}\n\nKommt der Browser nicht zu Poststelle zurück, die Adresse aus seiner Adresszeile hier einfügen, oder später an\n"poststelle account sign-in <Konto> --paste" geben. Sonst einfach Enter.\n`
    : `Open this address in a browser and sign in (good for 10 minutes):\n\n${url}\n\nIf the browser does not come back to Poststelle, paste the address of its address bar here, or give it to\n"poststelle account sign-in <account> --paste". Otherwise press Enter.\n`

const deviceText = (code: string, url: string, language: Language): string =>
  language === 'de'
    ? `Im Browser ${url} öffnen und den Code ${code} eingeben. Warte darauf ...\n`
    : `Open ${url} in a browser and enter the code ${code}. Waiting for it ...\n`

function linkText(url: string, expiresAt: Date, language: Language): string {
  const day = expiresAt.toLocaleDateString(language === 'de' ? 'de-DE' : 'en-GB', { dateStyle: 'long' })
  return language === 'de'
    ? `Diesen Link dem Inhaber des Postfachs schicken. Er gilt einmal, bis ${day}:\n\n${url}\n`
    : `Send this link to the owner of the mailbox. It is good once, until ${day}:\n\n${url}\n`
}
