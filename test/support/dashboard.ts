// The HTTP side of an installation in the test's own process, with its pages, and a list of its routes.

import type { RouteOptions } from 'fastify'
import { readConfig } from '../../src/base/config.ts'
import type { Service } from '../../src/cli/installation.ts'
import { startService } from '../../src/compose.ts'
import { removeFolder, tempFolder } from './child.ts'
import type { TestHouse } from './house.ts'

export interface Dashboard {
  readonly service: Service
  readonly base: string
  close(): Promise<void>
}

export async function openDashboard(
  house: TestHouse,
  roles: readonly ('api' | 'worker')[] = ['api'],
  settings: Readonly<Record<string, string>> = {},
): Promise<Dashboard> {
  const data = tempFolder('dashboard')
  const config = {
    ...readConfig({ POSTSTELLE_HTTP: '127.0.0.1:0', POSTSTELLE_DATA: data, ...settings }),
    redisUrl: undefined,
  }
  const service = await startService(
    {
      ...house,
      config,
      databaseUrl: house.database.url,
      version: 'test',
      databaseGone: new Promise<never>(() => undefined),
    },
    new Set(roles),
    () => undefined,
  )
  return {
    service,
    base: service.url ?? '',
    close: async () => {
      await service.stop()
      removeFolder(data)
    },
  }
}

export interface KnownRoute {
  readonly method: string
  readonly url: string
  readonly role: string
  readonly mail: boolean
  readonly send: boolean
  readonly machine: boolean
}

/** What `onRoute` has told, without the twins that answer HEAD. */
export const knownRoutes = (told: readonly RouteOptions[]): KnownRoute[] =>
  told.flatMap(({ method, url, config }) =>
    [method]
      .flat()
      .filter((one) => one !== 'HEAD')
      .map((one) => ({
        method: one,
        url,
        role: config?.needs?.role ?? 'none',
        mail: config?.needs?.mail ?? false,
        send: config?.needs?.send ?? false,
        machine: config?.needs?.machine ?? false,
      })),
  )
