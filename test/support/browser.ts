// The Chromium of the machine, headless, and an eye on what its pages do: what they ask for, what they say, what they run.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { ADMIN } from './api.ts'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

export async function launch(): Promise<Browser> {
  const executablePath = PLACES.find((place) => existsSync(place))
  if (executablePath === undefined) throw new Error('there is no Chromium on this machine')
  return await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] })
}

export interface Watched {
  readonly context: BrowserContext
  readonly page: Page
  /** Addresses outside of the installation that were asked for. */
  readonly outside: string[]
  /** Errors of scripts, and violations of the policy. */
  readonly errors: string[]
  readonly dialogs: string[]
}

export async function openPage(
  browser: Browser,
  base: string,
  options: { locale?: string; width?: number; dark?: boolean } = {},
): Promise<Watched> {
  const context = await browser.newContext({
    baseURL: base,
    locale: options.locale ?? 'de-DE',
    viewport: { width: options.width ?? 1280, height: 900 },
    colorScheme: options.dark ? 'dark' : 'light',
    reducedMotion: 'reduce',
  })
  const page = await context.newPage()
  const watched: Watched = { context, page, outside: [], errors: [], dialogs: [] }
  page.on('request', (request) => {
    if (!request.url().startsWith(base) && !/^(?:data|blob|about):/.test(request.url()))
      watched.outside.push(request.url())
  })
  page.on('pageerror', (error) => watched.errors.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/Failed to load resource/.test(message.text()))
      watched.errors.push(message.text())
  })
  page.on('dialog', (dialog) => {
    watched.dialogs.push(dialog.message())
    void dialog.dismiss()
  })
  return watched
}

/** By the form, as a person does. */
export async function logIn(page: Page, who: { name: string; password: string } = ADMIN): Promise<void> {
  await page.goto('/')
  await page.getByLabel(/^(?:Benutzername|User name)/).fill(who.name)
  await page.getByLabel(/^(?:Kennwort|Password)/).fill(who.password)
  await page.getByRole('button', { name: /^(?:Anmelden|Log in)$/ }).click()
  await page.locator('#verdict').waitFor()
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

export interface AxeFinding {
  readonly id: string
  readonly impact: string
  readonly nodes: string[]
}

/** What axe finds on the page as it is, serious or worse. Not by a script of the page: its policy would refuse it. */
export async function axe(page: Page): Promise<AxeFinding[]> {
  await page.evaluate(AXE)
  return await page.evaluate(async () => {
    const run = (
      globalThis as unknown as {
        axe: {
          run: (options: object) => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }>
        }
      }
    ).axe.run
    const { violations } = await run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] })
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, impact, nodes }) => ({ id, impact, nodes: nodes.slice(0, 3).map(({ html }) => html.slice(0, 200)) }))
  })
}
