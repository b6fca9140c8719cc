import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder, platformPackage } from './binaries.ts'
import { DEFAULT_MAJOR, type Major, VERSIONS } from './majors.ts'

/** Installs a major that the default install leaves out, once. Says so on standard error. */
export function installMajor(major: Major): void {
  if (major === DEFAULT_MAJOR) return
  const name = platformPackage()
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
