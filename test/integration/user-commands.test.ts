// `poststelle user`: who may log in, and the way back in for somebody who is locked out.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { ADMIN, askAs, askWith, setUp } from '../support/api.ts'
import { openDashboard, type Dashboard } from '../support/dashboard.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { programOn, type RunProgram } from '../support/program.ts'

let house: TestHouse
let dashboard: Dashboard
let program: RunProgram
beforeAll(async () => {
  house = await openHouse()
  dashboard = await openDashboard(house)
  program = programOn(house, { POSTSTELLE_URL: dashboard.base.replace(/\/$/, '') })
  await setUp(dashboard.service)
})
afterAll(async () => {
  await dashboard.close()
  await house.close()
})

test('an invited user is listed, and chooses a password by the link, once', async () => {
  const { code, out } = await program(['user', 'invite', 'berta', '--role', 'operator', '--lang', 'de'])
  expect(code).toBe(0)
  const [, token = ''] = /invitation#(\S+)/.exec(out) ?? []
  expect(out).toContain('für berta:')
  const accept = async () =>
    await askAs(dashboard.base, { 'sec-fetch-site': 'same-origin' })('POST', `/api/v1/invitations/${token}`, {
      password: 'eine lange Kaffeepause',
    })
  expect((await accept()).status).toBe(200)
  expect((await accept()).status).toBe(410)
  const list = await program(['user', 'list', '--lang', 'de'])
  expect(list.out).toMatch(/berta +operator +nein +nein/)
})

test('a lost second factor and a lock are taken back; nobody locks out the last administrator', async () => {
  expect((await program(['user', 'change', 'berta', '--lock', '--lang', 'en'])).out).toContain('locked')
  expect((await program(['user', 'change', 'berta', '--unlock', '--remove-second-factor', '--json'])).out).toContain(
    '"disabled_at":null',
  )
  const refused = await program(['user', 'change', ADMIN.name, '--lock'])
  expect([refused.code, refused.err]).toEqual([
    1,
    'poststelle: nobody would be left who may administer; nothing was changed\n',
  ])
  expect((await program(['user', 'change', 'berta'])).code).toBe(2)
  expect((await program(['user', 'change', 'niemand', '--lock'])).err).toContain('there is no user "niemand"')
  expect((await program(['user', 'invite', 'zwei worte'])).err).toContain('user name: contains a blank')
})

test('what the command did stands in the audit log', async () => {
  const ask = await askWith(house.db, dashboard.base, 'admin')
  const { items } = (await ask('GET', '/api/v1/audit')).json as { items: { action: string; actor_kind: string }[] }
  expect(items.filter(({ actor_kind: kind }) => kind === 'command').map(({ action }) => action)).toEqual([
    'operator changed',
    'operator changed',
    'operator invited',
  ])
})
