// Which failures say more about the settings of this process than about the account. Pure.

import type { Failure } from '../base/failure.ts'

const JUDGED_BY_SETTINGS = new Set(['egress_refused', 'plaintext_refused', 'tls_certificate_untrusted'])

/** Another process, with POSTSTELLE_EGRESS_ALLOW and POSTSTELLE_CA_FILE set otherwise, may not refuse. */
export const isOwnRefusal = ({ verdict }: Failure): boolean => JUDGED_BY_SETTINGS.has(verdict.flag)
