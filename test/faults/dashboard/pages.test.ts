// What strangers wrote, in a real browser: it runs nothing, loads nothing, and leads nowhere; and a page that hears nothing any more says
// so.

import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect } from 'vitest'
import { sql } from 'kysely'
import { Live } from '../../../src/api/live.ts'
import { silentLogger } from '../../../src/base/logger.ts'
import { setUp } from '../../support/api.ts'
import { launch, logIn, openPage } from '../../support/browser.ts'
import { openDashboard, type Dashboard } from '../../support/dashboard.ts'
import { row } from '../../support/figures.ts'
import { seedAccounts, seedWaiting } from '../../support/health-rows.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'
import { LOADS, MARKUP, RUNS } from '../../support/hostile-html.ts'
import { freePort } from '../../support/ports.ts'
import { insertAttachment, insertMessage, settle } from '../../support/inbox-rows.ts'

let house: TestHouse
let dashboard: Dashboard
let browser: Browser
let account = 0

beforeAll(async () => {
  house = await openHouse()
  ;[account = 0] = await seedAccounts(house.db, 1, { domain: 'firma.example' })
  dashboard = await openDashboard(house)
  await setUp(dashboard.service)
  browser = await launch()
})
afterAll(async () => {
  await browser.close()
  await dashboard.close()
  await house.close()
})

async function message(
  subject: string,
  html: string | null,
  more: { from?: string; file?: string } = {},
): Promise<number> {
  const id = await insertMessage(house.db, { accountId: account, subject, fromName: more.from ?? 'Anna' })
  if (more.file !== undefined)
    await insertAttachment(house.db, id, { ordinal: 1, name: more.file, chunks: [Buffer.from('x')] })
  await settle(house.database.pool, id, { text: 'Text', html })
  return id
}

/** The message opened, its HTML shown, and given time to do what it wants. */
async function shown(pieces: readonly string[]): Promise<{ outside: string[]; dialogs: string[]; errors: string[] }> {
  const watched = await openPage(browser, dashboard.base)
  const { page, context } = watched
  await logIn(page)
  // each by itself, as if somebody had led the browser there
  for (const piece of pieces) {
    const id = await message('HTML', piece)
    const at = `/api/v1/inbox/${id}/html`
    await page.goto(at)
    for (const link of await page.locator('a').all())
      await link.click({ force: true, timeout: 1_000 }).catch(() => undefined)
    expect(new URL(page.url()).pathname).toBe(at)
  }
  // all at once, in the frame of its page
  const all = await message('HTML', pieces.join('\n'))
  await page.goto(`/inbox/${all}`)
  await page.getByRole('tab', { name: 'HTML' }).click()
  await page.frameLocator('iframe.mail-frame').locator('body').waitFor({ state: 'attached' })
  expect(new URL(page.url()).pathname).toBe(`/inbox/${all}`)
  await context.close()
  return watched
}

row('E9', 'HTML that wants to run something runs nothing', { fast: true }, async () => {
  const { dialogs, outside } = await shown(RUNS)
  expect(dialogs).toEqual([])
  expect(outside).toEqual([])
  return `${RUNS.length} attacks, dialogs 0, scripts 0`
})

row('E10', 'HTML that wants to load something loads nothing', { fast: true }, async () => {
  const { dialogs, outside } = await shown(LOADS)
  expect(outside).toEqual([])
  expect(dialogs).toEqual([])
  return `${LOADS.length} ways, requests to the outside 0`
})

row(
  'E11',
  'markup in subjects, names, file names and answers of servers is text everywhere',
  { fast: true },
  async () => {
    const watched = await openPage(browser, dashboard.base)
    const { page, context } = watched
    await logIn(page)
    const ids: number[] = []
    for (const markup of MARKUP) ids.push(await message(markup, null, { from: markup, file: markup }))
    await seedWaiting(house.db, [account], MARKUP.length)
    for (const [at, markup] of MARKUP.entries())
      await sql`update poststelle.outbound_messages set subject = ${markup}, last_reply = ${`550 ${markup}`}, state = 'failed', finished_at = now(),
      next_attempt_at = null where id = (select id from poststelle.outbound_messages order by id offset ${at} limit 1)`.execute(
        house.db,
      )
    await sql`update poststelle.accounts set label = ${MARKUP[0]}`.execute(house.db)
    await page.goto('/inbox')
    await page
      .getByText(MARKUP[0] ?? '')
      .first()
      .waitFor()
    for (const id of ids) {
      await page.goto(`/inbox/${id}`)
      await page.getByRole('heading', { level: 1 }).waitFor()
    }
    for (const path of ['/outbox', '/attention', '/accounts', `/accounts/${account}`, '/']) {
      await page.goto(path)
      await page.getByRole('heading', { level: 1 }).waitFor()
    }
    await page.goto('/outbox')
    await page.getByText(`550 ${MARKUP[1]}`).first().waitFor()
    expect(watched.dialogs).toEqual([])
    expect(watched.outside).toEqual([])
    expect(watched.errors).toEqual([])
    await context.close()
    return `${MARKUP.length} texts on 7 pages, run 0`
  },
)

row(
  'U2',
  'a page that hears nothing any more says that it is out of date, and comes back by itself',
  { fast: true },
  async () => {
    const listen = { POSTSTELLE_HTTP: `127.0.0.1:${await freePort()}` }
    const first = await openDashboard(house, ['api'], listen)
    const { page, context } = await openPage(browser, first.base)
    await logIn(page)
    await page.getByText(/Stand \d/).waitFor()
    await first.close()
    const began = Date.now()
    await page.getByText('veraltet').waitFor({ timeout: 20_000 })
    const seconds = Math.round((Date.now() - began) / 1000)
    const second = await openDashboard(house, ['api'], listen)
    await page.getByText('veraltet').waitFor({ state: 'detached', timeout: 30_000 })
    await context.close()
    await second.close()
    return `marked after ${seconds} s`
  },
)

row('U8', 'ten open tabs cost one query a second', { fast: true }, async () => {
  const live = new Live(house.db, silentLogger)
  const tabs = Array.from({ length: 10 }, () => {
    const written: string[] = []
    let closed = (): void => undefined
    return {
      written,
      close: () => closed(),
      tab: {
        write: (text: string) => void written.push(text),
        end: () => undefined,
        on: (_: string, listener: () => void) => void (closed = listener),
      },
    }
  })
  for (const { tab } of tabs) live.add(tab as never, undefined)
  await expect.poll(() => live.queries, { timeout: 10_000, interval: 20 }).toBe(2)
  await sql`update poststelle.accounts set updated_at = clock_timestamp()`.execute(house.db)
  await expect
    .poll(() => tabs.every(({ written }) => written.some((text) => text.includes('"accounts"'))), {
      timeout: 10_000,
      interval: 20,
    })
    .toBe(true)
  const { queries } = live
  for (const { close } of tabs) close()
  expect(queries).toBeLessThanOrEqual(5)
  live.close()
  return `10 tabs, ${queries} queries, all told of the change`
})
