// npm run docs: writes docs/failures.de.md and docs/failures.en.md out of the catalogue. They are not part of the repository.

import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const repo = dirname(dirname(fileURLToPath(import.meta.url)))
for (const language of ['de', 'en']) {
  const { status, stdout, stderr } = spawnSync(
    join(repo, 'bin/poststelle'),
    ['classify', '--list', '--lang', language],
    {
      encoding: 'utf8',
      maxBuffer: 16 * 1024 * 1024,
    },
  )
  if (status !== 0) {
    console.error(stderr)
    process.exit(1)
  }
  writeFileSync(join(repo, `docs/failures.${language}.md`), stdout)
  console.log(`docs/failures.${language}.md`)
}
