// What docker-compose.yml promises an operator, as docker-compose itself reads it.

import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { SETTINGS } from '../../src/base/config.ts'

const repo = join(import.meta.dirname, '..', '..')
const file = join(repo, 'docker-compose.yml')
const secrets = { POSTGRES_PASSWORD: 'swordfish', POSTSTELLE_KEYS: 'k1:c2VjcmV0' }

const Service = z.object({
  image: z.string().default(''),
  command: z.array(z.string()).default([]),
  environment: z.record(z.string(), z.string()).default({}),
  ports: z.array(z.union([z.string(), z.looseObject({ host_ip: z.string() })])).default([]),
  volumes: z.array(z.unknown()).default([]),
  healthcheck: z.unknown().optional(),
})

const environment = (env: object): Record<string, string> => ({
  PATH: process.env.PATH ?? '',
  HOME: '/nonexistent',
  ...env,
})

/** docker-compose prints YAML; python3-yaml, which it brings along, makes JSON of it. */
function readServices(): Map<string, z.infer<typeof Service>> {
  const yaml = execFileSync('docker-compose', ['-f', file, 'config'], { encoding: 'utf8', env: environment(secrets) })
  const script = 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)["services"]))'
  const json = execFileSync('/usr/bin/python3', ['-c', script], { encoding: 'utf8', input: yaml })
  return new Map(Object.entries(z.record(z.string(), Service).parse(JSON.parse(json))))
}

const services = readServices()
const service = (name: string): z.infer<typeof Service> => services.get(name) ?? Service.parse({})

const lines = (name: string): string[] => readFileSync(join(repo, name), 'utf8').split('\n')

test('Redis neither evicts nor forgets a job', () => {
  expect(service('redis').command.join(' ')).toContain('--maxmemory-policy noeviction')
  expect(service('redis').command.join(' ')).toContain('--appendonly yes')
})

test('Postgres and Redis keep their data in volumes', () => {
  expect(service('postgres').volumes).toHaveLength(1)
  expect(service('redis').volumes).toHaveLength(1)
})

test('api, worker and migration run one image, each in its role, on the same database, queue and keys', () => {
  const parts = ['api', 'worker', 'migrate'].map(service)
  expect(new Set(parts.map(({ image }) => image)).size).toBe(1)
  expect(parts.map(({ command }) => command.join(' '))).toEqual([
    'start --roles api',
    'start --roles worker',
    'migrate up',
  ])
  const shared = parts.map(({ environment: { DATABASE_URL, REDIS_URL, POSTSTELLE_KEYS } }) =>
    JSON.stringify([DATABASE_URL, REDIS_URL, POSTSTELLE_KEYS]),
  )
  expect(new Set(shared).size).toBe(1)
})

test('the settings it makes are settings that the service knows', () => {
  const names = [...services.values()].flatMap(({ environment }) => Object.keys(environment))
  const ours = names.filter((name) => !name.startsWith('POSTGRES_'))
  expect(new Set(ours.filter((name) => !(name in SETTINGS)))).toEqual(new Set())
})

test('only the api can be reached, and only from the machine itself', () => {
  const open = [...services].flatMap(([name, { ports }]) => ports.map((port) => ({ name, port })))
  expect(open).toHaveLength(1)
  expect(open[0]).toMatchObject({ name: 'api' })
  expect(JSON.stringify(open[0]?.port)).toContain('127.0.0.1')
  expect(service('api').environment.POSTSTELLE_HTTP).toBe('0.0.0.0:8470')
})

test.each(['postgres', 'redis', 'api'])('%s has a health check', (name) => {
  expect(service(name).healthcheck).toMatchObject({ test: expect.arrayContaining(['CMD']) })
})

test.each(Object.keys(secrets))('without %s it refuses to start and says what to set', (name) => {
  const env = environment({ ...secrets, [name]: '' })
  const run = spawnSync('docker-compose', ['-f', file, 'config'], { encoding: 'utf8', env })
  expect(run.status).not.toBe(0)
  expect(run.stderr).toContain('set it to')
})

test('the image is built without development packages and does not run as root', () => {
  const dockerfile = readFileSync(join(repo, 'Dockerfile'), 'utf8')
  expect(dockerfile).toMatch(/^FROM node:24-bookworm-slim$/m)
  expect(dockerfile).toMatch(/^RUN npm ci .*--omit=dev --omit=optional/m)
  expect(dockerfile.indexOf('USER node')).toBeGreaterThan(dockerfile.lastIndexOf('RUN '))
})

test('what the Dockerfile copies, and nothing else, is let through to the build', () => {
  const copied = lines('Dockerfile')
    .filter((line) => line.startsWith('COPY '))
    .flatMap((line) => line.split(' ').slice(1, -1))
  const admitted = lines('.dockerignore')
    .filter((line) => line.startsWith('!'))
    .map((line) => line.slice(1))
  expect(lines('.dockerignore')).toContain('*')
  expect(admitted.sort()).toEqual(copied.sort())
})
