import { request } from 'node:http'
import { sql } from 'kysely'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readConfig } from '../../src/base/config.ts'
import type { Service } from '../../src/cli/installation.ts'
import { startService } from '../../src/compose.ts'
import { submitMessage } from '../../src/db/submissions.ts'
import { openQueues, type QueueFactory } from '../../src/jobs/queues.ts'
import { askWith } from '../support/api.ts'
import { openHouse, type TestHouse } from '../support/house.ts'
import { outgoingMessage, startMailWorld, type MailWorld } from '../support/mail-world.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { removeFolder, tempFolder } from '../support/child.ts'

/** With headers that fetch would not send: what a page of another site can make a browser do. */
const statusAs = (url: string, headers: Record<string, string>, method = 'GET'): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request(url, { headers, method }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })

const WAIT = { timeout: 60_000, interval: 100 }

describe.each(['postgres', 'redis'] as const)('the whole service with its queues in %s', (backend) => {
  let world: MailWorld
  let house: TestHouse
  let redis: TestRedis | undefined
  let service: Service
  const data = tempFolder('service')

  const start = async (): Promise<Service> => {
    const config = { ...readConfig({ POSTSTELLE_HTTP: '127.0.0.1:0', POSTSTELLE_DATA: data }), redisUrl: redis?.url }
    return await startService(
      {
        ...house,
        config,
        databaseUrl: house.database.url,
        version: 'test',
        databaseGone: new Promise<never>(() => undefined),
      },
      new Set(['api', 'worker']),
      () => undefined,
    )
  }
  const counts = async () => {
    const { rows } = await sql<{ stored: number; twice: number; sent: number; waiting: number }>`
      select (select count(*) from poststelle.messages) as stored,
        (select count(*) from (select from poststelle.messages group by account_id, sha256 having count(*) > 1) t) as twice,
        (select count(*) from poststelle.outbox where state = 'sent') as sent,
        (select count(*) from poststelle.outbox where finished_at is null) as waiting`.execute(house.db)
    return rows[0]
  }
  const submitAll = async (prefix: string, each: number): Promise<string[]> => {
    const numbers: string[] = []
    for (const email of world.emails) {
      for (let i = 0; i < each; i++) {
        const number = `${prefix}-${numbers.length}`
        numbers.push(number)
        await submitMessage(house.db, {
          account: email,
          envelopeFrom: email,
          recipients: ['kunde@example.test'],
          raw: outgoingMessage(email, 'kunde@example.test', number),
          idempotencyKey: number,
        })
      }
    }
    return numbers
  }
  const arrivals = (prefix: string): string[] =>
    world.postfix.delivered().flatMap(({ messageId }) => (messageId?.startsWith(`<${prefix}-`) ? [messageId] : []))

  beforeAll(async () => {
    redis = backend === 'redis' ? await startRedis() : undefined
    world = await startMailWorld({ oauthAccounts: 2, passwordAccounts: 2 })
    house = await openHouse({ caPem: world.pki.ca })
    await house.importAccounts([...world.accounts])
    service = await start()
  })
  afterAll(async () => {
    await service.stop()
    await house.close()
    await world.stop()
    await redis?.stop()
    removeFolder(data)
  })

  test('mail comes in and goes out by itself, each message once', async () => {
    world.fill(20, 3_000)
    const numbers = await submitAll('first', 10)
    await expect.poll(counts, WAIT).toEqual({ stored: 80, twice: 0, sent: 40, waiting: 0 })
    await expect.poll(() => arrivals('first').length, WAIT).toBe(40)
    expect(new Set(arrivals('first')).size).toBe(numbers.length)
    expect(service.queueBackend).toBe(backend)
  })

  test('what came in is parsed by itself, and announced to the application', async () => {
    const parsed = async () => {
      const { rows } = await sql<{ parsed: number; pending: number }>`
        select count(*) filter (where parse_state = 'parsed') as parsed, count(*) filter (where parse_state = 'pending') as pending
        from poststelle.inbox`.execute(house.db)
      return rows[0]
    }
    await expect.poll(parsed, WAIT).toEqual({ parsed: 80, pending: 0 })
    const rung: string[] = []
    const bell = await house.database.pool.connect()
    bell.on('notification', ({ payload }) => rung.push(payload ?? ''))
    await bell.query('listen poststelle_inbox')
    world.dovecot.deliver(world.emails[0] ?? '', Buffer.from('Subject: klingelt\r\n\r\nHallo\r\n'))
    await expect.poll(() => rung.length, WAIT).toBe(1)
    await bell.query('unlisten *')
    bell.release()
    const { rows } =
      await sql`select id, subject, body_text from poststelle.inbox_since(0, 1000) order by position desc limit 1`.execute(
        house.db,
      )
    expect(rows).toEqual([{ id: Number(rung[0]), subject: 'klingelt', body_text: 'Hallo\n' }])
    await sql`delete from poststelle.messages where id = ${rung[0]}`.execute(house.db)
  })

  test('jobs carry ids and nothing else', async () => {
    const queues: QueueFactory = await openQueues(
      { databaseUrl: house.database.url, redisUrl: redis?.url },
      () => undefined,
    )
    const queue = queues.queue('maildrop-poll')
    await queue.pause() // so that they lie still
    const waiting = () => queue.getJobs(['waiting'])
    await expect.poll(async () => (await waiting()).length, WAIT).toBeGreaterThan(0)
    for (const job of await waiting()) expect(Object.keys(job.data)).toEqual(['accountId'])
    await queue.resume()
    await queue.close()
    await queues.close()
  })

  test('a flushed queue loses nothing: the tables fill it again', async () => {
    world.fill(10, 2_000)
    const submitting = submitAll('flushed', 10)
    if (redis) {
      const client = new Redis(redis.url)
      await client.flushall()
      client.disconnect()
    } else {
      await sql`delete from bullmq.job`.execute(house.db)
    }
    await submitting
    await expect.poll(counts, WAIT).toEqual({ stored: 120, twice: 0, sent: 80, waiting: 0 })
    await expect.poll(() => arrivals('flushed').length, WAIT).toBe(40)
    expect(new Set(arrivals('flushed')).size).toBe(40)
  })

  test('every database connection is cut, and the queue server is gone for a while: the work goes on by itself', async () => {
    world.fill(5, 2_000)
    const submitting = submitAll('outage', 5).catch(() => undefined) // refused with its connection: the application is told
    await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`.execute(
      house.db,
    )
    await submitting
    if (redis) {
      await redis.stop()
      redis = await startRedis({ port: redis.port })
    }
    // each message has its key: what was accepted before its connection broke is not accepted twice
    await expect.poll(() => submitAll('outage', 5).then(() => 'accepted', String), WAIT).toBe('accepted')
    await expect.poll(() => counts().catch(String), WAIT).toEqual({ stored: 140, twice: 0, sent: 100, waiting: 0 })
    await expect.poll(() => new Set(arrivals('outage')).size, WAIT).toBe(20)
    expect(arrivals('outage')).toHaveLength(20)
  })

  test('stopping gives every lease back and ends every connection of the queues; the next start goes on', async () => {
    await submitAll('stopped', 5)
    await service.stop()
    const { rows } =
      await sql`select account_id, lane, lease_until - now() as left from poststelle.lanes where lease_token is not null`.execute(
        house.db,
      )
    expect(rows).toEqual([])
    service = await start()
    await expect.poll(counts, WAIT).toMatchObject({ sent: 120, waiting: 0 })
    await expect.poll(() => new Set(arrivals('stopped')).size, WAIT).toBe(20)
    expect(arrivals('stopped')).toHaveLength(20)
  })

  test('the health checks answer, and the page shows what status shows', async () => {
    const url = service.url ?? ''
    expect((await fetch(`${url}livez`)).status).toBe(200)
    expect((await fetch(`${url}readyz`)).status).toBe(200)
    const ask = await askWith(house.db, url, 'reader')
    const overview = await ask('GET', '/api/v1/overview?lang=de')
    expect(overview.json.verdict).toBe('Alles läuft.')
    const { json } = await ask('GET', '/api/v1/accounts')
    expect(json.items.map(({ email }: { email: string }) => email).toSorted()).toEqual([...world.emails].toSorted())
  })

  test('the raw queues are for administrators, and load nothing from outside', async () => {
    const url = service.url ?? ''
    expect(await statusAs(`${url}queues`, {})).toBe(401)
    const reader = await askWith(house.db, url, 'operator')
    expect((await reader('GET', '/queues/api/queues')).status).toBe(403)
    const admin = await askWith(house.db, url, 'admin')
    const board = await admin('GET', '/queues')
    expect(board.status).toBe(200)
    expect(board.headers.get('content-security-policy')).toContain("default-src 'self'")
    const { json } = await admin('GET', '/queues/api/queues')
    expect(json.queues.map(({ name }: { name: string }) => name).sort()).toEqual([
      'maildrop-poll',
      'message-parse',
      'outbox-drain',
      'token-refresh',
    ])
  })
})

describe('a Redis that may throw jobs away', () => {
  test('is refused in one clear sentence', async () => {
    const redis = await startRedis({ evicting: true })
    await expect(openQueues({ databaseUrl: '', redisUrl: redis.url }, () => undefined)).rejects.toThrow(
      /REDIS_URL .*maxmemory-policy is "allkeys-lru".*noeviction/,
    )
    await redis.stop()
  })

  test('one that is not there is named', async () => {
    await expect(openQueues({ databaseUrl: '', redisUrl: 'redis://127.0.0.1:1' }, () => undefined)).rejects.toThrow(
      /REDIS_URL \(127.0.0.1:1\): Redis cannot be used/,
    )
  })
})
