// Judges hosts in settings that are addresses themselves, or names of this machine. Other names are judged when they are
// resolved, at every connection.

import { isIP } from 'node:net'
import { createEgress } from '../net/egress.ts'
import type { HostCheck } from './fields.ts'

/** `allowed`: the networks of POSTSTELLE_EGRESS_ALLOW. */
export function hostCheck(allowed: readonly string[]): HostCheck {
  const egress = createEgress(allowed)
  return (host) => {
    const address = literal(host.toLowerCase().replace(/\.$/, ''))
    const kind = address === undefined ? undefined : egress.refuses(address)
    if (kind === undefined) return undefined
    const article = /^[aeiou]/i.test(kind) ? 'an' : 'a'
    return `${host} is in a private network (${article} ${kind} address) that POSTSTELLE_EGRESS_ALLOW does not name`
  }
}

/** Also 0x7f000001, 2130706433 and 0177.1: the system's resolver would take them for addresses. */
function literal(host: string): string | undefined {
  if (host === 'localhost' || host.endsWith('.localhost')) return '127.0.0.1'
  if (isIP(host) !== 0) return host
  if (!/^(0x[0-9a-f]+|\d+)(\.(0x[0-9a-f]+|\d+)){0,3}$/.test(host)) return undefined
  const normal = URL.parse(`http://${host}/`)?.hostname ?? ''
  return isIP(normal) === 0 ? undefined : normal
}
