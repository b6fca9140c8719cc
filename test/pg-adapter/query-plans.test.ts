import { type PgPool, postgresEvents } from '@tidemark/pg-adapter'
import { beforeAll, expect, test } from 'vitest'
import { agentOver, type EventTable, fileDatabase } from '../support/event-table.ts'

const db = fileDatabase()

const EVENTS = 100_000
/** Far fewer blocks than the table has: some 30 for a page of 500 rows and its way through the index. */
const MOST_BLOCKS = 60

let events: EventTable
beforeAll(async () => {
  events = await db.events()
  await events.run(`insert into events (type, data)
    select case when n % 10 = 0 then 'rare' else 'common' end, repeat('x', 100) from generate_series(1, ${EVENTS}) n`)
  await db.pool.query(`vacuum analyze ${events.name}`)
})

interface Sent {
  readonly text: string
  readonly values: unknown[]
}

/** A pool that writes down every statement about the table. */
function recording(sent: Sent[]): PgPool {
  return {
    connect: async () => {
      const client = await db.pool.connect()
      return Object.assign(Object.create(client), {
        query: (text: string, values: unknown[] = []) => {
          if (text.includes(`"${events.schema}"."events"`)) sent.push({ text, values })
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

/** Runs it once more, and tells how. On another backend than the one that it was meant for, keys do not match. */
async function planOf({ text, values }: Sent): Promise<{ scans: string[]; blocks: number }> {
  const known = await db.pool.connect()
  try {
    const { rows: keys } = await known.query(
      `select pg_backend_pid() || '@' || (extract(epoch from backend_start) * 1000000)::bigint as key
       from pg_stat_get_activity(pg_backend_pid())`,
    )
    const bound = values.map((value) =>
      Array.isArray(value) && String(value[0]).includes('@') ? [keys[0].key] : value,
    )
    const { rows } = await known.query(`explain (analyze, buffers, format json) ${text}`, bound)
    const plan = rows[0]['QUERY PLAN'][0].Plan as Plan
    return {
      scans: scansOf(plan).filter((scan) => scan.endsWith(' events')),
      blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
    }
  } finally {
    known.release()
  }
}

const scansOf = (plan: Plan): string[] => [
  ...(plan['Relation Name'] ? [`${plan['Node Type']} ${plan['Relation Name']}`] : []),
  ...(plan.Plans ?? []).flatMap(scansOf),
]

const INDEX_SCAN = /^Index (Only )?Scan events$/

async function expectIndexed(sent: Sent | undefined) {
  if (!sent) throw new Error('nothing was sent')
  const { scans, blocks } = await planOf(sent)
  expect(scans).toHaveLength(1)
  expect(scans[0]).toMatch(INDEX_SCAN)
  expect(blocks).toBeLessThan(MOST_BLOCKS)
}

const GREATEST = 'as "greatestVisible"'
const WINDOW = 'array_to_string(array('

/** Of polls, each one message of many statements, the first statement that has this in it. */
function statementOf(sent: readonly Sent[], part: string): Sent {
  const text = sent.flatMap((message) => message.text.split(';')).find((sql) => sql.includes(part))
  if (text === undefined) throw new Error(`no statement has ${part}`)
  return { text, values: [] }
}

test.each([
  ['of every event', undefined],
  ['of a common type', ['common']],
  ['of a rare type', ['rare', 'rarer']],
])('a page %s is one index scan, wherever it begins', async (_, eventTypes) => {
  const sent: Sent[] = []
  const source = postgresEvents({ pool: recording(sent), table: events.name, eventType: 'type' })
  const agent = await agentOver({ pool: db.pool, table: events.name })
  const { reading } = agent
  if (reading?.mark === undefined) throw new Error('there are events')
  const { incarnation, settled, logPosition, mark } = reading
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
    await expectIndexed(sent.at(-1))
  }
})

test('the mark is looked up, the window read and the greatest position found by the index', async () => {
  const sent: Sent[] = []
  const agent = await agentOver({ pool: recording(sent), table: events.name })
  const lookUp = sent.find(({ text }) => text.includes('as mark'))
  await expectIndexed(lookUp)
  await expectIndexed(statementOf(sent, GREATEST))

  sent.length = 0
  await agent.waitFor(await events.append())
  await expectIndexed(statementOf(sent, WINDOW))
})
