// One stream of events per tab: it names what has changed, and what is shown of it is asked for anew. Nothing is asked while the tab is
// hidden; what has become old says so.

import { useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { address } from './api.ts'

/** Without a word for longer than two heartbeats what is shown may be old. */
const STALE_MS = 11_000
const LOOK_MS = 1_000

export interface LiveState {
  readonly stale: boolean
  readonly at: Date | null
}

export function useLive(on: boolean): LiveState {
  const client = useQueryClient()
  const [state, setState] = useState<LiveState>({ stale: false, at: null })
  useEffect(() => {
    if (!on) return undefined
    let source: EventSource | undefined
    let heardAt = performance.now()
    const open = (): void => {
      if (source || document.hidden) return
      heardAt = performance.now()
      source = new EventSource(address('api/v1/events'))
      source.addEventListener('message', ({ data }: MessageEvent<string>) => {
        heardAt = performance.now()
        const { topics, at } = JSON.parse(data) as { topics: string[]; at: string }
        setState({ stale: false, at: new Date(at) })
        if (topics.length === 0) return
        const all = topics.includes('all')
        void client.invalidateQueries({
          predicate: ({ queryKey: [topic] }) =>
            topic !== 'still' && (all || topic === 'overview' || topics.includes(String(topic))),
        })
      })
    }
    const close = (): void => {
      source?.close()
      source = undefined
    }
    const onVisible = (): void => (document.hidden ? close() : open())
    const timer = setInterval(() => {
      if (!document.hidden && performance.now() - heardAt > STALE_MS) {
        setState((before) => (before.stale ? before : { ...before, stale: true }))
        if (source?.readyState === EventSource.CLOSED) {
          close()
          open()
        }
      }
    }, LOOK_MS)
    document.addEventListener('visibilitychange', onVisible)
    open()
    return () => {
      document.removeEventListener('visibilitychange', onVisible)
      clearInterval(timer)
      close()
    }
  }, [client, on])
  return state
}
