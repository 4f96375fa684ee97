// What `poststelle account test` says, in German and English.

import type { StepName, StepReport } from '../accounts/probe-steps.ts'
import { stepTitle } from '../accounts/step-titles.ts'
import { explain } from '../failures/catalogue.ts'
import type { Language } from '../health/phrases.ts'

const ICONS: Readonly<Record<StepReport['state'], string>> = { ok: '✔', note: '!', failed: '✋', skipped: '–' }
const WIDTH = 32

const clock = (at: string, language: Language): string =>
  new Date(at).toLocaleString(language === 'de' ? 'de-DE' : 'en-GB', { dateStyle: 'short', timeStyle: 'short' })

/** One line, and under a failure what it means, who must act, and what to click. */
export function stepText(step: StepReport, language: Language): string {
  const side = step.side === null ? '' : ` ${step.side.toUpperCase()}`
  const title = step.name.startsWith('login_') ? stepTitle(step, language) : `${stepTitle(step, language)}${side}`
  const number = String(step.step).padStart(2)
  const ms = step.state === 'skipped' ? ''.padStart(8) : `${step.ms} ms`.padStart(8)
  const lines = [
    `${number} ${ICONS[step.state]} ${title.padEnd(WIDTH)}${ms}  ${evidenceText(step, language)}`.trimEnd(),
  ]
  if (step.nextTryAt !== null)
    lines.push(
      language === 'de'
        ? `     Nächster Versuch erlaubt: ${clock(step.nextTryAt, language)}`
        : `     Next try allowed: ${clock(step.nextTryAt, language)}`,
    )
  if (step.flag !== null && step.state !== 'ok') lines.push(...remedy(step.flag, language))
  return lines.map((line) => `${line}\n`).join('')
}

/** What we say ourselves; what servers say stays in their words. */
const GERMAN: Readonly<Record<string, string>> = {
  'nothing to correct': 'nichts richtigzustellen',
  'logins were refused before': 'Anmeldungen wurden zuvor abgelehnt',
  'the service is logged in right now': 'der Dienst ist gerade angemeldet',
  'the service does not run': 'der Dienst läuft nicht',
  'it takes both POP3 and SMTP': 'dazu braucht es POP3 und SMTP',
}

function evidenceText({ state, evidence }: StepReport, language: Language): string {
  const [, after] = /^skipped after (\S+)$/.exec(evidence) ?? []
  if (state !== 'skipped' || after === undefined) return language === 'de' ? (GERMAN[evidence] ?? evidence) : evidence
  const title = stepTitle({ name: after as StepName }, language)
  return language === 'de' ? `ausgelassen, weil „${title}“ misslang` : `skipped, because “${title}” failed`
}

function remedy(flag: string, language: Language): string[] {
  const { label, meaning, actor, steps } = explain(flag, language)
  const [means, acts, clicks] =
    language === 'de' ? ['Bedeutung', 'Wer handelt', 'Nächster Schritt'] : ['Meaning', 'Who must act', 'Next step']
  return [
    `     ${label} [${flag}]`,
    `     ${means}: ${meaning}`,
    `     ${acts}: ${actor}`,
    ...steps.map(
      (step, at) => `     ${(at === 0 ? `${clicks}: ` : '').padEnd((clicks?.length ?? 0) + 2)}${at + 1}. ${step}`,
    ),
  ]
}

export function summary(email: string, steps: readonly StepReport[], language: Language): string {
  const failed = steps.filter(({ state }) => state === 'failed').length
  const waits = steps.filter(({ nextTryAt }) => nextTryAt !== null).length
  if (failed > 0)
    return language === 'de'
      ? `\n✋ ${email}: ${failed === 1 ? 'ein Schritt ist' : `${failed} Schritte sind`} misslungen.\n`
      : `\n✋ ${email}: ${failed === 1 ? 'one step' : `${failed} steps`} failed.\n`
  if (waits > 0)
    return language === 'de'
      ? `\n– ${email}: Die Anmeldung wurde nicht versucht, damit das Konto nicht gesperrt wird.\n`
      : `\n– ${email}: no login was tried, so that the account is not locked.\n`
  return language === 'de' ? `\n✔ ${email}: alles in Ordnung.\n` : `\n✔ ${email}: all is well.\n`
}

export function differenceText(
  differences: readonly { step: StepReport; was: StepReport }[],
  before: Date,
  language: Language,
): string {
  const at = clock(before.toISOString(), language)
  const state = ({ state, flag }: StepReport): string => {
    if (state === 'failed') return flag === null ? ICONS.failed : explain(flag, language).label
    return language === 'de' ? 'ging' : 'went well'
  }
  return differences
    .map(({ step, was }) => {
      const side = step.side === null ? '' : ` ${step.side.toUpperCase()}`
      return language === 'de'
        ? `Am ${at} war es bei Schritt ${step.step} (${stepTitle(step, language)}${side}) anders: ${state(was)}; jetzt: ${state(step)}.\n`
        : `On ${at} step ${step.step} (${stepTitle(step, language)}${side}) was different: ${state(was)}; now: ${state(step)}.\n`
    })
    .join('')
}
