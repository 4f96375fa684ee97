// Figures for Prometheus, and the runway as a calendar to subscribe to.

import { Gauge, Registry } from 'prom-client'
import type { Clock } from '../base/clock.ts'
import type { Db } from '../db/database.ts'
import { readFigures } from '../db/figures.ts'
import { readRunway } from '../db/runway.ts'
import { calendarOf } from '../health/ical.ts'
import { runwayOf } from '../health/runway.ts'
import type { App } from './context.ts'
import { needs } from './guard.ts'
import { languageOf } from './language.ts'

interface Context {
  readonly db: Db
  readonly clock: Clock
}

export function addMetrics(app: App, { db, clock }: Context): void {
  app.get('/metrics', { ...needs('reader', { machine: true }), schema: { hide: true } }, async (_request, reply) => {
    // a registry for each request: what is gone is not shown for ever
    const registry = new Registry()
    const gauge = <L extends string>(name: string, help: string, labelNames: L[] = []): Gauge<L> =>
      new Gauge({ name: `poststelle_${name}`, help, labelNames, registers: [registry] })
    const figures = await readFigures(db)
    const accounts = gauge('accounts', 'Accounts by direction and state.', ['direction', 'state'])
    for (const { direction, state, n } of figures.lamps) accounts.set({ direction, state }, n)
    const outbox = gauge('outbox_messages', 'Messages that are not final, by state.', ['state'])
    for (const { state, n } of figures.outbox) outbox.set({ state }, n)
    gauge('outbox_oldest_due_age_seconds', 'Age of the oldest message that is due.').set(figures.oldestDueSeconds)
    const incidents = gauge('incidents_open', 'Open incidents by scope.', ['scope'])
    for (const { scope, n } of figures.incidents) incidents.set({ scope }, n)
    const flags = gauge('account_flags', 'Accounts with an open flag.', ['flag'])
    for (const { flag, n } of figures.flags) flags.set({ flag }, n)
    if (figures.tokenSeconds !== null)
      gauge('token_expiry_seconds', 'Time until the first access token ends.').set(figures.tokenSeconds)
    gauge('client_breakers_open', 'App registrations that are refused.').set(figures.openClientBreakers)
    const runway = gauge('runway_days', 'Days until something ends.', ['kind', 'subject'])
    for (const { kind, subject, daysLeft } of runwayOf(await readRunway(db), clock.now()))
      if (daysLeft !== null) runway.set({ kind, subject }, daysLeft)
    return await reply.type(registry.contentType).send(await registry.metrics())
  })
}

export function addCalendar(app: App, { db, clock }: Context): void {
  app.get('/runway.ics', { ...needs('reader', { machine: true }), schema: { hide: true } }, async (request, reply) => {
    const language = languageOf(request)
    const now = clock.now()
    return await reply
      .type('text/calendar; charset=utf-8')
      .send(calendarOf(runwayOf(await readRunway(db), now), language, now))
  })
}
