// Words in a large inbox: found whether nearly every message has them or only an old one, page by page, beside other conditions.

import { sql } from 'kysely'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { listInbox, type InboxFilter } from '../../../src/db/inbox.ts'
import type { Db } from '../../../src/db/database.ts'
import { freshDatabase, type TestDatabase } from '../../support/database.ts'
import { seedAccounts } from '../../support/health-rows.ts'

const MESSAGES = 5_000

/** Every message has "rechnung", every third "angebot", one of the oldest "zwiebel"; the two accounts take turns. */
async function seedInbox(db: Db): Promise<readonly number[]> {
  const ids = await seedAccounts(db, 2, { domain: 'firma.example' })
  const [first = 0, second = 0] = ids
  await sql`
    insert into poststelle.messages (account_id, size_bytes, sha256, from_address, from_name, to_addresses, subject)
    select case n % 2 when 0 then ${first}::bigint else ${second}::bigint end, 1, '', 'kunde' || n % 50 || '@mail.firma' || n % 7 || '.example', 'Frau Nr. ' || n % 50, 'info@muster.example, chef' || n % 9 || '@muster.example', 'rechnung' || case when n % 3 = 0 then ' angebot' else '' end
      || case n when 7 then ' zwiebel' else '' end from generate_series(1, ${MESSAGES}::int) n order by n`.execute(db)
  await sql`
    insert into poststelle.message_contents (message_id, account_id, position, state, search)
    select id, account_id, id, 'parsed', to_tsvector('simple', subject) || poststelle.search_fields(from_name, from_address, to_addresses, subject)
      from poststelle.messages`.execute(db)
  return ids
}

let database: TestDatabase
let account: number
beforeAll(async () => {
  database = await freshDatabase()
  account = (await seedInbox(database.db))[0] ?? 0
})
afterAll(() => database.close())

async function pagesOf(db: Db, filter: InboxFilter, limit: number): Promise<number[]> {
  const ids: number[] = []
  for (;;) {
    const page = await listInbox(db, filter, { limit, afterId: ids.at(-1) })
    ids.push(...page.map(({ id }) => id))
    if (page.length < limit) return ids
  }
}

test.each([
  ['a word of every message', { search: 'rechnung' }, "m.subject like '%rechnung%'"],
  ['a word of every third', { search: 'angebot' }, "m.subject like '%angebot%'"],
  ['a word of one old message', { search: 'zwiebel' }, "m.subject like '%zwiebel%'"],
  ['a word of none', { search: 'tomate' }, 'false'],
  ['all but one word', { search: 'rechnung -angebot' }, "m.subject not like '%angebot%'"],
  ['one sender', { from: 'kunde7@' }, "m.from_address like 'kunde7@%'"],
  ['a sender by the beginning of his name', { from: 'FRAU nr. 4' }, "m.from_name like 'Frau Nr. 4%'"],
  ['senders of one domain', { from: '@mail.firma3.example' }, "m.from_address like '%firma3%'"],
  ['senders by a word of their domain', { from: 'firma3' }, "m.from_address like '%firma3%'"],
  ['a sender by what is only the middle of a word', { from: 'unde7' }, 'false'],
  ['a sender of an old message alone', { from: 'kunde7', subject: 'zwiebel' }, "m.subject like '%zwiebel%'"],
  ['signs without a word', { from: '@@' }, 'false'],
  ['signs of a pattern', { subject: '.*' }, 'false'],
  ['one of many recipients', { to: 'chef8' }, "m.to_addresses like '%chef8@%'"],
  [
    'sender and word',
    { from: 'kunde7@', search: 'angebot' },
    "m.from_address like 'kunde7@%' and m.subject like '%angebot%'",
  ],
  ['a word in one account', { search: 'angebot', accountId: 1 }, "m.subject like '%angebot%' and m.account_id = $1"],
  ['a word of one old message in the other account', { search: 'zwiebel', accountId: 1 }, 'false'],
])('%s is found, and each message once', async (_, filter, condition) => {
  const { db } = database
  const wanted: InboxFilter = { ...filter, ...('accountId' in filter && { accountId: account }) }
  const { rows } = await sql<{ id: number }>`
    select m.id from poststelle.messages m where ${sql.raw(condition.replace('$1', String(account)))} order by m.id desc`.execute(
    db,
  )
  expect(await pagesOf(db, wanted, 400)).toEqual(rows.map(({ id }) => id))
})
