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

const HEALTH = `
declare global {
  const daemon: import('@tidemark/core').Daemon<bigint>
}
export {}
`

test('every snippet about health is typed', () => {
  const snippets = snippetsOf('docs/health.md')
  expect(snippets.length).toBe(4)
  expect(typeErrors(snippets, HEALTH)).toEqual([])
}, 120_000)

const SCALING = `
declare global {
  const connectionString: string
  const projections: readonly import('@tidemark/core').Projection<
    import('@tidemark/pg-adapter').PostgresRow,
    import('pg').PoolClient
  >[]
}
export {}
`

test('every snippet about scaling is typed', () => {
  const snippets = snippetsOf('docs/scaling.md')
  expect(snippets.length).toBe(1)
  expect(typeErrors(snippets, SCALING)).toEqual([])
}, 120_000)

test('every snippet of what readers have lost is typed', () => {
  const snippets = snippetsOf('docs/doctor.md')
  expect(snippets.length).toBeGreaterThan(0)
  expect(typeErrors(snippets)).toEqual([])
}, 120_000)

const WATCH = `
declare global {
  const pool: import('@tidemark/pg-adapter').PgPool
  const own: import('@tidemark/pg-adapter').PgPool
  const source: ReturnType<typeof import('@tidemark/pg-adapter').watchedPostgresEvents>
  const consumers: ReturnType<typeof import('@tidemark/pg-adapter').postgresConsumers>
  function promClientMetrics(): import('@tidemark/core').Metrics
  function mail(message: { metadata: { globalPosition: bigint } }): Promise<void>
  const consumer: {
    reactor(options: {
      processorId: string
      eachMessage(message: { metadata: { globalPosition: bigint } }): Promise<void>
    }): void
  }
}
export {}
`

test('every snippet about watching is typed', () => {
  const [whole = '', own, ledger, esdb = '', ...others] = snippetsOf('docs/watch.md')
  expect(others).toEqual([])
  const imports = whole.split('\n').slice(0, 2).join('\n')
  const kept = "import { postgresCheckpoints } from '@tidemark/pg-adapter'"
  const programs = [
    whole,
    `${imports}\n${own}\nvoid [emmett, watch]`,
    `${imports.split('\n')[0]}\n${kept}\n${ledger}\nvoid watch`,
    ...snippetsOf('docs/monitor-handler.md'),
    `${esdb}\nvoid watch`,
  ]
  expect(typeErrors(programs, WATCH)).toEqual([])
}, 120_000)

test('every snippet about presets is typed', () => {
  const snippets = snippetsOf('docs/presets.md')
  expect(snippets.length).toBeGreaterThan(1)
  expect(typeErrors(snippets)).toEqual([])
}, 120_000)

const OPERATING = `
declare global {
  const operations: import('@tidemark/core/operations').Operations<bigint>
  const daemon: import('@tidemark/core').Daemon<bigint>
  const ordersHandler: () => Promise<void>
  const ordersHandler2: () => Promise<void>
}
export {}
`

test('every snippet about operating is typed', () => {
  const snippets = snippetsOf('docs/operating.md')
  expect(snippets.length).toBeGreaterThan(9)
  expect(typeErrors(snippets, OPERATING)).toEqual([])
}, 120_000)

/** What the page leaves to its reader: types of their tables, and how a handler is declared. */
const FIRST_WEEK = `
import type { Projection } from '@tidemark/core'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { PoolClient } from 'pg'
declare global {
  type Deposited = { account: string; amount: number }
  type Tables = { balances: Deposited }
  type Handle = Projection<Deposited, PoolClient>['handle']
  namespace pg {
    type PoolClient = import('pg').PoolClient
  }
  const balances: PgTable
}
export {}
`

test('every snippet of the first week is typed', () => {
  const snippets = snippetsOf('docs/first-week.md')
  expect(snippets.length).toBe(10)
  expect(typeErrors(snippets, FIRST_WEEK)).toEqual([])
}, 120_000)

const CONSOLE = `
declare global {
  const connectionString: string
  function operatorOf(request: import('node:http').IncomingMessage): { who: string } | undefined
}
export {}
`

test('every snippet about the console is typed', () => {
  const snippets = snippetsOf('docs/console.md')
  expect(snippets.length).toBe(4)
  expect(typeErrors(snippets, CONSOLE)).toEqual([])
}, 120_000)
