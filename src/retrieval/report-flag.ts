// Why a delivery report says that mail failed, as a flag of the catalogue. Pure.

import type { Provider } from '../base/failure.ts'
import { UNCLASSIFIED } from '../failures/catalogue.ts'
import { classify } from '../failures/classify.ts'
import type { ReportRow } from '../message/dsn.ts'

const HOSTS: readonly (readonly [RegExp, Provider])[] = [
  [/\.(?:outlook|exchangelabs)\.com$/i, 'microsoft'],
  [/(?:^|\.)google(?:mail)?\.com$/i, 'google'],
]

/** Null where nothing failed, or no rule knows the words. */
export function reportFlag({ action, status, diagnostic, reportingMta }: ReportRow): string | null {
  if (action !== 'failed') return null
  const provider = HOSTS.find(([host]) => host.test(reportingMta ?? ''))?.[1] ?? 'generic'
  const said = diagnostic ?? ''
  const reply = /^[45]\d\d[ -]/.test(said) ? said : `550 ${status ?? ''} ${said}`
  const { flag } = classify({ provider, stage: 'smtp', step: 'rcpt', reply })
  return flag === UNCLASSIFIED ? null : flag
}
