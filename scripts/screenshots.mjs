// npm run screenshots: every page of the dashboard over the demo, in both languages and both themes, into docs/screenshots. They are not
// part of the repository. Needs Chromium.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { launch } from '../test/support/browser.ts'

const repo = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = join(repo, 'docs', 'screenshots')
const PASSWORD = 'nur fuer die Bilder der Demo'
/** Until then the simulated accounts have met all their troubles. */
const SETTLE_MS = 60_000

const SCREENS = [
  ['overview', '/'],
  ['accounts', '/accounts'],
  ['account', (of) => `/accounts/${of.blocked}`],
  ['account-credentials', (of) => `/accounts/${of.blocked}`, 'Zugangsdaten', 'Credentials'],
  ['wizard', '/accounts/new'],
  ['import', '/accounts/import'],
  ['inbox', '/inbox'],
  ['message', (of) => `/inbox/${of.message}`],
  ['outbox', '/outbox'],
  ['outgoing-message', (of) => `/outbox/${of.outgoing}`],
  ['compose', '/outbox/new'],
  ['attention', '/attention'],
  ['incidents', '/incidents'],
  ['incident', (of) => `/incidents/${of.incident}`],
  ['queues', '/queues-overview'],
  ['settings', '/settings'],
  ['settings-people', '/settings/people'],
  ['settings-tokens', '/settings/tokens'],
  ['settings-notices', '/settings/notices'],
  ['settings-apps', '/settings/apps'],
  ['settings-retention', '/settings/retention'],
  ['settings-keys', '/settings/keys'],
  ['settings-audit', '/settings/audit'],
  ['settings-system', '/settings/system'],
  ['reference', '/reference'],
]

// before the demo: without a browser nothing is started that would have to be ended
const browser = await launch()
const data = mkdtempSync(join(tmpdir(), 'poststelle-screenshots-'))
const demo = spawn(join(repo, 'bin/poststelle'), ['demo', '--json'], {
  env: { ...process.env, POSTSTELLE_DATA: data, POSTSTELLE_HTTP: '127.0.0.1:0' },
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const setUp = await linkOf(demo)
  const base = new URL('/', setUp).href
  const first = await browser.newContext({ baseURL: base, locale: 'de-DE' })
  await logIn(await first.newPage(), setUp)
  console.log(`The demo runs at ${base}; waiting ${SETTLE_MS / 1000} s for its accounts to meet their troubles ...`)
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
  mkdirSync(folder, { recursive: true })
  const storageState = await first.storageState()
  for (const language of ['de', 'en'])
    for (const colorScheme of ['light', 'dark'])
      for (const width of [1280, 360]) {
        if (width === 360 && colorScheme === 'dark') continue
        const context = await browser.newContext({
          baseURL: base,
          storageState,
          locale: language === 'de' ? 'de-DE' : 'en-GB',
          colorScheme,
          viewport: { width, height: 860 },
          reducedMotion: 'reduce',
        })
        await take(await context.newPage(), language, `${language}-${width === 360 ? 'phone' : colorScheme}`)
        await context.close()
      }
  console.log(`Done: ${folder}`)
} finally {
  await browser.close()
  demo.kill('SIGTERM')
  await new Promise((resolve) => demo.once('close', resolve))
  rmSync(data, { recursive: true, force: true })
}

/** The link of the first set-up, out of what the demo prints. */
function linkOf(child) {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (piece) => {
      text += piece
      const found = /https?:[^"\s]+\/setup#[\w-]+/.exec(text)
      if (found) resolve(found[0])
    })
    child.once('close', (code) => reject(new Error(`the demo ended with ${code}`)))
  })
}

async function logIn(page, setUp) {
  await page.goto(setUp)
  await page.getByLabel(/^Benutzername/).fill('admin')
  await page.getByLabel(/^Kennwort(?! wied)/).fill(PASSWORD)
  await page.getByLabel(/^Kennwort wiederholen/).fill(PASSWORD)
  await page.getByRole('button', { name: 'Anlegen und anmelden' }).click()
  await page.locator('#verdict').waitFor()
  await ask(page, 'POST', 'operators', { name: 'berta.vertretung', role: 'operator' })
  await ask(page, 'POST', 'tokens', { label: 'erp-prod', role: 'operator', may_send: true })
  const { id } = await ask(page, 'POST', 'notify', {
    kind: 'webhook',
    label: 'ERP',
    address: 'https://hooks.example.com/poststelle',
  })
  // there is nobody at this address
  await ask(page, 'PATCH', `notify/${id}`, { enabled: false })
}

async function ask(page, method, path, body) {
  return await page.evaluate(
    async ([how, at, what]) => {
      const response = await fetch(`/api/v1/${at}`, {
        method: how,
        ...(what && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(what) }),
      })
      return await response.json().catch(() => null)
    },
    [method, path, body],
  )
}

async function take(page, language, prefix) {
  await page.goto('/')
  await ask(page, 'PATCH', 'me', { language })
  const [accounts, inbox, outbox, incidents] = await Promise.all(
    ['accounts?limit=1', 'inbox?limit=1', 'outbox?limit=200', 'incidents'].map((path) => ask(page, 'GET', path)),
  )
  const of = {
    blocked: accounts.items[0]?.id,
    message: inbox.items[0]?.id,
    outgoing: (outbox.items.find(({ attempts }) => attempts > 0) ?? outbox.items[0])?.id,
    incident: incidents[0]?.id,
  }
  for (const [name, path, ...tabs] of SCREENS) {
    await page.goto(typeof path === 'string' ? path : path(of))
    await page.getByRole('heading', { level: 1 }).waitFor()
    if (tabs.length > 0) await page.getByRole('tab', { name: tabs[language === 'de' ? 0 : 1] }).click()
    await page.waitForFunction(() => document.querySelector('[aria-busy="true"]') === null)
    await page.screenshot({ path: join(folder, `${prefix}-${String(name)}.png`), fullPage: true })
  }
  console.log(`${prefix}: ${SCREENS.length} pages`)
}
