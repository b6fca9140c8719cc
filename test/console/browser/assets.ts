import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** Makes what the browser is given of the sources as they are. */
export default async function setup(): Promise<void> {
  const bundle = fileURLToPath(new URL('../../../packages/console/bundle.mjs', import.meta.url))
  await promisify(execFile)(process.execPath, [bundle])
}
