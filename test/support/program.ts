import { fileURLToPath } from 'node:url'

/** The compiled form of test/programs/`name`.ts, to be run as a process of its own. */
export function programPath(name: string): string {
  return fileURLToPath(new URL(`../programs/dist/${name}.js`, import.meta.url))
}
