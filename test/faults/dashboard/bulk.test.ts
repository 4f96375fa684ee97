// Many messages at once: the answer comes at once, the page stays alive, a stop stops, and after a kill in the middle the number that is
// reported is the number that was changed.

import { sql } from 'kysely'
import { expect } from 'vitest'
import { apiToken, askAs, setUp, type Ask } from '../../support/api.ts'
import { launch, logIn, openPage } from '../../support/browser.ts'
import { removeFolder, tempFolder } from '../../support/child.ts'
import { startCommand, type RunningCommand } from '../../support/command.ts'
import { openDashboard } from '../../support/dashboard.ts'
import { row, sized } from '../../support/figures.ts'
import { seedAccounts } from '../../support/health-rows.ts'
import { openHouse, type TestHouse } from '../../support/house.ts'
import { waitingMail } from '../../support/outbox-rows.ts'

interface Run {
  readonly id: number
  readonly total: number
  readonly done: number
  readonly changed: number
  readonly finished_at: string | null
}

async function seedHeld(house: TestHouse, count: number): Promise<void> {
  const ids = await seedAccounts(house.db, 10, { domain: 'firma.example' })
  for (const id of ids) await waitingMail(house.db, id, count / ids.length)
  await sql`update poststelle.outbound_messages set state = 'held', hold_reason = 'manual', next_attempt_at = null, size_bytes = 900`.execute(
    house.db,
  )
  await sql`delete from poststelle.outbound_events`.execute(house.db)
  await sql`analyze poststelle.outbound_messages`.execute(house.db)
}

const countOf = async (house: TestHouse, state: string): Promise<number> =>
  (
    await sql<{
      n: number
    }>`select count(*)::int as n from poststelle.outbound_messages where state = ${state}`.execute(house.db)
  ).rows[0]?.n ?? 0

row(
  'U4',
  'a run over many messages that is killed in the middle goes on, and has changed what it reports',
  { fast: true },
  async () => {
    const total = sized(10_000, 100_000)
    const kills = sized(2, 6)
    const house = await openHouse()
    const folder = tempFolder('bulk')
    let service: RunningCommand | undefined
    let ask: Ask
    const token = await apiToken(house.db, 'operator')
    const start = async (): Promise<void> => {
      service = startCommand(['start', '--roles', 'api', '--json'], {
        env: {
          DATABASE_URL: house.database.url,
          POSTSTELLE_KEYS: house.keys,
          POSTSTELLE_DATA: folder,
          POSTSTELLE_HTTP: '127.0.0.1:0',
          POSTSTELLE_LOG: 'warn',
        },
      })
      await service.until(/"url": ?"[^"]+"/)
      ask = askAs(/"url": ?"([^"]+)"/.exec(service.out())?.[1] ?? '', { authorization: `Bearer ${token}` })
    }
    const runOf = async (id: number): Promise<Run> => (await ask('GET', `/api/v1/runs/${id}`)).json as Run
    try {
      await seedHeld(house, total)
      await start()
      const begun = performance.now()
      const { json } = await ask!('POST', '/api/v1/outbox/changes', {
        change: 'release',
        filter: 'status:held',
        confirm: total,
      })
      const answered = Math.round(performance.now() - begun)
      const { id } = json as Run
      for (let kill = 1; kill <= kills; kill += 1) {
        const from = Math.floor((total * kill) / (kills + 1))
        await expect
          .poll(async () => (await runOf(id)).done, { timeout: 120_000, interval: 5 })
          .toBeGreaterThanOrEqual(from)
        service?.child.kill('SIGKILL')
        await service?.ended()
        const { rows } = await sql<{
          changed: number
        }>`select changed from poststelle.bulk_runs where id = ${id}`.execute(house.db)
        expect(rows[0]?.changed).toBe(await countOf(house, 'queued'))
        await start()
      }
      await expect.poll(async () => (await runOf(id)).finished_at, { timeout: 300_000, interval: 50 }).not.toBeNull()
      expect(await runOf(id)).toMatchObject({ total, done: total, changed: total })
      expect(await countOf(house, 'queued')).toBe(total)
      const { rows } = await sql<{
        twice: number
        all: number
      }>`select count(*) filter (where n <> 1)::int as twice, count(*)::int as all
      from (select count(*) as n from poststelle.outbound_events where event = 'released' group by message_id) e`.execute(
        house.db,
      )
      expect(rows[0]).toEqual({ twice: 0, all: total })
      // and one that is stopped
      const held = (
        await ask!('POST', '/api/v1/outbox/changes', { change: 'hold', filter: 'status:queued', confirm: total })
      ).json as Run
      await expect.poll(async () => (await runOf(held.id)).done, { timeout: 60_000, interval: 5 }).toBeGreaterThan(0)
      expect((await ask!('POST', `/api/v1/runs/${held.id}/stop`, {})).status).toBe(200)
      await expect
        .poll(async () => (await runOf(held.id)).finished_at, { timeout: 60_000, interval: 20 })
        .not.toBeNull()
      const stopped = await runOf(held.id)
      expect(stopped.changed).toBe(await countOf(house, 'held'))
      expect(stopped.done).toBeLessThan(total)
      return `${total} messages, ${kills} kills: reported ${total}, changed ${total}, twice 0; answered after ${answered} ms; stopped after ${stopped.done}`
    } finally {
      service?.child.kill('SIGTERM')
      await service?.ended()
      await house.close()
      removeFolder(folder)
    }
  },
)

row(
  'A10',
  'a run over many messages answers within a second, shows how far it is, and leaves the page alive',
  { fast: false },
  async () => {
    const total = 100_000
    const house = await openHouse()
    await seedHeld(house, total)
    const dashboard = await openDashboard(house)
    const browser = await launch()
    try {
      await setUp(dashboard.service)
      const { page } = await openPage(browser, dashboard.base)
      await logIn(page)
      await page.goto('/outbox?filter=status:held')
      await page.getByRole('button', { name: 'Auf alle Treffer anwenden' }).click()
      let begun = performance.now()
      await page.getByRole('menuitem', { name: 'Freigeben' }).click()
      const go = page.getByRole('button', { name: '100.000 Nachrichten freigeben' })
      await go.waitFor()
      const counted = Math.round(performance.now() - begun)
      // the longest time in which the page did nothing else
      await page.evaluate(`(() => { let last = performance.now(); window.longest = 0; const tick = () => { const now = performance.now();
      window.longest = Math.max(window.longest, now - last); last = now; requestAnimationFrame(tick) }; requestAnimationFrame(tick) })()`)
      begun = performance.now()
      await go.click()
      await page.getByText(/von 100\.000 geändert/).waitFor()
      const answered = Math.round(performance.now() - begun)
      await expect
        .poll(() => page.getByRole('progressbar').first().getAttribute('aria-valuenow'), {
          timeout: 120_000,
          interval: 50,
        })
        .not.toBe('0')
      await page.getByRole('button', { name: 'Anhalten', exact: true }).click()
      await expect
        .poll(
          async () =>
            (
              await sql<{
                at: Date | null
                changed: number
              }>`select finished_at as at from poststelle.bulk_runs`.execute(house.db)
            ).rows[0]?.at,
          { timeout: 60_000 },
        )
        .not.toBeNull()
      const { rows } = await sql<{ changed: number }>`select changed from poststelle.bulk_runs`.execute(house.db)
      expect(rows[0]?.changed).toBe(total - (await countOf(house, 'held')))
      const longest = Math.round(Number(await page.evaluate('window.longest')))
      return `counted after ${counted} ms, answered after ${answered} ms, stopped after ${rows[0]?.changed} of ${total}, longest pause of the page ${longest} ms`
    } finally {
      await browser.close()
      await dashboard.close()
      await house.close()
    }
  },
)
