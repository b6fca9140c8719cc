import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const repository = fileURLToPath(new URL('../../', import.meta.url))

/** The packages as npm would get them, in tarballs. */
export interface PackedPackages {
  /** An empty application that has them installed, with their dependencies and `peers`, and nothing else. */
  application(peers: readonly string[]): Promise<string>
  dispose(): Promise<void>
}

const PACKAGES = ['core', 'pg-adapter', 'esdb-adapter', 'console', 'cli']
const OF_CLI = ['@bomb.sh/tab', 'commander', 'pg']

export async function packPackages(): Promise<PackedPackages> {
  // Outside the repository, so that nothing is found in its node_modules.
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'tidemark-packed-')))
  for (const name of PACKAGES) {
    const cwd = join(repository, 'packages', name)
    await run('npx', ['-y', 'pnpm@12', 'pack', '--pack-destination', folder], { cwd })
  }
  const tarballs = (await readdir(folder)).filter((file) => file.endsWith('.tgz'))
  let applications = 0
  return {
    application: async (peers) => {
      const application = join(folder, `application-${++applications}`)
      for (const name of PACKAGES) {
        const target = join(application, 'node_modules', '@tidemark', name)
        await mkdir(target, { recursive: true })
        const tarball = tarballs.find((file) => file.startsWith(`tidemark-${name}-`))
        await run('tar', ['-xzf', join(folder, tarball ?? name), '-C', target, '--strip-components=1'])
      }
      await link(application, '@opentelemetry/semantic-conventions', 'packages/core')
      for (const dependency of OF_CLI) await link(application, dependency, 'packages/cli')
      for (const peer of peers) await link(application, peer, 'test')
      return application
    },
    dispose: () => rm(folder, { recursive: true, force: true }),
  }
}

/** Installs what a package of this repository has installed. */
async function link(application: string, name: string, owner: string): Promise<void> {
  const target = join(application, 'node_modules', name)
  await mkdir(dirname(target), { recursive: true })
  await symlink(await realpath(join(repository, owner, 'node_modules', name)), target)
}
