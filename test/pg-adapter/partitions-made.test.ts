import { postgresEvents } from '@tidemark/pg-adapter'
import type { QueryResult } from 'pg'
import { expect, test } from 'vitest'
import {
  agentOver,
  checkpointsBeside,
  eventually,
  fileDatabase,
  HANDLED,
  handledBy,
  recorder,
  refusal,
  startDaemon,
} from '../support/event-table.ts'
import { pollOf } from '../support/poll.ts'

const db = fileDatabase()

const PARTITIONED = `create sequence numbers;
  create table events (position bigint not null default nextval('numbers'), tenant int not null default 0)
    partition by list (tenant);
  create table events_0 partition of events for values in (0); create index on events (position)`

type Send = (text: string, values?: unknown[]) => Promise<QueryResult>

/** The pool, over which `query` sends the messages. `released` is told of connections that are given back. */
function poolThat(
  query: (send: Send, text: string, values?: unknown[]) => Promise<QueryResult | QueryResult[]>,
  released: (isDestroyed: boolean) => void = () => {},
) {
  return {
    connect: async () => {
      const client = await db.pool.connect()
      const send: Send = (text, values) => client.query(text, values)
      return Object.assign(Object.create(client), {
        query: (text: string, values?: unknown[]) => query(send, text, values),
        release: (destroy?: boolean) => {
          released(destroy === true)
          client.release(destroy)
        },
      })
    },
  }
}

/** The pool; before each message that is sent over it, `before` runs. */
function poolThatRuns(before: () => Promise<void>) {
  return poolThat(async (send, text, values) => {
    await before()
    return send(text, values)
  })
}

/** Sends a message in two parts, the first of which ends with the first `end`. In between, `meanwhile` runs. */
async function sendInParts(send: Send, text: string, end: string, meanwhile: () => Promise<void>) {
  const at = text.indexOf(`${end};`) + end.length
  const first = await send(text.slice(0, at))
  await meanwhile()
  return [first, await send(text.slice(at + 1))].flat()
}

test('starts, and polls, while a partition is made between any two of its statements', async () => {
  const events = await db.events(PARTITIONED)
  await events.append(2)
  let tenant = 0
  const pool = poolThatRuns(() => {
    tenant++
    return events.run(`create table events_${tenant} partition of events for values in (${tenant})`)
  })
  const agent = await agentOver({ pool, table: events.name })
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 2n })
  await agent.waitFor(await events.append())
  expect(agent.status()).toMatchObject({ state: 'polling', mark: 3n, error: undefined })
})

test('refuses a partition with numbers of its own that is made between any two of its statements', async () => {
  const events = await db.events(`${PARTITIONED}; create sequence others`)
  let statements = 0
  const pool = poolThatRuns(async () => {
    statements++
    await events.run(`create table events_${statements} partition of events for values in (${statements});
      alter table events_${statements} alter position set default nextval('others')`)
  })
  expect(await refusal({ pool, table: events.name })).toMatchObject({
    condition: 'sequence_shared_by_partitions',
  })
})

test('a sequence that is replaced between any two of its statements is an error', async () => {
  const events = await db.events('create table events (position bigserial primary key)')
  const pool = poolThatRuns(() => events.run('alter sequence events_position_seq minvalue 1'))
  const error = await refusal({ pool, table: events.name })
  expect(error.condition).toBe('sequence_found')
  expect(error.message).toMatch(/at each of 4 looks/)
})

/** Several times: a backend overlooks a partition in one of some 500 of these moves, unless it is noticed. */
test.each([1, 2, 3, 4, 5])(
  'rows moved from the default partition to new ones under the polls are all handled, once (%i)',
  async () => {
    const events = await db.events(
      `${PARTITIONED}; create table events_rest partition of events default; ${HANDLED}`,
    )
    const daemon = await startDaemon({
      source: postgresEvents({ pool: db.pool, table: events.name }),
      checkpoints: checkpointsBeside(events, db.pool),
      projections: [recorder(events, 'all')],
      pollIntervalMs: 1,
    })
    for (let tenant = 1; tenant <= 20; tenant++) {
      await events.run(`insert into events (tenant) values (${tenant}), (0)`)
      await events.run(`create table new_${tenant} (like events including all);
      with moved as (delete from events_rest where tenant = ${tenant} returning *) insert into new_${tenant} select * from moved;
      alter table events attach partition new_${tenant} for values in (${tenant})`)
    }
    await daemon.waitUntilProjected()
    expect(await handledBy(db.pool, events, 'all')).toEqual(
      Array.from({ length: 40 }, (_, n) => BigInt(n + 1)),
    )
  },
)

test.each([
  ['before they read the positions', 'as "fingerprintBefore"'],
  ['after they have read the table for the first time', 'as "mayReadSequence"'],
])(
  'polls during which partitions are attached, %s, are tried again until one falls between two',
  async (_, after) => {
    const events = await db.events(PARTITIONED)
    await events.append()
    const { pool, attached } = attachingDuringPolls(events, 5, after)
    const agent = await agentOver({ pool, table: events.name }, { pollIntervalMs: 1 })
    await agent.waitFor(1n)
    await events.run('create table events_99 partition of events for values in (99)')
    await eventually(() => agent.status().error).toMatchObject({ code: 'TIDEMARK_PARTITIONS_CHANGED' })
    await agent.waitFor(await events.append())
    expect(attached()).toBe(5)
    expect(agent.status()).toMatchObject({ state: 'polling', mark: 2n, error: undefined })
  },
)

test('a page during which a partition is attached is read again, on another connection', async () => {
  const events = await db.events(`${PARTITIONED}; create table events_rest partition of events default`)
  await events.run('insert into events (tenant) values (0), (7), (0)')
  const sent: string[] = []
  const agent = await agentOver({ pool: db.pool, table: events.name })
  await agent.waitFor(3n)
  let destroyed = 0
  const pool = poolThat(
    async (send, text, values) => {
      if (!text.includes('as partitions;')) return send(text, values)
      sent.push(text)
      if (sent.length > 1) return send(text)
      return await sendInParts(send, text, 'as partitions', () =>
        events.run(`create table moved (like events including all);
          with of7 as (delete from events_rest where tenant = 7 returning *) insert into moved select * from of7;
          alter table events attach partition moved for values in (7)`),
      )
    },
    (isDestroyed) => {
      if (isDestroyed) destroyed++
    },
  )
  const source = postgresEvents({ pool, table: events.name })
  const signal = new AbortController().signal
  // So that it knows that there are partitions.
  const { incarnation, settled, logPosition } = await pollOf(source)
  const { positions } = await source.load({
    after: undefined,
    upTo: 3n,
    limit: 10,
    eventTypes: undefined,
    evidence: { incarnation, settled, logPosition },
    signal,
  })
  expect(positions).toEqual([1n, 2n, 3n])
  expect(sent.length).toBeGreaterThan(1)
  expect(destroyed).toBe(1)
})

/** In the first polls that look at the catalog too, a partition is attached behind the statement that ends so. */
function attachingDuringPolls(events: Awaited<ReturnType<typeof db.events>>, polls: number, after: string) {
  let attached = 0
  const pool = poolThat(async (send, text, values) => {
    if (!text.includes('"fingerprintBefore"') || attached >= polls) return send(text, values)
    attached++
    await events.run(`create table part_${attached} (like events including all)`)
    return await sendInParts(send, text, after, () =>
      events.run(`alter table events attach partition part_${attached} for values in (${attached})`),
    )
  })
  return { pool, attached: () => attached }
}
