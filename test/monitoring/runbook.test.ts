import { readFile } from 'node:fs/promises'
import { postgresCheckpointsSql } from '@tidemark/pg-adapter'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { ROWS } from '../../monitoring/src/panels.ts'
import { type TestDatabase, testDatabase } from '../support/database.ts'

const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
const runbook = await read('docs/runbook.md')
const headings = [...runbook.matchAll(/^## (.+)$/gm)].map(([, heading = '']) =>
  heading.toLowerCase().replaceAll(' ', '-'),
)
const sqlBlocks = (markdown: string): string[] =>
  [...markdown.matchAll(/^ *```sql\n([\s\S]*?)^ *```$/gm)].map(([, sql = '']) => sql)

interface RulesFile {
  readonly groups: readonly { readonly rules: readonly Rule[] }[]
}
interface Rule {
  readonly alert: string
  readonly for: string
  readonly labels: { readonly severity: string }
  readonly annotations: Readonly<Record<string, string>>
}
const rules = (parse(await read('monitoring/alerts.yaml')) as RulesFile).groups.flatMap(
  (group) => group.rules,
)

describe.each(rules)('$alert', ({ alert, labels, for: duration, annotations }) => {
  test('has a severity, a duration, and a summary and description to act on', () => {
    expect(['critical', 'warning']).toContain(labels.severity)
    expect(duration).toMatch(/^\d+[smh]$/)
    expect(annotations.summary).toContain('{{ $labels.')
    expect(annotations.description).not.toHaveLength(0)
  })

  test('has a section of the runbook that names it', () => {
    const [path, section] = (annotations.runbook_url ?? '').split('#')
    expect(path).toBe('docs/runbook.md')
    expect(headings).toContain(section)
    expect(runbook).toContain(`\`${alert}\`, ${labels.severity}.`)
  })
})

test('the runbook has no section without an alert', () => {
  expect(headings).toHaveLength(rules.length)
})

describe('at 3 a.m. every query of the runbook and the dashboard runs', () => {
  const onDashboard = ROWS.flatMap(({ panels }) =>
    panels.flatMap(({ view }) => (view.kind === 'text' ? sqlBlocks(view.markdown('runbook')) : [])),
  )
  let database: TestDatabase

  beforeAll(async () => {
    database = await testDatabase()
    await database.pool.query(
      'create table events (position bigint generated always as identity primary key, data jsonb)',
    )
    await database.pool.query(postgresCheckpointsSql())
  })
  afterAll(async () => {
    await database.drop()
  })

  test.each([...sqlBlocks(runbook), ...onDashboard])('%s', async (sql) => {
    await expect(database.pool.query(sql)).resolves.toHaveProperty('rows')
  })

  test('the holder of a gap is found', async () => {
    const [findHolders = ''] = sqlBlocks(runbook).filter((sql) => sql.includes('x.transactionid'))
    const client = await database.pool.connect()
    try {
      await client.query("set application_name = 'checkout'")
      await client.query('begin')
      await client.query('insert into events default values')
      const { rows } = await database.pool.query(findHolders)
      expect(rows).toMatchObject([{ application_name: 'checkout', state: 'idle in transaction', gid: null }])
      await client.query('rollback')
    } finally {
      client.release()
    }
  })
})
