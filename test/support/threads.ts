// Worker threads that this process has made since this file was loaded.

import { subscribe } from 'node:diagnostics_channel'
import type { Worker } from 'node:worker_threads'

const made = new Set<Worker>()
subscribe('worker_threads', (message) => made.add((message as { worker: Worker }).worker))

/** How many are alive. */
export const threads = (): number => [...made].filter(({ threadId }) => threadId !== -1).length

/** How many there have been. */
export const threadsMade = (): number => made.size
