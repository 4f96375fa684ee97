// Every action of the pages: reached by the keyboard alone, asked for as seriously as it is, and written into the audit log.

import { sql } from 'kysely'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN, askWith, setUp, type Ask } from '../support/api.ts'
import { launch, logIn, openPage } from '../support/browser.ts'
import { openDashboard, type Dashboard } from '../support/dashboard.ts'
import { seedAccounts } from '../support/health-rows.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { insertMessage, settle } from '../support/inbox-rows.ts'
import { putInState, waitingMail } from '../support/outbox-rows.ts'

let house: TestHouse
let dashboard: Dashboard
let browser: Browser
let page: Page
let ask: Ask
const ids: Record<string, number> = {}

beforeAll(async () => {
  house = await openHouse()
  const { db } = house
  const [account = 0, other = 0] = await seedAccounts(db, 2, { domain: 'firma.example' })
  Object.assign(ids, { account, other })
  await sql`insert into poststelle.lanes (account_id, lane, due_at) select a, l, now() + interval '1 hour'
    from unnest(${[account, other]}::bigint[]) a cross join (values ('receive'), ('send')) v (l) on conflict do nothing`.execute(
    db,
  )
  await waitingMail(db, account, 9)
  const { rows } = await sql<{ id: number }>`select id from poststelle.outbound_messages order by id`.execute(db)
  const states = ['deferred', 'queued', 'held', 'queued', 'failed', 'uncertain', 'uncertain'] as const
  for (const [at, state] of states.entries()) {
    ids[`${state}${at}`] = rows[at]?.id ?? 0
    await putInState(db, rows[at]?.id ?? 0, state)
  }
  ids['message'] = await insertMessage(db, { accountId: account, subject: 'Rechnung' })
  await settle(house.database.pool, ids['message'], { text: 'Text' })
  ids['quarantined'] = await insertMessage(db, { accountId: account, subject: 'Kaputt' })
  await settle(house.database.pool, ids['quarantined'], { quarantined: 'nested too deeply' })
  dashboard = await openDashboard(house)
  await setUp(dashboard.service)
  ask = await askWith(db, dashboard.base, 'admin')
  await ask('POST', '/api/v1/operators', { name: 'berta', role: 'reader' })
  await ask('POST', '/api/v1/tokens', { label: 'erp-prod', role: 'reader' })
  await ask('POST', '/api/v1/notify', {
    kind: 'webhook',
    label: 'ERP',
    address: 'https://hooks.example.com/poststelle',
  })
  browser = await launch()
  ;({ page } = await openPage(browser, dashboard.base))
  await logIn(page)
})
afterAll(async () => {
  await browser.close()
  await dashboard.close()
  await house.close()
})

interface Action {
  readonly path: () => string
  readonly button: string
  /** 0: at once; 1: a sentence of what follows; 2: with a count or a reason; 3: a word to be typed. */
  readonly level: 0 | 1 | 2 | 3
  readonly typed?: string
  readonly tab?: string
  readonly menu?: string
  readonly confirm?: RegExp
  readonly audited: string
}

const of = (name: string) => ids[name] ?? 0
const ACTIONS: readonly Action[] = [
  { path: () => `/accounts/${of('account')}`, button: 'Jetzt abrufen', level: 0, audited: 'polled by hand' },
  { path: () => `/accounts/${of('account')}`, button: 'Empfang anhalten', level: 2, audited: 'receive paused' },
  { path: () => `/accounts/${of('account')}`, button: 'Empfang fortsetzen', level: 0, audited: 'receive resumed' },
  { path: () => `/accounts/${of('account')}`, button: 'Versand anhalten', level: 2, audited: 'send paused' },
  { path: () => `/accounts/${of('account')}`, button: 'Versand fortsetzen', level: 0, audited: 'send resumed' },
  {
    path: () => `/accounts/${of('other')}`,
    tab: 'Einstellungen',
    button: 'Konto löschen',
    level: 3,
    typed: 'a2@firma.example',
    confirm: /^Endgültig löschen$/,
    audited: 'account deleted',
  },
  { path: () => `/outbox/${of('deferred0')}`, button: 'Jetzt versuchen', level: 0, audited: 'retry' },
  { path: () => `/outbox/${of('queued1')}`, button: 'Anhalten', level: 0, audited: 'hold' },
  { path: () => `/outbox/${of('held2')}`, button: 'Freigeben', level: 0, audited: 'release' },
  { path: () => `/outbox/${of('queued3')}`, button: 'Stornieren', level: 1, audited: 'cancel' },
  { path: () => `/outbox/${of('failed4')}`, button: 'Jetzt versuchen', level: 0, audited: 'retry' },
  { path: () => `/outbox/${of('uncertain5')}`, button: 'Gilt als übergeben', level: 1, audited: 'resolve_sent' },
  {
    path: () => `/outbox/${of('uncertain6')}`,
    button: 'Erneut senden (kann doppelt ankommen)',
    level: 1,
    audited: 'resolve_resend',
  },
  {
    path: () => '/outbox?filter=status:queued',
    button: 'Auf alle Treffer anwenden',
    menu: 'Anhalten',
    level: 2,
    confirm: /\d Nachrichten anhalten/,
    audited: 'hold, many',
  },
  { path: () => `/inbox/${of('message')}`, button: 'Als abgeholt markieren', level: 0, audited: 'acknowledged' },
  { path: () => `/inbox/${of('quarantined')}`, button: 'Noch einmal aufbereiten', level: 1, audited: 'parsed again' },
  { path: () => '/queues-overview', button: 'Anhalten: Abruf', level: 2, audited: 'queue paused' },
  { path: () => '/queues-overview', button: 'Fortsetzen: Abruf', level: 0, audited: 'queue resumed' },
  { path: () => '/settings/people', button: 'Aussperren: berta', level: 1, audited: 'operator changed' },
  { path: () => '/settings/people', button: 'Neuer Link: berta', level: 0, audited: 'operator invited' },
  { path: () => '/settings/tokens', button: 'Widerrufen: erp-prod', level: 1, audited: 'token revoked' },
  {
    path: () => '/settings/notices',
    button: 'Neues Geheimnis: ERP',
    level: 1,
    audited: 'secret of a web hook replaced',
  },
  { path: () => '/settings/notices', button: 'Entfernen: ERP', level: 1, audited: 'target of notices deleted' },
  { path: () => '/settings/keys', button: 'Alles neu versiegeln', level: 3, typed: 'test', audited: 'keys rotated' },
]

/** The name of what has the focus, as a screen reader says it. */
const focused = async (): Promise<string> =>
  await page.evaluate<string>(
    `(() => { const at = document.activeElement; return at === document.body ? ''
      : (at.getAttribute('aria-label') ?? (at.labels?.[0] ?? at).textContent ?? '').trim() })()`,
  )

/** By the tabulator alone. */
async function tabTo(name: string | RegExp): Promise<void> {
  const seen: string[] = []
  for (let pressed = 0; pressed < 150; pressed += 1) {
    await page.keyboard.press('Tab')
    const at = await focused()
    if (typeof name === 'string' ? at === name : name.test(at)) return
    seen.push(at)
  }
  throw new Error(`the tabulator does not reach ${String(name)}, but ${[...new Set(seen)].join(' | ')}`)
}

interface Audited {
  readonly id: number
  readonly action: string
  readonly actor: string
}
const auditedSince = async (id: number): Promise<Audited[]> => {
  const { items } = (await ask('GET', '/api/v1/audit?limit=10')).json as { items: Audited[] }
  // of what is read, by the way, every page tells
  return items.filter((one) => one.id > id && !one.action.endsWith(' read'))
}
const since = async (id: number) => (await auditedSince(id)).map(({ action, actor }) => `${action} by ${actor}`)
const lastAudited = async (): Promise<Audited> => (await ask('GET', '/api/v1/audit?limit=1')).json.items[0] as Audited

/** Nothing is done before the dialog says what follows, has what its level asks for, and is agreed to. */
async function confirmIt(
  { button, level, typed, confirm }: Pick<Action, 'button' | 'level' | 'typed' | 'confirm'>,
  before: number,
): Promise<void> {
  const dialog = page.getByRole('dialog')
  // in the dialog, whose title says to what it is done
  const agreed = confirm ?? button.split(':')[0] ?? ''
  await dialog.waitFor()
  expect((await dialog.textContent())?.length).toBeGreaterThan(40)
  expect(await auditedSince(before)).toEqual([])
  expect(level !== 2 || (await dialog.getByLabel(/^Begründung/).count()) === 1).toBe(true)
  expect(await dialog.getByRole('button', { name: agreed }).isDisabled()).toBe(typed !== undefined)
  if (typed !== undefined) {
    await dialog.getByRole('textbox').last().focus()
    await page.keyboard.type(typed)
  }
  await tabTo(agreed)
  await page.keyboard.press('Enter')
  await dialog.waitFor({ state: 'detached' })
}

test.each(ACTIONS)('$button ($audited), level $level', async (action) => {
  const { path, button, level, tab, menu, audited } = action
  await page.goto(path())
  await page.getByRole('heading', { level: 1 }).waitFor()
  if (tab !== undefined) {
    // the tabs of a list of tabs are reached by the arrows
    await tabTo('Zustand')
    while ((await focused()) !== tab) await page.keyboard.press('ArrowRight')
    await page.keyboard.press('Enter')
  }
  await page.getByRole('button', { name: button, exact: true }).first().waitFor()
  const before = await lastAudited()
  await tabTo(button)
  await page.keyboard.press('Enter')
  if (menu !== undefined) {
    await page.getByRole('menuitem', { name: menu }).waitFor()
    for (let pressed = 0; pressed < 10 && (await focused()) !== menu; pressed += 1)
      await page.keyboard.press('ArrowDown')
    await page.keyboard.press('Enter')
  }
  if (level > 0) await confirmIt(action, before.id)
  await expect.poll(() => since(before.id), { timeout: 10_000 }).toContain(`${audited} by ${ADMIN.name}`)
})

test('how long mail is kept is changed only when it is typed what goes; a legal hold has a reason, and its end is asked for', async () => {
  await sql`update poststelle.messages set acknowledged_at = now() - interval '40 days' where id = ${of('message')}`.execute(
    house.db,
  )
  await page.goto('/settings/retention')
  await page.getByRole('heading', { name: 'Löschsperre' }).waitFor()
  const before = await lastAudited()
  await tabTo('Tage: Empfangene Post')
  await page.keyboard.type('30')
  await tabTo('Speichern')
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByText('Empfangene Post: 1').waitFor()
  await confirmIt({ button: 'Speichern', level: 3, typed: 'entfernen' }, before.id)
  await expect.poll(() => since(before.id), { timeout: 10_000 }).toEqual([`retention changed by ${ADMIN.name}`])
  expect(await page.getByLabel('Tage: Empfangene Post').inputValue()).toBe('30')

  await tabTo('Grund, etwa ein Aktenzeichen *')
  await page.keyboard.type('Az. 12/26')
  await tabTo('Löschsperre setzen')
  await page.keyboard.press('Enter')
  await page.getByRole('alert').getByText('Az. 12/26').waitFor()
  const held = await lastAudited()
  expect(held).toMatchObject({ action: 'legal hold set', actor: ADMIN.name, reason: 'Az. 12/26' })
  await tabTo('Löschsperre aufheben')
  await page.keyboard.press('Enter')
  await confirmIt({ button: 'Löschsperre aufheben', level: 1 }, held.id)
  await expect.poll(() => since(held.id), { timeout: 10_000 }).toEqual([`legal hold lifted by ${ADMIN.name}`])
})

test('a queue that is paused is named on every page', async () => {
  await ask('POST', '/api/v1/queues/outbox-drain/pause', { reason: 'Umzug' })
  for (const path of ['/', '/inbox', '/settings']) {
    await page.goto(path)
    await page.getByRole('alert').getByText('Angehalten: Versand.').waitFor()
  }
  await ask('POST', '/api/v1/queues/outbox-drain/resume', {})
  await page.goto('/')
  await page.locator('#verdict').waitFor()
  await expect.poll(() => page.getByText('Angehalten: Versand.').count(), { timeout: 10_000 }).toBe(0)
})

test('the chain of the audit log holds', async () => {
  expect((await ask('POST', '/api/v1/audit/check')).json).toMatchObject({ broken: [] })
})
