// The dashboard as its users meet it: a real browser, the real service, the simulator's servers.

import { sql } from 'kysely'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts'
import { ADMIN, askWith, setUp } from '../support/api.ts'
import { axe, launch, logIn, openPage, type Watched } from '../support/browser.ts'
import { openDashboard, type Dashboard } from '../support/dashboard.ts'
import { flagLanes, seedAccounts, seedClient } from '../support/health-rows.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { insertMessage, settle } from '../support/inbox-rows.ts'
import { putInState, waitingMail } from '../support/outbox-rows.ts'
import { de } from '../../web/src/i18n/de.ts'
import { en } from '../../web/src/i18n/en.ts'
import { reconcileIncidents } from '../../src/health/reconcile-incidents.ts'

const EMAIL = 'info@muster.example'
let browser: Browser
beforeAll(async () => {
  browser = await launch()
})
afterAll(() => browser.close())

describe('from the first start to a mended account', () => {
  let sandbox: Sandbox
  let house: TestHouse
  let dashboard: Dashboard
  let watched: Watched
  let page: Page
  beforeAll(async () => {
    sandbox = await startSandbox({ mailsPerAccount: 0, pollIntervalSeconds: 5 })
    house = await openHouse({ caPem: sandbox.caPem })
    dashboard = await openDashboard(house, ['api', 'worker'], { POSTSTELLE_EGRESS_ALLOW: '127.0.0.0/8,::1' })
    watched = await openPage(browser, dashboard.base)
    ;({ page } = watched)
  })
  afterAll(async () => {
    await watched.context.close()
    await dashboard.close()
    await house.close()
    await sandbox.close()
  })

  test('the link of the first set-up makes an administrator, once', async () => {
    await page.goto(dashboard.service.setUpUrl ?? '')
    await page.getByLabel(/^Benutzername/).fill(ADMIN.name)
    await page.getByLabel(/^Kennwort(?! wied)/).fill(ADMIN.password)
    await page.getByLabel(/^Kennwort wiederholen/).fill(ADMIN.password)
    await page.getByRole('button', { name: 'Anlegen und anmelden' }).click()
    await page.getByText('Noch keine Konten').waitFor()
    const other = await openPage(browser, dashboard.base)
    await other.page.goto(dashboard.service.setUpUrl ?? '')
    await other.page.getByText('Dieser Link gilt nicht mehr').waitFor()
    expect(await other.page.getByRole('button', { name: 'Anlegen und anmelden' }).count()).toBe(0)
    await other.context.close()
  })

  test('the wizard leads to a working account', async () => {
    const account = sandbox.accounts.find(({ email }) => email === EMAIL)
    if (account?.auth.type !== 'oauth2') throw new Error('the simulator has changed')
    await page.getByRole('link', { name: 'Konto anlegen' }).click()
    await page.getByLabel(/^E-Mail-Adresse/).fill(EMAIL)
    await page.getByLabel('Allgemein').check()
    await page.getByRole('button', { name: 'Weiter' }).click()
    await page.getByLabel(/^Kennwort \+ Endpunkt-URL/).check()
    // with the blank that the manual's own example has
    await page.getByLabel(/^OAuth 2.0 Endpunkt-URL/).fill(account.auth.token_endpoint.replace('/oauth2', ' /oauth2'))
    await page.getByLabel(/^OAuth 2.0 Client-ID/).fill(account.auth.client_id)
    await page.getByLabel(/^OAuth 2.0 Scope/).fill(account.auth.scope)
    await page
      .getByLabel(/^Kennwort/)
      .last()
      .fill(account.auth.password ?? '')
    await page.getByRole('button', { name: 'Weiter' }).click()
    for (const [title, at] of [
      ['POP3-Server', account.pop3],
      ['SMTP-Server', account.smtp],
    ] as const) {
      const fields = page.getByRole('group', { name: title })
      await fields.getByLabel(/^Server/).fill(at.host)
      await fields.getByLabel(/^Port/).fill(String(at.port))
    }
    await page.getByRole('button', { name: 'Speichern und testen' }).click()
    await page.getByText('ein Leerzeichen in der URL wurde entfernt').waitFor()
    await page.getByRole('button', { name: 'Test starten' }).click()
    await page.getByText('Alles in Ordnung.').waitFor({ timeout: 30_000 })
    expect(await page.getByText('misslungen').count()).toBe(0)
    await page.getByRole('link', { name: 'Fertig: zum Konto' }).click()
    await page.getByRole('heading', { level: 1, name: EMAIL }).waitFor()
  })

  test('mail that arrives is found by its words', async () => {
    sandbox.deliver(
      EMAIL,
      Buffer.from(
        `From: Anna <anna@kunde.example>\r\nTo: ${EMAIL}\r\nSubject: Schrauben M8\r\nMessage-ID: <1@x>\r\n\r\nBitte 400 Zylinderkopfschrauben.\r\n`,
      ),
    )
    await page.getByRole('button', { name: 'Jetzt abrufen' }).click()
    await page.getByText('Der Abruf ist vorgemerkt.').waitFor()
    await page.getByRole('link', { name: 'Posteingang' }).click()
    await page.getByRole('link', { name: 'Schrauben M8' }).waitFor({ timeout: 60_000 })
    await page.getByLabel('Filter', { exact: true }).fill('zylinderkopfschraube von:anna')
    await expect.poll(() => page.url()).toContain('filter=')
    await page.getByRole('link', { name: 'Schrauben M8' }).click()
    await page.getByText('Bitte 400 Zylinderkopfschrauben.').waitFor()
  })

  test('SMTP AUTH that is switched off is a card that says who must do what, and goes once it is mended', async () => {
    sandbox.break(EMAIL, 'smtp-auth-disabled-tenant')
    await page.goto('/outbox/new')
    await page.getByRole('textbox', { name: /^An/ }).fill('kunde@kunde.example')
    await page.getByLabel(/^Betreff/).fill('Wartet')
    await page.getByLabel(/^Text/).fill('Text')
    await page.getByRole('button', { name: 'Senden' }).click()
    await page.getByRole('link', { name: 'Übersicht' }).click()
    await page.getByText(/^SMTP AUTH im Mandanten aus/).waitFor({ timeout: 60_000 })
    await page.getByText('1 Konto braucht Sie.').waitFor()
    await page.getByText(/Zuständig: Microsoft-365-Administration/).waitFor()
    sandbox.heal(EMAIL)
    await page.goto('/accounts')
    await page.getByRole('link', { name: EMAIL }).click()
    await page.getByRole('button', { name: 'Verbindung testen' }).click()
    await page.getByRole('button', { name: 'Test starten' }).click()
    await page.getByText('Alles in Ordnung.').waitFor({ timeout: 30_000 })
    await page.keyboard.press('Escape')
    await page.getByRole('link', { name: 'Übersicht' }).click()
    await page.getByText('Nichts zu tun. Einen ruhigen Tag.').waitFor({ timeout: 60_000 })
    await expect.poll(() => sandbox.accepted.count, { timeout: 60_000 }).toBe(1)
  })

  test('a message that is sent shows every attempt', async () => {
    await page.getByRole('link', { name: 'Postausgang' }).click()
    await page.getByRole('link', { name: 'Neue Nachricht' }).click()
    await page.getByRole('textbox', { name: /^An/ }).fill('kunde@kunde.example')
    await page.getByLabel(/^Betreff/).fill('Angebot 7')
    await page.getByLabel(/^Text/).fill('Guten Tag,\nanbei unser Angebot.')
    await page.getByRole('button', { name: 'Senden' }).click()
    await page.getByRole('heading', { level: 1, name: 'Angebot 7' }).waitFor()
    await page.getByText('Übergeben', { exact: true }).waitFor({ timeout: 60_000 })
    const timeline = page.locator('.timeline')
    await timeline.getByText('Versuch 1').waitFor()
    await timeline.getByText(/bestätigt/).waitFor()
    expect(sandbox.accepted.count).toBe(2)
  })

  test('nothing was loaded from outside, and no script has failed', () => {
    expect(watched.outside).toEqual([])
    expect(watched.errors).toEqual([])
    expect(watched.dialogs).toEqual([])
  })
})

/** Every text of a language, but for those that are made of figures. */
const leaves = (messages: object): string[] =>
  Object.values(messages).flatMap((value: unknown) =>
    typeof value === 'string' ? [value] : typeof value === 'object' && value !== null ? leaves(value) : [],
  )

describe('an installation with much in it', () => {
  let house: TestHouse
  let dashboard: Dashboard
  const ids = { account: 0, message: 0, outbox: 0 }
  beforeAll(async () => {
    house = await openHouse()
    const client = await seedClient(house.db, 'bm_mail', 'common')
    await sql`update poststelle.oauth_clients set secret_expires_at = now() + interval '23 days'`.execute(house.db)
    const accounts = await seedAccounts(house.db, 30, { domain: 'firma.example', clientId: client })
    ids.account = accounts[0] ?? 0
    await flagLanes(house.db, accounts.slice(0, 3), 'send', { flag: 'smtp_auth_disabled_tenant', scope: 'tenant' })
    await flagLanes(house.db, accounts.slice(5, 6), 'receive', { flag: 'invalid_credentials', scope: 'account' })
    await reconcileIncidents(house.db)
    ids.message = await insertMessage(house.db, { accountId: ids.account, subject: 'Rechnung 4711' })
    await settle(house.database.pool, ids.message, { text: 'Im Anhang.', html: '<p>Im <b>Anhang</b>.</p>' })
    await waitingMail(house.db, accounts[10] ?? 0, 10_000)
    await sql`update poststelle.outbound_messages set state = 'held', hold_reason = 'manual', next_attempt_at = null, size_bytes = 900`.execute(
      house.db,
    )
    await waitingMail(house.db, accounts[11] ?? 0, 4)
    const { rows } = await sql<{
      id: number
    }>`select id from poststelle.outbound_messages where state = 'queued' order by id`.execute(house.db)
    ids.outbox = rows[0]?.id ?? 0
    for (const [at, state] of (['failed', 'uncertain', 'deferred'] as const).entries())
      await putInState(house.db, rows[at]?.id ?? 0, state)
    dashboard = await openDashboard(house)
    await setUp(dashboard.service)
    await (
      await askWith(house.db, dashboard.base, 'admin')
    )('POST', '/api/v1/notify', { kind: 'webhook', label: 'ERP', address: 'https://hooks.example.com/poststelle' })
  })
  afterAll(async () => {
    await dashboard.close()
    await house.close()
  })

  const SCREENS: readonly (readonly [name: string, path: () => string])[] = [
    ['overview', () => '/'],
    ['accounts', () => '/accounts'],
    ['account', () => `/accounts/${ids.account}`],
    ['wizard', () => '/accounts/new'],
    ['import', () => '/accounts/import'],
    ['inbox', () => '/inbox'],
    ['message', () => `/inbox/${ids.message}`],
    ['outbox', () => '/outbox'],
    ['outgoing message', () => `/outbox/${ids.outbox}`],
    ['compose', () => '/outbox/new'],
    ['attention', () => '/attention'],
    ['incidents', () => '/incidents'],
    ['incident', () => '/incidents/1'],
    ['queues', () => '/queues-overview'],
    ['me', () => '/settings'],
    ['people', () => '/settings/people'],
    ['tokens', () => '/settings/tokens'],
    ['notices', () => '/settings/notices'],
    ['apps', () => '/settings/apps'],
    ['retention', () => '/settings/retention'],
    ['keys', () => '/settings/keys'],
    ['audit', () => '/settings/audit'],
    ['system', () => '/settings/system'],
    ['reference', () => '/reference'],
  ]

  test.each([
    ['de', 1280, false],
    ['en', 1280, true],
    ['de', 360, true],
    ['en', 360, false],
  ] as const)('keeps nobody out: %s, %i px, dark %s', async (language, width, dark) => {
    const { page, context, outside, errors } = await openPage(browser, dashboard.base, {
      locale: language === 'de' ? 'de-DE' : 'en-GB',
      width,
      dark,
    })
    await logIn(page)
    const found: string[] = []
    for (const [name, path] of SCREENS) {
      await page.goto(path())
      await page.getByRole('heading', { level: 1 }).waitFor()
      await expect.poll(() => page.locator('[aria-busy="true"]').count(), { timeout: 10_000, interval: 20 }).toBe(0)
      for (const { id, nodes } of await axe(page)) found.push(`${name}: ${id}: ${nodes.join(' | ')}`)
      for (const text of await strangers(page, language)) found.push(`${name}: ${text}`)
      const wide = await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')
      if (Number(wide) > 0) found.push(`${name}: ${String(wide)} px too wide`)
    }
    expect(found).toEqual([])
    expect(outside).toEqual([])
    expect(errors).toEqual([])
    await context.close()
  })

  /** Texts of the other language, and names that only programs know. */
  async function strangers(page: Page, language: 'de' | 'en'): Promise<string[]> {
    const own = new Set(leaves(language === 'de' ? de : en))
    const other = new Set(leaves(language === 'de' ? en : de).filter((text) => !own.has(text)))
    const shown = await page.evaluate<string[]>(`[...document.querySelectorAll('body *')].flatMap((element) => [
      ...(element.closest('.mono, code, pre, [lang="en"], .own-words') ? [] : [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim())),
      element.getAttribute('aria-label'), element.getAttribute('placeholder'), element.getAttribute('title')]).filter(Boolean)`)
    return [...new Set(shown)]
      .filter((text) => !['firma.example', 'bm_mail', 'English', 'Deutsch'].includes(text))
      .filter((text) => other.has(text) || /^[a-z]+(?:[_.][a-z]+)+$/.test(text))
  }

  test('10,000 messages are released at once, counted first, while everything else goes on', async () => {
    const { page, context } = await openPage(browser, dashboard.base)
    await logIn(page)
    await page.goto('/outbox?filter=status:held')
    await page.getByRole('button', { name: 'Auf alle Treffer anwenden' }).click()
    await page.getByRole('menuitem', { name: 'Freigeben' }).click()
    await page.getByRole('button', { name: '10.000 Nachrichten freigeben' }).click()
    await page.getByText('10.000 von 10.000 geändert').waitFor({ timeout: 60_000 })
    const { rows } = await sql<{
      n: number
    }>`select count(*)::int as n from poststelle.outbound_messages where state = 'held'`.execute(house.db)
    expect(rows[0]?.n).toBe(0)
    await page.goto('/settings/audit')
    await page.getByText('viele freigegeben').waitFor()
    await context.close()
  })

  test('the language changes at once, and stays with whoever has chosen it', async () => {
    const { page, context } = await openPage(browser, dashboard.base)
    await logIn(page)
    await page.getByRole('heading', { name: /Braucht Aufmerksamkeit/ }).waitFor()
    await page.getByRole('button', { name: ADMIN.name }).click()
    await page.getByRole('menuitem', { name: 'English' }).click()
    await page.getByRole('heading', { name: /Needs attention/ }).waitFor()
    expect(await page.locator('html').getAttribute('lang')).toBe('en')
    await context.close()
    const other = await openPage(browser, dashboard.base) // another browser, which wants German
    await logIn(other.page)
    await other.page.getByRole('heading', { name: /Needs attention/ }).waitFor()
    await other.page.getByRole('button', { name: ADMIN.name }).click()
    await other.page.getByRole('menuitem', { name: 'Deutsch' }).click()
    await other.page.getByRole('heading', { name: /Braucht Aufmerksamkeit/ }).waitFor()
    await other.context.close()
  })

  test('the keyboard alone is enough', async () => {
    const { page, context } = await openPage(browser, dashboard.base)
    await logIn(page)
    await page.keyboard.press('Tab')
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Zum Inhalt springen')
    await page.keyboard.press('g')
    await page.keyboard.press('k')
    await page.getByRole('heading', { level: 1, name: 'Konten' }).waitFor()
    await page.getByRole('row', { name: 'a1@firma.example' }).waitFor()
    await page.keyboard.press('j')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: /@firma\.example/ }).waitFor()
    await page.getByRole('button', { name: 'Versand anhalten' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').fill('a17@')
    await page.getByRole('option', { name: 'a17@firma.example' }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: 'a17@firma.example' }).waitFor()
    await page.keyboard.press('?')
    await page.getByRole('dialog', { name: 'Tastenkürzel' }).waitFor()
    await page.keyboard.press('Escape')
    await page.keyboard.press('g')
    await page.keyboard.press('a')
    await page.getByRole('heading', { level: 1, name: 'Postausgang' }).waitFor()
    await page.keyboard.press('/')
    await page.keyboard.type('status:uncertain')
    await page.getByText('Ungewiss').nth(1).waitFor()
    await context.close()
  })

  test('counters lead to lists with the same count', async () => {
    const { page, context } = await openPage(browser, dashboard.base)
    await logIn(page)
    const card = page.getByRole('link', { name: /Gesperrt/ })
    expect(await card.textContent()).toMatch(/^4/) // three that cannot send, one that cannot receive
    await card.click()
    await page.getByText('4 Konten').waitFor()
    await context.close()
  })
})
