import { expect, test } from 'vitest'
import { snippetsOf, typeErrors } from './snippets.ts'

/** What a reader has already: of their own, or from the snippet above. */
const AMBIENT = `
declare global {
  const client: import('@kurrent/kurrentdb-client').KurrentDBClient
  const metrics: import('@tidemark/core').Metrics
  const fromRevision: bigint
  const fromPosition: import('@kurrent/kurrentdb-client').Position
  const stopping: AbortSignal
  function storedRevision(): Promise<bigint | undefined>
  function mail(event: import('@kurrent/kurrentdb-client').RecordedEvent | undefined): Promise<void>
}
export {}
`

test('every snippet of the guide to subscriptions is typed', () => {
  const snippets = snippetsOf('docs/subscriptions.md')
  expect(snippets.length).toBeGreaterThan(5)
  expect(typeErrors(snippets, AMBIENT)).toEqual([])
}, 120_000)

test("the README's programs for both clients are typed", () => {
  const programs = snippetsOf('README.md').filter((code) => /(db|kurrentdb)-client'/.test(code))
  expect(programs.length).toBe(2)
  expect(typeErrors(programs)).toEqual([])
}, 120_000)
