import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder, platformPackage } from './binaries.ts'
import { DEFAULT_MAJOR, MAJORS, VERSIONS } from './majors.ts'

// A program: installs every major that the default install leaves out, once.
const name = platformPackage()

for (const major of MAJORS.filter((candidate) => candidate !== DEFAULT_MAJOR)) {
  const folder = cacheFolder(major)
  const installed = join(folder, 'node_modules', name)
  if (!existsSync(installed)) {
    const wanted = `${name}@${VERSIONS[major]}`
    console.error(`installing PostgreSQL ${major} (${wanted})`)
    mkdirSync(folder, { recursive: true })
    const flags = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--ignore-scripts']
    execFileSync('npm', ['install', ...flags, '--prefix', folder, wanted], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  }
  // Its install script, which npm may refuse to run: links the shared libraries, those that are not linked yet.
  execFileSync(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: installed })
}
