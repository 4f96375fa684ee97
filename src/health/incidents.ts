// Which causes are there now: groups the open flags of all accounts by what is to blame. Pure; the flag's scope decides the
// subject, and what a host or our own network does is told once, whatever each account makes of it.

import type { Direction } from '../base/failure.ts'
import { MINUTE_MS } from '../base/clock.ts'
import type { OpenBreaker, OpenFlag } from '../db/incidents.ts'
import type { SubjectKind } from '../db/schema-incidents.ts'

export interface Member {
  readonly accountId: number
  readonly direction: Direction
}

/** Flags are the same cause where `cause`, kind and key of the subject are the same. */
export interface Cause {
  readonly cause: string
  readonly subjectKind: SubjectKind
  readonly subjectKey: string
  readonly subject: string
  readonly flag: string
  readonly scope: string
  readonly persistence: string
  readonly evidence: string
  readonly since: Date
  readonly members: readonly Member[]
}

export interface Surroundings {
  readonly breakers: readonly OpenBreaker[]
  /** Names of different servers that the accounts use. */
  readonly hostsInUse: number
  /** An incident of our own network is open. */
  readonly networkDown: boolean
  readonly now: Date
}

export const keyOf = (of: Pick<Cause, 'cause' | 'subjectKind' | 'subjectKey'>): string =>
  `${of.cause} ${of.subjectKind} ${of.subjectKey}`

/** A host that is not to be reached answers now so and now so: that is one cause. */
export const UNREACHABLE: ReadonlySet<string> = new Set([
  'dns_failure',
  'server_unreachable',
  'connect_timeout',
  'connection_lost',
  'pop3_connection_lost',
  'smtp_unreachable',
  'token_endpoint_unreachable',
])
export const NETWORK_FLAG = 'network_down'

/** Rules that a tenant sets for all, although each account meets them alone. */
const RULES_OF_A_TENANT: ReadonlySet<string> = new Set([
  'mfa_required',
  'mfa_enrollment_required',
  'mfa_reauth_required',
  'conditional_access_blocked',
  'basic_auth_disabled',
])
/** Endpoints that serve every tenant have none in their path. */
const ANY_TENANT: ReadonlySet<string> = new Set(['common', 'organizations', 'consumers'])
/** As for the lamps: what passes by is no incident before. */
const FAILURES = 3
const FAILING_AFTER_MS = 30 * MINUTE_MS

interface Group extends Omit<Cause, 'members' | 'flag'> {
  readonly flags: Map<string, number>
  members: Map<string, Member>
  evidence: string
  since: Date
}

export function causesOf(flags: readonly OpenFlag[], about: Surroundings): Cause[] {
  const breakers = new Map(about.breakers.map((breaker) => [`${breaker.direction} ${breaker.host}`, breaker]))
  const tenantByDomain = tenants(flags)
  const groups = new Map<string, Group>()
  for (const flag of flags) {
    if (flag.paused) continue
    const breaker = flag.stage === 'token' ? undefined : breakers.get(`${flag.direction} ${flag.host}`)
    const found = subjectOf(flag, breaker, tenantByDomain)
    if (!found.atBreaker && !isLasting(flag, about.now)) continue
    add(groups, found, flag.flag, flag, [{ accountId: flag.accountId, direction: flag.direction }])
  }
  for (const breaker of about.breakers) {
    const members = breaker.accountIds.map((accountId) => ({ accountId, direction: breaker.direction }))
    if (members.length === 0 || isRuleOfOthers(breaker)) continue
    const { evidence, openedAt: since } = breaker
    add(groups, ofBreaker(breaker), breaker.flag, { evidence, since }, members)
  }
  return throughNetwork([...groups.values()], about).map(({ flags: seen, members, ...group }) => ({
    ...group,
    flag: group.subjectKind === 'network' ? NETWORK_FLAG : mostFrequent(seen),
    members: [...members.values()],
  }))
}

/** The host refuses logins because of a tenant or an app: they are to blame, and have their own. */
const isRuleOfOthers = ({ kind, scope, flag }: OpenBreaker): boolean =>
  kind === 'login' && (scope === 'tenant' || scope === 'app' || RULES_OF_A_TENANT.has(flag))

function isLasting({ persistence, scope, stage, state, occurrences, since }: OpenFlag, now: Date): boolean {
  // known before the tokens that are still good run out
  const toCome = scope === 'app' && stage === 'token'
  if (persistence !== 'transient') return state === 'failing' || state === 'blocked' || toCome
  return state === 'failing' || occurrences >= FAILURES || now.getTime() - since.getTime() >= FAILING_AFTER_MS
}

type Subject = Pick<Cause, 'cause' | 'subjectKind' | 'subjectKey' | 'subject' | 'scope' | 'persistence'>

function subjectOf(
  flag: OpenFlag,
  breaker: OpenBreaker | undefined,
  tenantByDomain: ReadonlyMap<string, string>,
): Subject & { atBreaker: boolean } {
  const common = { cause: flag.flag, scope: flag.scope, persistence: flag.persistence, atBreaker: false }
  const isRule = RULES_OF_A_TENANT.has(flag.flag)
  if (breaker?.kind === 'login' && flag.scope === 'account' && !isRule && !isRuleOfOthers(breaker))
    return { ...ofBreaker(breaker), atBreaker: true }
  const name = flag.stage === 'token' ? hostOfUrl(flag.tokenEndpoint) : nameOfHost(flag.host)
  if (UNREACHABLE.has(flag.flag) && name !== '')
    return {
      ...common,
      cause: 'unreachable',
      subjectKind: 'host',
      subjectKey: name,
      subject: name,
      atBreaker: breaker?.kind === 'network',
    }
  const scope = isRule ? 'tenant' : flag.scope
  if (scope === 'app' && flag.clientPk !== null)
    return {
      ...common,
      subjectKind: 'client',
      subjectKey: String(flag.clientPk),
      subject: flag.clientLabel === '' ? flag.clientId : flag.clientLabel,
    }
  if (scope === 'tenant') {
    const domain = domainOf(flag.email)
    const tenant = tenantOf(flag) ?? tenantByDomain.get(domain) ?? domain
    return { ...common, subjectKind: 'tenant', subjectKey: tenant, subject: isId(tenant) ? domain : tenant }
  }
  if ((scope === 'server' || scope === 'network') && name !== '')
    return { ...common, subjectKind: 'host', subjectKey: name, subject: name }
  if (scope === 'service') return { ...common, subjectKind: 'service', subjectKey: '', subject: 'Poststelle' }
  return { ...common, subjectKind: 'account', subjectKey: String(flag.accountId), subject: flag.email }
}

function ofBreaker({ host, kind, flag, scope, persistence }: OpenBreaker): Subject {
  const name = nameOfHost(host)
  const cause = kind === 'login' ? 'login_refused' : UNREACHABLE.has(flag) ? 'unreachable' : flag
  return { cause, subjectKind: 'host', subjectKey: name, subject: name, scope, persistence }
}

function add(
  groups: Map<string, Group>,
  subject: Subject,
  flag: string,
  seen: { evidence: string; since: Date },
  members: readonly Member[],
): void {
  const key = keyOf(subject)
  const { cause, subjectKind, subjectKey, subject: name, scope, persistence } = subject
  const group = groups.get(key) ?? {
    cause,
    subjectKind,
    subjectKey,
    subject: name,
    scope,
    persistence,
    flags: new Map<string, number>(),
    members: new Map<string, Member>(),
    evidence: seen.evidence,
    since: seen.since,
  }
  groups.set(key, group)
  if (seen.since < group.since) [group.since, group.evidence] = [seen.since, seen.evidence]
  group.flags.set(flag, (group.flags.get(flag) ?? 0) + 1)
  for (const member of members) group.members.set(`${member.accountId} ${member.direction}`, member)
}

/** Where most hosts cannot be reached at once, it is not the hosts. It stays so until few are left. */
function throughNetwork(groups: readonly Group[], { hostsInUse, networkDown, now }: Surroundings): Group[] {
  const hosts = groups.filter(({ cause }) => cause === 'unreachable')
  const most = hosts.length >= hostsInUse || (hosts.length >= 3 && hosts.length > hostsInUse / (networkDown ? 3 : 2))
  if (hosts.length < 2 || !most) return [...groups]
  const first = hosts.toSorted((a, b) => a.since.getTime() - b.since.getTime())[0]
  const network: Group = {
    cause: 'unreachable',
    subjectKind: 'network',
    subjectKey: '',
    subject: 'network',
    scope: 'network',
    persistence: 'transient',
    flags: new Map(),
    members: new Map(hosts.flatMap(({ members }) => [...members])),
    evidence: first?.evidence ?? '',
    since: first?.since ?? now,
  }
  return [...groups.filter((group) => !hosts.includes(group)), network]
}

const mostFrequent = (flags: ReadonlyMap<string, number>): string =>
  [...flags].toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? ''

const nameOfHost = (host: string): string => host.replace(/:\d+$/, '')
const domainOf = (email: string): string => email.slice(email.lastIndexOf('@') + 1).toLowerCase()
const isId = (tenant: string): boolean => /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(tenant)
const hostOfUrl = (url: string): string => (URL.canParse(url) ? new URL(url).hostname : '')

/** The tenant in the path of Microsoft's token endpoint. */
function tenantOf({ provider, tokenEndpoint }: OpenFlag): string | undefined {
  if (provider !== 'microsoft' || !URL.canParse(tokenEndpoint)) return undefined
  const [, tenant = ''] = new URL(tokenEndpoint).pathname.toLowerCase().split('/')
  return tenant === '' || ANY_TENANT.has(tenant) ? undefined : tenant
}

/** An account that logs in with a password belongs to the tenant of its neighbours. */
function tenants(flags: readonly OpenFlag[]): ReadonlyMap<string, string> {
  return new Map(
    flags.flatMap((flag): [string, string][] => {
      const tenant = tenantOf(flag)
      return tenant === undefined ? [] : [[domainOf(flag.email), tenant]]
    }),
  )
}
