import { describe, expect, test } from 'vitest'
import type { OpenBreaker, OpenFlag, OpenIncident } from '../../../src/db/incidents.ts'
import { reconcile } from '../../../src/health/incident-life.ts'
import { causesOf, keyOf, type Cause } from '../../../src/health/incidents.ts'

const NOW = new Date('2026-11-26T12:00:00Z')
const ago = (minutes: number): Date => new Date(NOW.getTime() - minutes * 60_000)
const TENANT = '7a3f6c1e-52a4-4b0e-9a53-0d6c6a1f7b11'

const flag = (accountId: number, over: Partial<OpenFlag> = {}): OpenFlag => ({
  accountId,
  email: `a${accountId}@firma.example`,
  direction: 'receive',
  flag: 'invalid_credentials',
  scope: 'account',
  persistence: 'human',
  stage: 'pop3',
  evidence: '-ERR',
  since: ago(5),
  occurrences: 1,
  state: over.persistence === 'transient' ? 'failing' : 'blocked',
  paused: false,
  provider: 'microsoft',
  clientPk: 7,
  clientLabel: 'bm_mail',
  clientId: 'c-7',
  tokenEndpoint: `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`,
  host: 'pop.firma.example:995',
  ...over,
})
const breaker = (over: Partial<OpenBreaker> = {}): OpenBreaker => ({
  host: 'pop.firma.example:995',
  direction: 'receive',
  kind: 'login',
  flag: 'invalid_credentials',
  evidence: '-ERR',
  openedAt: ago(3),
  scope: 'account',
  persistence: 'human',
  accountIds: [1, 2, 3],
  ...over,
})
const unreachable = (accountId: number, host: string, over: Partial<OpenFlag> = {}): OpenFlag =>
  flag(accountId, {
    flag: 'server_unreachable',
    scope: 'network',
    persistence: 'transient',
    host: `${host}:995`,
    ...over,
  })
const groups = (
  flags: OpenFlag[],
  about: { breakers?: OpenBreaker[]; hostsInUse?: number; networkDown?: boolean } = {},
): string[] =>
  causesOf(flags, { breakers: [], hostsInUse: 99, networkDown: false, now: NOW, ...about }).map(
    (cause) =>
      `${cause.flag} ${cause.subjectKind} ${cause.subject}: ${new Set(cause.members.map((m) => m.accountId)).size}`,
  )

describe('the cause of an open flag', () => {
  const app = { flag: 'client_secret_expired', scope: 'app', stage: 'token' }
  const tenant = { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' }
  test.each<[string, OpenFlag[], string[]]>([
    ['nothing', [], []],
    [
      'of the app is its registration',
      [flag(1, app), flag(2, { ...app, direction: 'send' }), flag(2, app)],
      ['client_secret_expired client bm_mail: 2'],
    ],
    [
      'of the app without a label is its client id',
      [flag(1, { ...app, clientLabel: '' })],
      ['client_secret_expired client c-7: 1'],
    ],
    [
      'of two apps are two',
      [flag(1, app), flag(2, { ...app, clientPk: 8, clientLabel: 'other' })],
      ['client_secret_expired client bm_mail: 1', 'client_secret_expired client other: 1'],
    ],
    [
      'of the tenant is the tenant, called by its domain',
      [flag(1, tenant), flag(2, tenant)],
      ['smtp_auth_disabled_tenant tenant firma.example: 2'],
    ],
    [
      'of the tenant is found by the domain, too, for an account with a password',
      [flag(1, tenant), flag(2, { ...tenant, clientPk: null, tokenEndpoint: '' })],
      ['smtp_auth_disabled_tenant tenant firma.example: 2'],
    ],
    [
      'of the tenant is the domain where the endpoint serves all',
      [flag(1, { ...tenant, tokenEndpoint: 'https://login.microsoftonline.com/common/oauth2/v2.0/token' })],
      ['smtp_auth_disabled_tenant tenant firma.example: 1'],
    ],
    [
      'that is a rule of a tenant is the tenant although each account meets it alone',
      [flag(1, { flag: 'mfa_required' }), flag(2, { flag: 'mfa_required' })],
      ['mfa_required tenant firma.example: 2'],
    ],
    [
      'of a server is its name',
      [flag(1, { flag: 'starttls_missing', scope: 'server' })],
      ['starttls_missing host pop.firma.example: 1'],
    ],
    [
      'of the token endpoint is its name',
      [flag(1, { flag: 'token_endpoint_unavailable', scope: 'server', persistence: 'transient', stage: 'token' })],
      ['token_endpoint_unavailable host login.microsoftonline.com: 1'],
    ],
    [
      'of a host that answers now so and now so is one',
      [unreachable(1, 'h'), unreachable(2, 'h'), unreachable(3, 'h', { flag: 'dns_failure' })],
      ['server_unreachable host h: 3'],
    ],
    [
      'of us is us',
      [flag(1, { flag: 'storage_failure', scope: 'service', persistence: 'transient' })],
      ['storage_failure service Poststelle: 1'],
    ],
    [
      'of the account is the account',
      [flag(1), flag(2)],
      ['invalid_credentials account a1@firma.example: 1', 'invalid_credentials account a2@firma.example: 1'],
    ],
    ['of what is switched off is none', [flag(1, { paused: true })], []],
    ['that passes by is none', [unreachable(1, 'h', { state: 'ok', occurrences: 2 })], []],
    [
      'that came three times is one, although a human blocks the lane',
      [unreachable(1, 'h', { state: 'blocked', occurrences: 3 })],
      ['server_unreachable host h: 1'],
    ],
    [
      'that lasts half an hour is one',
      [unreachable(1, 'h', { state: 'ok', since: ago(30) })],
      ['server_unreachable host h: 1'],
    ],
  ])('%s', (_what, flags, expected) => {
    expect(groups(flags)).toEqual(expected)
  })

  test('is the host where its breaker for refused logins is open, and all its accounts wait', () => {
    expect(groups([flag(1), flag(2), flag(9, { host: 'other:995' })], { breakers: [breaker()] })).toEqual([
      'invalid_credentials host pop.firma.example: 3',
      'invalid_credentials account a9@firma.example: 1',
    ])
  })

  test('is the tenant where the host refuses logins by its rule', () => {
    const rule = { flag: 'security_defaults_block', scope: 'tenant' } as const
    expect(groups([flag(1, rule), flag(2, rule)], { breakers: [breaker(rule)] })).toEqual([
      'security_defaults_block tenant firma.example: 2',
    ])
  })

  test('is the host at its first failure where its breaker says that it is not to be reached', () => {
    const open = breaker({ kind: 'network', flag: 'connect_timeout', scope: 'network', persistence: 'transient' })
    const flags = [unreachable(1, 'pop.firma.example', { state: 'ok' })]
    expect(groups(flags, { breakers: [open] })).toEqual(['server_unreachable host pop.firma.example: 3'])
  })

  const down = (hosts: number): OpenFlag[] => Array.from({ length: hosts }, (_, at) => unreachable(at, `h${at}`))
  test.each<[number, number, boolean, boolean]>([
    [1, 1, false, false],
    [2, 2, false, true],
    [2, 3, false, false],
    [3, 5, false, true],
    [3, 6, false, false],
    [3, 6, true, true],
    [3, 9, true, false],
    [2, 5, true, false],
  ])(
    '%i of %i hosts out of reach, network down before: %s; it is our network: %s',
    (hosts, hostsInUse, networkDown, expected) => {
      const found = groups(down(hosts), { hostsInUse, networkDown })
      expect(found.length === 1 && found[0] === `network_down network network: ${hosts}`).toBe(expected)
    },
  )

  test('keeps the oldest evidence and since when it is there', () => {
    const [cause] = causesOf(
      [flag(1, { ...app, evidence: 'second' }), flag(2, { ...app, evidence: 'first', since: ago(90) })],
      { breakers: [], hostsInUse: 0, networkDown: false, now: NOW },
    )
    expect(cause).toMatchObject({ evidence: 'first', since: ago(90) })
  })
})

const cause = (accounts: number[], over: Partial<Cause> = {}): Cause => ({
  cause: 'f',
  subjectKind: 'client',
  subjectKey: '7',
  subject: 'bm_mail',
  flag: 'f',
  scope: 'app',
  persistence: 'human',
  evidence: 'e',
  since: ago(60),
  members: accounts.map((accountId) => ({ accountId, direction: 'send' })),
  ...over,
})
const incident = (accounts: number[], over: Partial<OpenIncident> = {}): OpenIncident => ({
  id: 1,
  cause: 'f',
  subjectKind: 'client',
  subjectKey: '7',
  subject: 'bm_mail',
  flag: 'f',
  openedAt: ago(60),
  goneAt: null,
  accountsTold: accounts.length,
  toldAt: ago(60),
  firstToldAt: ago(60),
  members: accounts.map((accountId) => ({ accountId, direction: 'send' })),
  concerned: accounts.length,
  succeeded: 0,
  ...over,
})
const few = [1, 2]
const wide = { cause: 'unreachable', subjectKind: 'network', subjectKey: '' } as const

describe('an incident', () => {
  test.each<[string, OpenIncident[], Cause[], object]>([
    ['opens with its cause', [], [cause(few)], { open: [{ subject: 'bm_mail' }], present: [] }],
    [
      'goes on unchanged',
      [incident(few)],
      [cause(few)],
      { open: [], present: [{ accounts: 2, grew: false, back: false }], joined: [], left: [] },
    ],
    [
      'takes in who joins, and lets go who is well',
      [incident(few)],
      [cause([2, 3])],
      { joined: [{ incidentId: 1, members: [{ accountId: 3 }] }], left: [{ members: [{ accountId: 1 }] }] },
    ],
    [
      'has grown when it is twice what was told',
      [incident(few)],
      [cause([1, 2, 3, 4])],
      { present: [{ accounts: 4, told: 4, grew: true }] },
    ],
    ['has not grown by one', [incident(few)], [cause([1, 2, 3])], { present: [{ accounts: 3, told: 2, grew: false }] }],
    [
      'has not grown while it gathers: that is its beginning',
      [incident(few, { firstToldAt: ago(14), toldAt: ago(14) })],
      [cause([1, 2, 3, 4, 5])],
      { present: [{ accounts: 5, told: 5, grew: false }] },
    ],
    [
      'has not grown again so soon',
      [incident(few, { toldAt: ago(14) })],
      [cause([1, 2, 3, 4, 5])],
      { present: [{ told: 2, grew: false }] },
    ],
    ['whose flags are gone waits', [incident(few)], [], { gone: [1], closed: [] }],
    [
      'waits for half a minute',
      [incident([], { goneAt: ago(0.4), concerned: 2, succeeded: 1 })],
      [],
      { gone: [], closed: [] },
    ],
    [
      'is over then, if somebody had a success',
      [incident([], { goneAt: ago(0.5), concerned: 2, succeeded: 1 })],
      [],
      { closed: [{ id: 1, endedAt: ago(0.5) }] },
    ],
    ['is not over without a success', [incident([], { goneAt: ago(9), concerned: 2 })], [], { closed: [] }],
    [
      'is over after ten minutes all the same',
      [incident([], { goneAt: ago(10), concerned: 2 })],
      [],
      { closed: [{ id: 1 }] },
    ],
    [
      'whose cause comes back goes on',
      [incident([], { goneAt: ago(0.3), concerned: 2, succeeded: 2 })],
      [cause(few)],
      { open: [], closed: [], present: [{ back: true }] },
    ],
    [
      'is over when all its accounts are deleted or switched off',
      [incident(few, { concerned: 0 })],
      [],
      { closed: [{ id: 1 }], gone: [] },
    ],
    [
      'becomes part of a wider one that has all its accounts',
      [incident(few)],
      [cause([1, 2, 3], wide)],
      { merged: [{ id: 1, into: keyOf(wide) }], open: [{ subjectKind: 'network' }], gone: [] },
    ],
    ['does not where one account is missing', [incident(few)], [cause([1], wide)], { merged: [], gone: [1] }],
    [
      'does not become part of another of its kind',
      [incident(few)],
      [cause(few, { cause: 'g' })],
      { merged: [], gone: [1] },
    ],
  ])('%s', (_what, incidents, causes, expected) => {
    expect(reconcile(incidents, causes, NOW)).toMatchObject(expected)
  })
})
