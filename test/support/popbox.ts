// A POP3 server with a memory, on real sockets: maildrops that keep what a test put in, deletions at QUIT and not before, one
// session per maildrop, the habits of odd servers, and a record of everything it saw: the ground truth of the fault matrix.

import { EventEmitter, once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import type { Provider } from '../../src/base/failure.ts'
import type { Security } from '../../src/net/net.ts'
import { POP3_PERSONALITIES, type Pop3Personality } from '../../src/sandbox/pop3-personality.ts'
import { type BoxMessage, Maildrop } from './popbox-maildrop.ts'
import { PopboxSession } from './popbox-session.ts'

/** One command on its way to its answer. */
export interface BoxEvent {
  readonly session: number
  /** '' before the login. */
  readonly user: string
  /** In upper case; 'GREETING' and 'SASL' are the two that are no commands. */
  readonly verb: string
  readonly line: string
  /** How often this session has seen the verb, with this one. */
  readonly nth: number
  /** What RETR, TOP and DELE are about. */
  readonly message: BoxMessage | undefined
}

/** What is done to an answer. */
export interface Twist {
  /** Instead of the usual answer, which is then without effect; a string is a status line. */
  readonly reply?: string | Buffer | Iterable<Buffer>
  /** No more of it than that leaves, and then the connection is closed. */
  readonly cutAfter?: number
  readonly hangUp?: 'close' | 'reset'
  readonly bytesPerSecond?: number
}

export interface BoxHooks {
  /** A command was seen; nothing was done about it yet. */
  seen?: (event: BoxEvent) => Twist | undefined | void | Promise<Twist | undefined | void>
  /** Its answer was given to the network whole. */
  answered?: (event: BoxEvent) => void | Promise<void>
}

export interface BoxOptions {
  readonly security?: Security
  readonly tls?: { readonly cert: string; readonly key: string }
  /** How it talks; see src/sandbox/pop3-personality.ts. */
  readonly provider?: Provider
  readonly habits?: Partial<Pop3Personality>
  readonly loginDelaySeconds?: number
  /** Whose mailbox a token opens. */
  readonly tokens?: (token: string) => string | undefined
  /** For the times in the record. */
  readonly now?: () => number
}

/** Changes what a listing says: lines without their line ends, status line and dot apart. */
export interface ListingEdits {
  uidl?: (lines: string[]) => string[]
  list?: (lines: string[]) => string[]
  stat?: (line: string) => string
}

export interface Seen {
  /** `session` counts connections from 1. */
  readonly logins: {
    readonly user: string
    readonly at: number
    readonly accepted: boolean
    readonly session: number
  }[]
  /** Verbs with what they are about, without secrets. */
  readonly commands: { readonly session: number; readonly user: string; readonly line: string }[]
  connections: number
  open: number
}

export interface Popbox {
  readonly port: number
  readonly seen: Seen
  readonly personality: Pop3Personality
  hooks: BoxHooks
  edits: ListingEdits
  /** Made when it is first asked for. */
  maildrop(user: string): Maildrop
  readonly maildrops: ReadonlyMap<string, Maildrop>
  /** An account as `account import` reads it; override what the test is about. */
  account(user: string, over?: object): object
  /** Resolves when the condition holds; looked at whenever something happened. */
  waitFor(condition: () => boolean): Promise<void>
  stop(): Promise<void>
}

export interface BoxState extends BoxOptions {
  readonly talk: Pop3Personality
  readonly seen: Seen
  readonly maildrops: Map<string, Maildrop>
  hooks: BoxHooks
  edits: ListingEdits
  changed(): void
}

export async function startPopbox(options: BoxOptions = {}): Promise<Popbox> {
  const changes = new EventEmitter().setMaxListeners(0)
  const sockets = new Set<Socket>()
  const state: BoxState = {
    ...options,
    talk: { ...POP3_PERSONALITIES[options.provider ?? 'generic'], ...options.habits },
    seen: { logins: [], commands: [], connections: 0, open: 0 },
    maildrops: new Map(),
    hooks: {},
    edits: {},
    changed: () => void changes.emit('change'),
  }
  const { seen } = state
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket)
    seen.connections += 1
    seen.open += 1
    const session = new PopboxSession(socket, state, seen.connections)
    socket.on('close', () => {
      sockets.delete(socket)
      seen.open -= 1
      session.gone()
      state.changed()
    })
    session.begin()
    state.changed()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  const { port } = address
  const maildrop = (user: string): Maildrop => {
    const found = state.maildrops.get(user) ?? new Maildrop(user)
    state.maildrops.set(user, found)
    return found
  }
  return {
    port,
    seen,
    personality: state.talk,
    maildrops: state.maildrops,
    maildrop,
    get hooks() {
      return state.hooks
    },
    set hooks(hooks) {
      state.hooks = hooks
    },
    get edits() {
      return state.edits
    },
    set edits(edits) {
      state.edits = edits
    },
    account: (user, over = {}) => ({
      email: user,
      pop3: { host: 'localhost', port, security: options.security ?? 'none' },
      auth: { type: 'password', password: maildrop(user).password },
      poll_interval_seconds: 60,
      ...over,
    }),
    async waitFor(condition) {
      while (!condition()) await once(changes, 'change')
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
