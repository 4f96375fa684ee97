// Builds the pages once per state of their sources: before start and demo, and by `npm run web`. Two runs at once take turns by the
// folder that is renamed at the end.

import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

const repo = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(repo, 'web/dist')
const stamp = join(dist, '.sources')

const hash = createHash('sha256')
const sources = [
  'web/index.html',
  'web/vite.config.ts',
  'package-lock.json',
  ...globSync(['web/src/**/*', 'web/public/*', 'src/contract/*.ts'], { cwd: repo }),
]
for (const file of sources.toSorted()) {
  const path = join(repo, file)
  if (/\.\w+$/.test(file)) hash.update(file).update(readFileSync(path))
}
const wanted = hash.digest('hex')

if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.error('Building the pages (once, some seconds) ...')
  const { build } = await import('vite')
  const fresh = join(repo, `web/.dist-${process.pid}`)
  await build({
    root: join(repo, 'web'),
    configFile: join(repo, 'web/vite.config.ts'),
    logLevel: 'error',
    build: { outDir: fresh, emptyOutDir: true },
  })
  for (const file of globSync('assets/*.{js,css,svg}', { cwd: fresh })) {
    const bytes = readFileSync(join(fresh, file))
    writeFileSync(
      join(fresh, `${file}.br`),
      brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
    )
    writeFileSync(join(fresh, `${file}.gz`), gzipSync(bytes, { level: 9 }))
  }
  writeFileSync(join(fresh, '.sources'), wanted)
  mkdirSync(join(repo, 'web'), { recursive: true })
  const old = join(repo, `web/.old-${process.pid}`)
  if (existsSync(dist)) renameSync(dist, old)
  renameSync(fresh, dist)
  rmSync(old, { recursive: true, force: true })
}
