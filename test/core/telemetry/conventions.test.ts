import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { describe, expect, test } from 'vitest'
import { ATTRIBUTES } from '../../../packages/core/src/telemetry/attributes.ts'

const core = new URL('../../../packages/core/', import.meta.url)
const conventions = createRequire(new URL('package.json', core))(
  '@opentelemetry/semantic-conventions',
) as Readonly<Record<string, unknown>>
/** The package exports what is stable; the rest is in its entry point `incubating`. */
const stable = new Set(Object.values(conventions))

const page = await readFile(new URL('../../../docs/telemetry.md', import.meta.url), 'utf8')
const names = page.slice(page.indexOf('## Names'), page.indexOf('## Spans'))

describe('a name that is a stable convention comes from its package', () => {
  test.each(Object.values(ATTRIBUTES))('%s is not one, or is not written here', (name) => {
    expect(stable).not.toContain(name)
  })

  test('the names that are neither ours nor stable are told to be in development', () => {
    const foreign = Object.values(ATTRIBUTES).filter((name) => !/^(marten|tidemark)\./.test(name))
    expect(foreign).not.toHaveLength(0)
    for (const name of foreign) {
      const row = names.split('\n').find((line) => line.startsWith('|') && line.includes(`\`${name}\``))
      expect(row).toContain('in development')
    }
  })

  test('what the page calls a stable convention is one', () => {
    const rows = names.split('\n').filter((line) => line.includes('| stable convention |'))
    const named = rows.flatMap((row) =>
      [...(row.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name]) => name),
    )
    expect(named).toContain('error.type')
    for (const name of named) expect(stable).toContain(name)
  })
})
