// Talks to the interface: one function to ask, one class for what it refuses, and hooks that keep what was asked fresh.

import {
  useInfiniteQuery,
  useMutation,
  useQuery,
  useQueryClient,
  type InfiniteData,
  type UseInfiniteQueryResult,
  type UseQueryResult,
} from '@tanstack/react-query'
import type { Problem } from '../../src/contract/basics.ts'
import { useLanguage } from './i18n/index.ts'

export class Refused extends Error {
  readonly problem: Problem
  constructor(problem: Problem) {
    super([problem.title, problem.detail].filter(Boolean).join(' '))
    this.problem = problem
  }
}

/** Of this installation, whatever path of a proxy it lies under. */
export const address = (path: string): string => new URL(path, document.baseURI).href

export async function ask<T>(
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<T> {
  const response = await fetch(address(`api/v1/${path}`), {
    method,
    credentials: 'same-origin',
    headers: {
      accept: 'application/json',
      'accept-language': document.documentElement.lang,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  }).catch(() => {
    throw new Refused({ type: '', code: 'unreachable', status: 0, title: unreachable() })
  })
  const text = await response.text()
  if (response.ok) return (text === '' ? null : JSON.parse(text)) as T
  throw new Refused(problemOf(text, response.status))
}

const unreachable = (): string =>
  document.documentElement.lang === 'de' ? 'Poststelle ist nicht zu erreichen.' : 'Poststelle cannot be reached.'

function problemOf(text: string, status: number): Problem {
  try {
    return JSON.parse(text) as Problem
  } catch {
    return { type: '', code: 'internal', status, title: `HTTP ${status}` }
  }
}

/** What changes together; the stream of events names them. */
export type Topic =
  | 'inbox'
  | 'outbox'
  | 'accounts'
  | 'incidents'
  | 'clients'
  | 'runs'
  | 'workers'
  | 'overview'
  | 'still'

const withLanguage = (path: string, language: string): string =>
  `${path}${path.includes('?') ? '&' : '?'}lang=${language}`

export function useGet<T>(topic: Topic, path: string | null, options: { every?: number } = {}): UseQueryResult<T> {
  const language = useLanguage()
  return useQuery<T>({
    queryKey: [topic, path, language],
    queryFn: () => ask<T>('GET', withLanguage(path ?? '', language)),
    enabled: path !== null,
    ...(options.every !== undefined && { refetchInterval: options.every }),
  })
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly next: string | null
  readonly total?: number
}

export function usePages<T>(
  topic: Topic,
  path: string,
  query: Record<string, string>,
): UseInfiniteQueryResult<InfiniteData<Page<T>>> {
  const language = useLanguage()
  const text = new URLSearchParams(query).toString()
  return useInfiniteQuery({
    queryKey: [topic, path, text, language],
    queryFn: ({ pageParam }) =>
      ask<Page<T>>('GET', withLanguage(`${path}?${text}${pageParam === '' ? '' : `&cursor=${pageParam}`}`, language)),
    initialPageParam: '',
    getNextPageParam: (last) => last.next,
    maxPages: 20,
  })
}

/** A change; afterwards these topics are asked for anew. */
export function useChange<A, R = unknown>(work: (argument: A) => Promise<R>, topics: readonly Topic[]) {
  const client = useQueryClient()
  return useMutation<R, Error, A>({
    mutationFn: work,
    // not waited for: the answer is there, and lists of many rows take their time
    onSuccess: () => {
      for (const topic of [...topics, 'overview']) void client.invalidateQueries({ queryKey: [topic] })
    },
  })
}

export const newKey = (): string => crypto.randomUUID()
