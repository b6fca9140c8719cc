import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { generatedFiles } from '../../monitoring/src/files.ts'
import { ATTRIBUTES } from '../../packages/core/src/telemetry/attributes.ts'

const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
const files = await generatedFiles(read)

test.each([...files.keys()])('%s is what `pnpm monitoring` makes', async (path) => {
  expect(await read(path)).toBe(files.get(path))
})

test('docs/telemetry.md has every attribute of every span', async () => {
  const page = await read('docs/telemetry.md')
  for (const attribute of Object.values(ATTRIBUTES)) expect(page).toContain(`\`${attribute}\``)
})
