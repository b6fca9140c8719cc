import type { HighWaterAgent, HighWaterReading } from '@tidemark/core'
import { MOST_WATCHED_RUNS } from '@tidemark/core/adapter'
import { type PgPool, postgresEvents } from '@tidemark/pg-adapter'
import { beforeAll, expect, test, vi } from 'vitest'
import { agentOver, type EventTable, eventually, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

const EVENTS = 100_000
/** Far fewer blocks than the table has: some 30 for a page of 500 rows and its way through the index. */
const MOST_BLOCKS = 60
/** The 50,000 rows of one transaction are on some 1,000 blocks, and those of the window on a tenth of them. */
const FEW_ROWS_BLOCKS = 250

let events: EventTable
beforeAll(async () => {
  events = await db.events()
  await events.run(`insert into events (type, data)
    select case when n % 10 = 0 then 'rare' else 'common' end, repeat('x', 100) from generate_series(1, ${EVENTS}) n`)
  await db.pool.query(`vacuum analyze ${events.name}`)
})

/** A pool that writes down every statement about the table. */
function recording(sent: string[]): PgPool {
  return {
    connect: async () => {
      const client = await db.pool.connect()
      return Object.assign(Object.create(client), {
        query: (text: string, values: unknown[] = []) => {
          if (text.includes(`"${events.schema}"."events"`)) sent.push(text)
          return client.query(text, values.length > 0 ? values : undefined)
        },
        release: (destroy?: boolean) => client.release(destroy),
      })
    },
  }
}

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: Plan[]
}

/** Runs it once more, and tells how. */
async function planOf(statement: string): Promise<{ scans: string[]; blocks: number }> {
  const { rows } = await db.pool.query(`explain (analyze, buffers, format json) ${statement}`)
  const plan = rows[0]['QUERY PLAN'][0].Plan as Plan
  return {
    scans: scansOf(plan).filter((scan) => scan.endsWith(' events')),
    blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
  }
}

const scansOf = (plan: Plan): string[] => [
  ...(plan['Relation Name'] ? [`${plan['Node Type']} ${plan['Relation Name']}`] : []),
  ...(plan.Plans ?? []).flatMap(scansOf),
]

const INDEX_SCAN = /^Index (Only )?Scan events$/

function lastStatement(sent: readonly string[], part: string): string | undefined {
  return sent.flatMap((message) => message.split(';')).findLast((sql) => sql.includes(part))
}

/** Of all that was sent, each one message of many statements, the last statement that has this in it. */
async function expectIndexed(sent: readonly string[], part: string, mostBlocks = MOST_BLOCKS) {
  const statement = lastStatement(sent, part)
  if (statement === undefined) throw new Error(`no statement has ${part}`)
  const { scans, blocks } = await planOf(statement)
  expect(scans).toHaveLength(1)
  expect(scans[0]).toMatch(INDEX_SCAN)
  expect(blocks).toBeLessThan(mostBlocks)
}

/**
 * A reading with a mark. Before 18, a poll of the agent before, cut off by its stop, may still hold the sequence's lock when
 * the first poll of this one looks: the mark is then known one poll later.
 */
async function marked(
  agent: HighWaterAgent<bigint>,
): Promise<HighWaterReading<bigint> & { readonly mark: bigint }> {
  for (;;) {
    const { reading } = agent
    if (reading?.mark !== undefined) return { ...reading, mark: reading.mark }
    await agent.nextChange()
  }
}

const PAGE = 'rows with ties'
const MARK = 'as mark'
const GREATEST = 'as "greatestVisible"'
const WINDOW = 'array_to_string(array('
const LATE = 'as run (first, last)'

test('a page of a shard by a column is one index scan, which ends with the page', async () => {
  const sent: string[] = []
  const source = postgresEvents({ pool: recording(sent), table: events.name })
  const { mark, incarnation, settled, logPosition } = await marked(
    await agentOver({ pool: db.pool, table: events.name }),
  )
  for (const after of [undefined, 10_000n]) {
    sent.length = 0
    const page = await source.load({
      after,
      upTo: mark,
      limit: 2_000,
      eventTypes: undefined,
      slots: { column: 'position', from: 128, to: 255 },
      evidence: { incarnation, settled, logPosition },
      signal: new AbortController().signal,
    })
    expect(page.events).toHaveLength(2_000)
    // One in eight is the shard's; the table has some 2,000.
    await expectIndexed(sent, PAGE, 800)
  }
})

test.each([
  ['of every event', undefined],
  ['of a common type', ['common']],
  ['of a rare type', ['rare', 'rarer']],
])('a page %s is one index scan, wherever it begins', async (_, eventTypes) => {
  const sent: string[] = []
  const source = postgresEvents({ pool: recording(sent), table: events.name, eventType: 'type' })
  const { mark, incarnation, settled, logPosition } = await marked(
    await agentOver({ pool: db.pool, table: events.name }),
  )
  for (const after of [undefined, 50_000n, 99_900n]) {
    sent.length = 0
    const page = await source.load({
      after,
      upTo: mark,
      limit: 100,
      eventTypes,
      evidence: { incarnation, settled, logPosition },
      signal: new AbortController().signal,
    })
    expect(page.events.length).toBeGreaterThan(0)
    await expectIndexed(sent, PAGE)
  }
})

test('the mark is looked up, the window read and the greatest position found by the index', async () => {
  const sent: string[] = []
  const agent = await agentOver({ pool: recording(sent), table: events.name })
  await marked(agent)
  await expectIndexed(sent, MARK)
  await expectIndexed(sent, GREATEST)

  // A poll that is on its way may settle the append: its statement counts too.
  await agent.waitFor(await events.append())
  await expectIndexed(sent, WINDOW)
})

test('every run that is watched costs one descent of the index', async () => {
  const sent: string[] = []
  const agent = await agentOver({ pool: recording(sent), table: events.name, eventType: 'type' })
  for (let run = 0; run <= MOST_WATCHED_RUNS; run++) {
    await db.pool.query(`begin; insert into ${events.name} default values; rollback`)
    await agent.waitFor(await events.append())
  }
  const runsOfLastLook = () =>
    sent
      .findLast((message) => message.includes(LATE))
      ?.match(/array\[[^\]]*\]::bigint/)?.[0]
      .split(',').length
  // Not each poll looks.
  while (runsOfLastLook() !== MOST_WATCHED_RUNS) await agent.freshReading()
  await expectIndexed(sent, LATE, 5 * MOST_WATCHED_RUNS)
})

test('of the rows that a transaction still open has written, however many, a poll looks at few', async () => {
  const sent: string[] = []
  const agent = await agentOver({ pool: recording(sent), table: events.name })
  const writer = await db.session()
  await writer.query(`begin;
    insert into ${events.name} (data) select repeat('x', 100) from generate_series(1, 50000)`)
  const { rows } = await writer.query('select lastval() as last')
  await eventually(() => agent.status()).toMatchObject({ head: BigInt(rows[0].last), holders: [{}] })
  sent.length = 0
  const now = performance.now.bind(performance)
  // Time to look for the greatest position again.
  vi.spyOn(performance, 'now').mockImplementation(() => now() + 10_000)
  for (const part of [GREATEST, WINDOW]) {
    await eventually(() => lastStatement(sent, part)).toBeDefined()
    expect((await planOf(lastStatement(sent, part) ?? '')).blocks).toBeLessThan(FEW_ROWS_BLOCKS)
  }
  await writer.query('rollback')
})
