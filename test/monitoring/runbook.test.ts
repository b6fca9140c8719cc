import { readFile } from 'node:fs/promises'
import { postgresCheckpointsSql } from '@tidemark/pg-adapter'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { generatedFiles } from '../../monitoring/src/files.ts'
import { ROWS } from '../../monitoring/src/panels.ts'
import { type TestDatabase, testDatabase } from '../support/database.ts'

const read = (path: string): Promise<string> => readFile(new URL(`../../${path}`, import.meta.url), 'utf8')
const runbook = await read('docs/runbook.md')
const headings = [...runbook.matchAll(/^## (.+)$/gm)].map(([, heading = '']) => heading)
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
const rulesOf = (yaml: string): readonly Rule[] =>
  (parse(yaml) as RulesFile).groups.flatMap((group) => group.rules)
const rules = rulesOf(await read('monitoring/alerts.yaml'))

describe.each(rules)('$alert', ({ alert, labels, for: duration, annotations }) => {
  test('has a severity, a duration, and a summary and description to act on', () => {
    expect(['critical', 'warning']).toContain(labels.severity)
    expect(duration).toMatch(/^\d+[smh]$/)
    expect(annotations.summary).toContain('{{ $labels.')
    expect(annotations.description).not.toHaveLength(0)
  })

  test('names its section of the runbook, which names it', () => {
    const [, file, section = ''] =
      /^monitoring\/(.+) in @tidemark\/core, section "(.+)"$/.exec(annotations.runbook ?? '') ?? []
    expect(file).toBe('runbook.md')
    expect(headings).toContain(section)
    expect(runbook).toContain(`## ${section}\n\n\`${alert}\`, ${labels.severity}.`)
  })
})

describe('links to the runbook', () => {
  const made = async (address?: string) => {
    const files = await generatedFiles(read, address)
    return {
      rules: rulesOf(files.get('monitoring/alerts.yaml') ?? ''),
      dashboard: files.get('monitoring/dashboard.json') ?? '',
    }
  }

  test('are there where its address is given: to the section of each alert, and from the dashboard', async () => {
    const address = 'https://wiki.example/tidemark/runbook'
    const { rules, dashboard } = await made(address)
    const anchors = headings.map((heading) => heading.toLowerCase().replaceAll(' ', '-'))
    expect(rules.map(({ annotations }) => annotations.runbook_url).sort()).toEqual(
      anchors.map((anchor) => `${address}#${anchor}`).sort(),
    )
    expect(rules.filter(({ annotations }) => annotations.runbook !== undefined)).toEqual([])
    expect((JSON.parse(dashboard) as { links: unknown }).links).toMatchObject([{ url: address }])
    expect(dashboard).toContain(`](${address}#mark-stale)`)
  })

  test('are not made up where it is not', async () => {
    const { rules, dashboard } = await made()
    expect(rules.filter(({ annotations }) => annotations.runbook_url !== undefined)).toEqual([])
    expect(JSON.parse(dashboard)).not.toHaveProperty('links.0')
    expect(dashboard).not.toContain('](')
  })

  test.each(['docs/runbook.md', 'file:///srv/runbook.md', 'https://wiki.example/runbook#mark-stale', ''])(
    'are refused to %j, which leads nowhere',
    async (address) => {
      await expect(made(address)).rejects.toThrow(
        /^--runbook is .+ http or https address of docs\/runbook.md/,
      )
    },
  )
})

test('the runbook has no section without an alert', () => {
  expect(headings).toHaveLength(rules.length)
})

describe('at 3 a.m. every query of the runbook and the dashboard runs', () => {
  const onDashboard = ROWS.flatMap(({ panels }) =>
    panels.flatMap(({ view }) => (view.kind === 'text' ? sqlBlocks(view.markdown(String)) : [])),
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
