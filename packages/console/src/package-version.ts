import { readFileSync } from 'node:fs'

/** Of this package. */
export function packageVersion(): string {
  const file = new URL('../package.json', import.meta.url)
  const { version }: { readonly version?: unknown } = JSON.parse(readFileSync(file, 'utf8'))
  return String(version)
}
