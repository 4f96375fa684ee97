// The wizard, and what is easily entered wrongly: each is put right and said so, or refused in words that name the field. In German.

import { sql } from 'kysely'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { setUp } from '../support/api.ts'
import { launch, logIn, openPage } from '../support/browser.ts'
import { openDashboard, type Dashboard } from '../support/dashboard.ts'
import { removeAccounts } from '../support/health-rows.ts'
import { openHouse, type TestHouse } from '../support/house.ts'

const GUID = '6b29fc40-ca47-1067-b31d-00dd010662da'
const TENANT = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'
const ENDPOINT = `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`

interface Entered {
  readonly email: string
  readonly preset: string
  readonly flow: RegExp
  readonly endpoint: string
  readonly tenant: string
  readonly paste: string
  readonly clientId: string
  readonly clientSecret: string
  readonly scope: string
  readonly password: string
  readonly pop3: Host
  readonly smtp: Host
}
interface Host {
  readonly host?: string
  readonly port?: string
  readonly security?: 'TLS' | 'STARTTLS'
}

let house: TestHouse
let dashboard: Dashboard
let browser: Browser
let page: Page
beforeAll(async () => {
  house = await openHouse()
  dashboard = await openDashboard(house)
  await setUp(dashboard.service)
  browser = await launch()
  ;({ page } = await openPage(browser, dashboard.base))
  await logIn(page)
})
afterAll(async () => {
  await browser.close()
  await dashboard.close()
  await house.close()
})
beforeEach(async () => {
  await removeAccounts(house.db)
  await page.goto('/accounts/new')
})

const fillWhere = async (label: RegExp, text: string | undefined): Promise<void> => {
  if (text !== undefined) await page.getByLabel(label).last().fill(text)
}

async function enterHost(title: string, host: Host | undefined): Promise<void> {
  if (!host) return
  const fields = page.getByRole('group', { name: title })
  if (host.host !== undefined) await fields.getByLabel(/^Server/).fill(host.host)
  if (host.port !== undefined) await fields.getByLabel(/^Port/).fill(host.port)
  if (host.security !== undefined) {
    await fields.getByRole('combobox', { name: 'Sichere Verbindung' }).click()
    await page.getByRole('option', { name: host.security === 'TLS' ? /^TLS/ : /^STARTTLS/ }).click()
  }
}

/** A generic account with a password, but for what is given. */
async function enter(given: Partial<Entered>): Promise<void> {
  await fillWhere(/^E-Mail-Adresse/, given.email ?? 'info@muster.example')
  await page.getByLabel(given.preset ?? 'Allgemein').check()
  await page.getByRole('button', { name: 'Weiter' }).click()
  const flow = given.flow ?? /^Nur Kennwort/
  await page.getByLabel(flow).check()
  await fillWhere(/^Mandanten-ID/, given.tenant)
  await fillWhere(/^OAuth 2.0 Endpunkt-URL/, given.endpoint)
  await fillWhere(/^OAuth 2.0 Client-ID/, given.clientId)
  await fillWhere(/^OAuth 2.0 Client Secret/, given.clientSecret)
  await fillWhere(/^Aus dem Entra-Portal/, given.paste)
  await fillWhere(/^OAuth 2.0 Scope/, given.scope)
  await fillWhere(/^Kennwort/, given.password ?? (given.flow ? undefined : 'geheim'))
  await page.getByRole('button', { name: 'Weiter' }).click()
  if ((given.preset ?? 'Allgemein') === 'Allgemein') {
    await enterHost('POP3-Server', { host: 'pop.muster.example', ...given.pop3 })
    await enterHost('SMTP-Server', { host: 'smtp.muster.example', ...given.smtp })
  } else {
    await enterHost('POP3-Server', given.pop3)
    await enterHost('SMTP-Server', given.smtp)
  }
  await page.getByRole('button', { name: 'Speichern und testen' }).click()
}

const stored = async (): Promise<Record<string, unknown> | undefined> =>
  (
    await sql<Record<string, unknown>>`
      select a.email, a.pop3_host, a.pop3_port, a.pop3_security, a.smtp_port, a.smtp_security, c.token_endpoint, c.client_id, a.oauth_scope
      from poststelle.accounts a left join poststelle.oauth_clients c on c.id = a.oauth_client_id`.execute(house.db)
  ).rows[0]

const APP: Partial<Entered> = {
  preset: 'Microsoft 365',
  flow: /^Anwendung ohne Benutzer/,
  tenant: TENANT,
  clientId: GUID,
  clientSecret: 'a~Wert_mit~allem',
}

const PUT_RIGHT: readonly (readonly [
  trap: string,
  entered: Partial<Entered>,
  said: string | undefined,
  stored: object,
])[] = [
  [
    '995 with STARTTLS',
    { pop3: { port: '995', security: 'STARTTLS' } },
    'Port 995 spricht vom ersten Byte an TLS; „STARTTLS“ wurde als „TLS“ gespeichert',
    { pop3_security: 'tls' },
  ],
  [
    '465 with STARTTLS',
    { smtp: { port: '465', security: 'STARTTLS' } },
    'Port 465 spricht vom ersten Byte an TLS',
    { smtp_security: 'tls' },
  ],
  [
    '587 with TLS',
    { smtp: { port: '587', security: 'TLS' } },
    'Port 587 beginnt ohne TLS; „TLS“ wurde als „STARTTLS“ gespeichert',
    { smtp_security: 'starttls' },
  ],
  [
    '110 with TLS',
    { pop3: { port: '110', security: 'TLS' } },
    'Port 110 beginnt ohne TLS',
    { pop3_security: 'starttls' },
  ],
  [
    'a blank inside the URL',
    {
      flow: /^Kennwort \+ Endpunkt-URL/,
      endpoint: ENDPOINT.replace('/oauth2', ' /oauth2'),
      clientId: GUID,
      scope: 'x',
      password: 'geheim',
    },
    'ein Leerzeichen in der URL wurde entfernt',
    { token_endpoint: ENDPOINT },
  ],
  [
    'the ID of the secret in place of its value',
    { ...APP, clientSecret: GUID },
    'sieht nach der ID des Geheimnisses aus',
    { client_id: GUID },
  ],
  [
    'a client ID that is none',
    { ...APP, clientId: 'bm_mail' },
    'eine Anwendungs-ID von Microsoft hat die Form einer GUID',
    { client_id: 'bm_mail' },
  ],
  [
    'the scope of another way of signing in',
    { ...APP, scope: 'https://outlook.office.com/POP.AccessAsUser.All' },
    'eine Anwendung ohne Benutzer braucht den Scope, der auf /.default endet',
    {},
  ],
  [
    'a scope without offline_access',
    {
      preset: 'Microsoft 365',
      flow: /^Im Browser anmelden/,
      tenant: TENANT,
      clientId: GUID,
      scope: 'https://outlook.office.com/POP.AccessAsUser.All',
    },
    'ohne offline_access muss sich jede Stunde jemand neu anmelden',
    {},
  ],
  [
    'the scope of another cloud',
    { ...APP, scope: 'https://outlook.office365.us/.default' },
    'gehört zu einer anderen Cloud als der Token-Endpunkt',
    {},
  ],
  [
    'a host in capitals, with blanks around it',
    { pop3: { host: '  POP.Muster.Example ' } },
    undefined,
    { pop3_host: 'pop.muster.example' },
  ],
  [
    'a host with a dot at its end',
    { pop3: { host: 'pop.muster.example.' } },
    undefined,
    { pop3_host: 'pop.muster.example' },
  ],
  ['blanks around the address', { email: '  info@muster.example ' }, undefined, { email: 'info@muster.example' }],
  [
    'the text of the portal in place of the IDs',
    {
      ...APP,
      tenant: '',
      clientId: '',
      paste: `Anzeigename\nbm_mail\nAnwendungs-ID (Client)\n${GUID}\nObjekt-ID\n11111111-2222-3333-4444-555555555555\nVerzeichnis-ID (Mandant)\n${TENANT}\n`,
    },
    undefined,
    { client_id: GUID, token_endpoint: ENDPOINT },
  ],
]

test.each(PUT_RIGHT)('%s is put right, or said', async (_, entered, said, expected) => {
  await enter(entered)
  await page.getByRole('link', { name: 'Fertig: zum Konto' }).waitFor()
  const notes = await page.locator('main').textContent()
  expect(notes).toContain(said ?? 'Fertig: zum Konto')
  expect(await stored()).toMatchObject(expected)
})

const REFUSED: readonly (readonly [trap: string, entered: Partial<Entered>, said: string])[] = [
  [
    'an address in place of a host',
    { pop3: { host: 'https://pop.muster.example/' } },
    'pop3.host: ist kein Servername',
  ],
  ['a host of the own network', { smtp: { host: '10.0.0.7' } }, 'smtp.host: 10.0.0.7 liegt in einem privaten Netz'],
  [
    'an endpoint without https',
    {
      flow: /^Kennwort \+ Endpunkt-URL/,
      endpoint: 'http://login.muster.example/token',
      clientId: 'x',
      scope: 'x',
      password: 'geheim',
    },
    'auth.token_endpoint: beginnt nicht mit https://',
  ],
  [
    'a placeholder that was left',
    {
      flow: /^Kennwort \+ Endpunkt-URL/,
      endpoint: 'https://login.microsoftonline.com/{Mandanten-ID}/oauth2/v2.0/token',
      clientId: GUID,
      scope: 'x',
      password: 'geheim',
    },
    'auth.token_endpoint: enthält noch einen Platzhalter in Klammern; dorthin gehört die Mandanten-ID',
  ],
]

test.each(REFUSED)('%s is refused by its name, and nothing is stored', async (_, entered, said) => {
  await enter(entered)
  await page.getByText(said).waitFor()
  expect(await stored()).toBeUndefined()
})

test('a secret is in no answer and on no page', async () => {
  await enter({ ...APP, clientSecret: 'kanarienvogel~7' })
  await page.getByRole('link', { name: 'Fertig: zum Konto' }).click()
  await page.getByRole('tab', { name: 'Zugangsdaten' }).click()
  await page
    .getByText(/Fingerabdruck/)
    .first()
    .waitFor()
  expect(await page.content()).not.toContain('kanarienvogel')
})
