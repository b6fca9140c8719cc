import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const read = (page: string): string => readFileSync(repository + page, 'utf8')
/** Everything in backticks that stands outside of code blocks. */
const inBackticks = (page: string): string[] =>
  [
    ...read(page)
      .replaceAll(/^```[\s\S]*?^```$/gm, '')
      .matchAll(/`([^`\n]+)`/g),
  ].map(([, text = '']) => text)

const tests = new Set(
  readdirSync(`${repository}test`, { recursive: true, encoding: 'utf8' }).map((path) =>
    path.split('/').pop(),
  ),
)

test.each(['SPEC.md', 'CONTRIBUTING.md'])('%s names test files that are there', (page) => {
  const named = inBackticks(page).filter((text) => /^[\w./-]+\.test\.ts$/.test(text))
  expect(named.length).toBeGreaterThan(3)
  expect(named.filter((path) => !tests.has(path.split('/').pop() ?? ''))).toEqual([])
})

test.each(['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SPEC.md', 'docs/proof.md'])(
  '%s names paths that are there',
  (page) => {
    const named = inBackticks(page).filter((text) =>
      /^(packages|test|docs|monitoring|bench|examples)\/[\w./-]+$/.test(text),
    )
    expect(named.filter((path) => !existsSync(repository + path))).toEqual([])
  },
)
