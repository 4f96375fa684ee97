// Other POP3 tools, as they are installed: each retrieves one maildrop, leaves everything on the server, and remembers what it had.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface OtherMaildrop {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: string
}

/** Writes `<folder>/uidls`; several maildrops share it. */
export async function runMpop(folder: string, drop: OtherMaildrop): Promise<string> {
  const file = join(folder, 'uidls')
  const conf = join(folder, 'mpoprc')
  for (const name of ['', 'new', 'cur', 'tmp']) mkdirSync(join(folder, 'Maildir', name), { recursive: true })
  writeFileSync(
    conf,
    `account a\nhost ${drop.host}\nport ${drop.port}\nuser ${drop.user}\npassword ${drop.password}\nauth user\ntls off\nkeep on\n` +
      `uidls_file ${file}\ndelivery maildir ${join(folder, 'Maildir')}\n`,
    { mode: 0o600 },
  )
  await runTool('mpop', ['-C', conf, '-q', 'a'], folder)
  return file
}

/** Writes `<folder>/fetchids`; several maildrops share it. */
export async function runFetchmail(folder: string, drop: OtherMaildrop): Promise<string> {
  const file = join(folder, 'fetchids')
  const conf = join(folder, 'fetchmailrc')
  writeFileSync(
    conf,
    `poll ${drop.host} proto pop3 port ${drop.port} uidl user "${drop.user}" password "${drop.password}" keep mda "/bin/cat" sslproto ''\n`,
    { mode: 0o600 },
  )
  await runTool('fetchmail', ['-f', conf, '-i', file, '--pidfile', join(folder, 'pid')], folder)
  return file
}

/** Writes `<folder>/oldmail-<host>-<port>-<user>`. */
export async function runGetmail(folder: string, drop: OtherMaildrop): Promise<string> {
  const conf = join(folder, 'getmailrc')
  writeFileSync(
    conf,
    `[retriever]\ntype = SimplePOP3Retriever\nserver = ${drop.host}\nport = ${drop.port}\nusername = ${drop.user}\npassword = ${drop.password}\n` +
      `[destination]\ntype = MDA_external\npath = /bin/cat\nallow_root_commands = true\n[options]\ndelete = false\nread_all = false\n`,
  )
  await runTool('getmail', ['--getmaildir', folder, '--rcfile', conf], folder)
  return join(folder, `oldmail-${drop.host}-${drop.port}-${drop.user}`)
}

/** The server is in this process: it must go on while the tool runs. */
async function runTool(program: string, args: readonly string[], home: string): Promise<void> {
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH ?? '', HOME: home, LANG: 'C.UTF-8' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (bytes: Buffer) => (said += bytes.toString('latin1')))
  await once(child, 'close')
  if (child.exitCode !== 0) throw new Error(`${program} ended with ${child.exitCode}: ${said.slice(-2_000)}`)
}
