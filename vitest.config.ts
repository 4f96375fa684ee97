// Four kinds of tests, by folder. All but unit tests share one PostgreSQL per run; see test/support.

import { defineConfig } from 'vitest/config'

const project = (name: string, extra: object = {}) => ({
  test: { name, include: [`test/${name}/**/*.test.ts`], testTimeout: 30_000, hookTimeout: 60_000, ...extra },
})

const globalSetup = ['test/support/global-postgres.ts']

export default defineConfig({
  test: {
    projects: [
      project('unit'),
      project('integration', { maxWorkers: 2, globalSetup }),
      project('faults', { maxWorkers: 2, testTimeout: 120_000, globalSetup }),
      project('e2e', { maxWorkers: 1, testTimeout: 120_000, globalSetup }),
    ],
  },
})
