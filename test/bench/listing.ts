// A maildrop of 100,000 messages, all of them known, and then a hundred new ones. A scripted server in this process plays it:
// Dovecot takes minutes to get so many files, and its own time is not the question.

import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { makePki } from '../support/pki.ts'
import { openBenchHouse, report } from './house.ts'

const NEW = 100

export async function listing([known = '100000']: readonly string[]): Promise<void> {
  const pki = await makePki()
  const server = await startMaildrop(Number(known))
  const house = await openBenchHouse(pki.caFile)
  try {
    const ids = await house.importAccounts([
      {
        email: 'many@example.test',
        pop3: { host: '127.0.0.1', port: server.port, security: 'none' },
        smtp: { host: 'localhost', port: 25, security: 'starttls' },
        auth: { type: 'password', password: 'correct-horse' },
      },
    ])
    const id = ids.get('many@example.test') ?? 0
    await house.query(`
      insert into poststelle.maildrop_uidls (account_id, uidl, state, size_bytes, sha256, stored_at)
      select ${id}, '${UIDL_PREFIX}' || lpad(i::text, 8, '0'), 'stored', 100, sha256(i::text::bytea), now() from generate_series(1, ${known}) i;
      update poststelle.maildrops set first_sync_done_at = now() where account_id = ${id};
      analyze poststelle.maildrop_uidls`)
    // what the hourly listing does, at once
    const listAgain = () =>
      house.query(`update poststelle.maildrops set listed_at = now() - interval '2 hours' where account_id = ${id}`)
    const measure = async (name: string, goal: boolean) => {
      const { stored, cpuMs, extraMb, postgresCpuMs, seconds } = await house.poll(id)
      report(`listing of ${known}, ${name}`, {
        'our CPU ms': `${Math.round(cpuMs)}${goal ? ' (goal 200)' : ''}`,
        'extra MB': `${extraMb}${goal ? ' (goal 60)' : ''}`,
        'Postgres CPU ms': Math.round(postgresCpuMs),
        seconds: seconds.toFixed(2),
        stored,
      })
    }
    await measure('first of the process', false)
    await listAgain()
    await measure('nothing has changed', true)
    for (const round of [1, 2]) {
      server.add(NEW)
      await measure(`${NEW} new ones, round ${round}`, true)
    }
    await listAgain()
    await measure('nothing has changed', true)
  } finally {
    await house.close()
    await server.stop()
    await pki.stop()
  }
}

const UIDL_PREFIX = '0000000165a1b2c3'
const MESSAGE = 'Subject: x\r\nMessage-ID: <x@example.test>\r\n\r\nx\r\n'

/** Speaks enough POP3 for a session, in plaintext. */
async function startMaildrop(
  known: number,
): Promise<{ port: number; add(count: number): void; stop(): Promise<void> }> {
  let count = known
  const sockets = new Set<Socket>()
  const uidl = (number: number): string => `${number} ${UIDL_PREFIX}${String(number).padStart(8, '0')}`
  const list = (line: (number: number) => string): string =>
    `+OK\r\n${Array.from({ length: count }, (_, i) => `${line(i + 1)}\r\n`).join('')}.\r\n`
  const answer = (command: string): string => {
    const [verb = '', argument] = command.split(' ')
    if (verb === 'CAPA') return '+OK\r\nPIPELINING\r\nUIDL\r\nTOP\r\n.\r\n'
    if (verb === 'STAT') return `+OK ${count} ${count * 100}\r\n`
    if (verb === 'UIDL') return argument === undefined ? list(uidl) : `+OK ${uidl(Number(argument))}\r\n`
    if (verb === 'LIST') return argument === undefined ? list((number) => `${number} 100`) : `+OK ${argument} 100\r\n`
    if (verb === 'RETR' || verb === 'TOP') return `+OK\r\n${MESSAGE}.\r\n`
    return '+OK\r\n'
  }
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy())
    socket.write('+OK ready\r\n')
    let input = ''
    socket.on('data', (bytes: Buffer) => {
      const lines = `${input}${bytes.toString('latin1')}`.split('\r\n')
      input = lines.pop() ?? ''
      socket.write(lines.map(answer).join(''))
      if (lines.includes('QUIT')) socket.end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the maildrop has no port')
  return {
    port: address.port,
    add: (more) => (count += more),
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
