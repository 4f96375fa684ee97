// What the pages ask, by the real service in a process of its own, with 1,000 accounts, a million received messages of 200 days and
// 100,000 outgoing ones. Times are those of the asker, over loopback.

import { setTimeout as pause } from 'node:timers/promises'
import { sql } from 'kysely'
import { openDatabase, type Db } from '../../src/db/database.ts'
import { apiToken } from '../support/api.ts'
import { removeFolder, tempFolder } from '../support/child.ts'
import { startCommand } from '../support/command.ts'
import { flagLanes, seedAccounts, seedClient } from '../support/health-rows.ts'
import { makePki } from '../support/pki.ts'
import { openBenchHouse, report } from './house.ts'
import { machine, percentile } from './machine.ts'

const ROUNDS = 60
/** Longer than one reading of the overview is shared. */
const APART_MS = 1_050

const lists = [
  ['accounts', '/accounts?limit=50'],
  ['accounts by words', '/accounts?filter=a77%20status:blocked'],
  ['inbox', '/inbox'],
  ['inbox of one account', '/inbox?filter=account:a77@firma.example'],
  ['inbox of one sender', '/inbox?filter=from:kunde77@'],
  ['inbox of one subject', '/inbox?filter=subject:%22Rechnung%204711%22'],
  ['outbox', '/outbox'],
  ['outbox, open', '/outbox?filter=status:open'],
  ['outbox of one account', '/outbox?filter=account:a77@firma.example'],
  ['attention', '/attention'],
  ['incidents', '/incidents'],
] as const
const searches = [
  ['a frequent word', '/inbox?filter=Rechnung'],
  ['a rare word', '/inbox?filter=Vorgang4711'],
  ['a word that is not there', '/inbox?filter=Zwiebelkuchen'],
  ['two words', '/inbox?filter=Rechnung%20Kunde77'],
] as const

export async function dashboard([messages = '1000000', outgoing = '100000']: readonly string[]): Promise<void> {
  console.log(`on ${machine()}`)
  const pki = await makePki()
  const house = await openBenchHouse(pki.caFile)
  const database = openDatabase(house.url, { max: 2 })
  const folder = tempFolder('bench')
  try {
    const { db } = database
    await seed(db, Number(messages), Number(outgoing))
    const token = await apiToken(db, 'admin', { mayReadMail: true })
    const service = startCommand(['start', '--roles', 'api', '--json'], {
      env: {
        DATABASE_URL: house.url,
        POSTSTELLE_KEYS: house.keys,
        POSTSTELLE_DATA: folder,
        POSTSTELLE_HTTP: '127.0.0.1:0',
        POSTSTELLE_LOG: 'warn',
      },
    })
    try {
      await service.until(/"url": ?"[^"]+"/)
      const base = /"url": ?"([^"]+)"/.exec(service.out())?.[1] ?? ''
      const timed = async (path: string, apartMs = 0): Promise<number[]> => {
        const times: number[] = []
        for (let round = 0; round <= ROUNDS; round += 1) {
          await pause(apartMs)
          const begun = performance.now()
          const response = await fetch(new URL(`/api/v1${path}`, base), {
            headers: { authorization: `Bearer ${token}` },
          })
          await response.arrayBuffer()
          if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`)
          if (round > 0) times.push(performance.now() - begun)
        }
        return times
      }
      const tell = async (name: string, path: string, goal: number, apartMs?: number): Promise<void> => {
        const times = await timed(path, apartMs)
        report(`${name} (${path})`, {
          'p50 ms': percentile(times, 0.5).toFixed(1),
          'p95 ms': `${percentile(times, 0.95).toFixed(1)} (goal ${goal})`,
        })
      }
      for (const [name, path] of lists) await tell(`list: ${name}`, path, 150)
      for (const [name, path] of searches) await tell(`search: ${name}`, path, 300)
      // last: of a server that is warm
      await tell('overview', '/overview', 100, APART_MS)
    } finally {
      service.child.kill('SIGTERM')
      await service.ended()
    }
  } finally {
    await database.close()
    await house.close()
    await pki.stop()
    removeFolder(folder)
  }
}

async function seed(db: Db, messages: number, outgoing: number): Promise<void> {
  const begun = performance.now()
  const client = await seedClient(db, 'bm_mail', 'common')
  const ids = await seedAccounts(db, 1_000, { domain: 'firma.example', clientId: client })
  await flagLanes(db, ids.slice(0, 200), 'send', { flag: 'client_secret_expired', scope: 'app', stage: 'token' })
  await flagLanes(db, ids.slice(300, 305), 'receive', { flag: 'pop_disabled', scope: 'account' })
  const [first = 1] = ids
  await sql`
    insert into poststelle.messages (account_id, received_at, size_bytes, sha256, internet_message_id, date_at, from_address, from_name,
      to_addresses, subject)
    select ${first}::bigint + n % 1000, at, 4000, '', '<' || n || '@kunde.example>', at, 'kunde' || n % 5000 || '@kunde.example', 'Kunde' || n % 5000,
      'info@firma.example', 'Rechnung ' || n
    from generate_series(1, ${messages}::int) n
      cross join lateral (select now() - (${messages}::int - n) * interval '200 days' / ${messages}::int as at) t order by n`.execute(
    db,
  )
  await sql`
    insert into poststelle.message_contents (message_id, account_id, position, state, reason, body_text, search)
    select id, account_id, id, case when id % 20000 = 0 then 'quarantined' else 'parsed' end, case when id % 20000 = 0 then 'nested too deeply' end,
      'Guten Tag, anbei die Rechnung.', to_tsvector('simple', subject || ' ' || from_name || ' ' || from_address || ' Vorgang' || id % 100000
      || ' Guten Tag anbei die Rechnung zum Auftrag') || poststelle.search_fields(from_name, from_address, to_addresses, subject)
    from poststelle.messages`.execute(db)
  await sql`
    with message as (
      insert into poststelle.outbound_messages (account_id, state, hold_reason, envelope_from, internet_message_id, subject, size_bytes, sha256,
        request_sha256, created_at, next_attempt_at, expires_at, attempts, finished_at, last_flag)
      select ${first}::bigint + n % 1000, state, case state when 'held' then 'manual' end, 'info@firma.example', '<' || n || '@firma.example>',
        'Angebot ' || n, 4000, '', '', at, case when state in ('queued', 'deferred') then now() end, now() + interval '5 days',
        case state when 'queued' then 0 else 1 end, case when state in ('sent', 'failed') then at end,
        case state when 'failed' then 'recipient_unknown' end
      from generate_series(1, ${outgoing}::int) n cross join lateral (select now() - (${outgoing}::int - n) * interval '60 days' / ${outgoing}::int as at,
        (array['queued', 'deferred', 'held', 'failed'])[case when n % 20 < 3 then n % 20 + 1 when n % 50 = 7 then 4 end] as special) s
        cross join lateral (select coalesce(special, 'sent') as state) t order by n
      returning id, state
    )
    insert into poststelle.outbound_recipients (message_id, ordinal, address, state)
    select id, 1, 'kunde' || id || '@kunde.example', case state when 'sent' then 'accepted' when 'failed' then 'rejected' else 'pending' end
    from message`.execute(db)
  await sql`vacuum analyze`.execute(db)
  report('seeded', { messages, outgoing, seconds: ((performance.now() - begun) / 1_000).toFixed(0) })
}
