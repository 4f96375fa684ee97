// Bull Board for the raw queues, for administrators. Its page asks for fonts from outside; the content security policy forbids it.

import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import type { LaneQueue } from '../jobs/queues.ts'
import type { App } from './context.ts'

const PATH = '/queues'
const POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "script-src 'self' 'unsafe-inline'", // its page carries its settings in an inline script
  "img-src 'self' data:",
  "frame-ancestors 'none'",
  "form-action 'self'",
  "base-uri 'self'",
].join('; ')

export async function addQueueBoard(app: App, queues: readonly LaneQueue[]): Promise<void> {
  const board = new FastifyAdapter()
  board.setBasePath(PATH)
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue)),
    serverAdapter: board,
    options: { uiConfig: { boardTitle: 'Poststelle' } },
  })
  await app.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, needs: { role: 'admin' } }
    })
    scope.addHook('onSend', async (_request, reply) => {
      void reply.header('content-security-policy', POLICY)
    })
    await scope.register(board.registerPlugin(), { prefix: PATH })
  })
}
