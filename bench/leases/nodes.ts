import { setTimeout as sleep } from 'node:timers/promises'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import type pg from 'pg'
import { type Child, startChild } from '../support/child.ts'
import { createDatabase } from '../support/database.ts'
import { CREATE_EVENTS } from '../support/event-table.ts'
import type { NodeOrder } from './protocol.ts'

export interface BenchNode extends Child {
  readonly name: string
}

/** A database in which nodes write down what they handle, and the server which unit was given to whom, and when. */
export async function createNodesDatabase(server: EmbeddedPostgres, name: string): Promise<pg.Pool> {
  const pool = await createDatabase(server, name)
  await pool.query(`${CREATE_EVENTS};
    create table handled (projection text, position bigint, node text, at timestamptz default clock_timestamp());
    create index on handled (projection, at);
    create table given (projection text, node text, at timestamptz);
    create index on given (projection, at)`)
  await postgresCheckpoints({ pool }).prepare?.(new AbortController().signal)
  await pool.query(`
    create function note_given() returns trigger language plpgsql as $$ begin
      insert into given select new.projection, n.name, clock_timestamp() from tidemark.nodes n where n.id = new.owner;
      return null;
    end $$;
    create trigger note_given after update of owner on tidemark.checkpoints for each row
      when (new.owner is distinct from old.owner and new.owner is not null) execute function note_given()`)
  return pool
}

type Joining = Omit<Extract<NodeOrder, { readonly kind: 'start' }>, 'kind'>

/** The process of a node, before it joins. */
export async function spawnNode(name: string): Promise<BenchNode> {
  const child = startChild('leases-node')
  await child.ask<object>({ kind: 'wait' })
  return { name, ...child }
}

export async function joinNodes(nodes: readonly BenchNode[], order: Omit<Joining, 'name'>): Promise<void> {
  await Promise.all(
    nodes.map((node) =>
      node.ask<object>({ kind: 'start', ...order, units: [...order.units], name: node.name }),
    ),
  )
}

/** `stop()` of its daemon, and the end of its process. */
export async function stopNode(node: BenchNode): Promise<void> {
  await node.ask<object>({ kind: 'stop' })
  await node.end()
}

/** Waits until each unit is with one of these nodes, all have as many as they should, and each is seen by its connection. */
export async function untilShared(
  pool: pg.Pool,
  nodes: readonly BenchNode[],
  units: readonly string[],
): Promise<void> {
  await until(`${nodes.length} nodes share ${units.length} projections`, async () => {
    const { rows } = await pool.query<{ units: number; seen: boolean }>(
      `select count(c.projection)::int as units, n.presence_pid is not null as seen
       from tidemark.nodes n left join tidemark.checkpoints c on c.owner = n.id
       where n.name = any($1) group by n.id`,
      [nodes.map(({ name }) => name)],
    )
    const counts = rows.map(({ units: count }) => count)
    return (
      rows.length === nodes.length &&
      rows.every(({ seen }) => seen) &&
      counts.reduce((sum, count) => sum + count, 0) === units.length &&
      Math.max(...counts) - Math.min(...counts) <= 1
    )
  })
}

export async function unitsOf(pool: pg.Pool, { name }: BenchNode): Promise<readonly string[]> {
  const { rows } = await pool.query<{ projection: string }>(
    `select c.projection from tidemark.checkpoints c join tidemark.nodes n on n.id = c.owner where n.name = $1`,
    [name],
  )
  return rows.map(({ projection }) => projection)
}

export async function append(pool: pg.Pool): Promise<void> {
  await pool.query(`insert into events (stream, type, data) values ('a', 'Deposited', '{}')`)
}

/** Waits until each projection has handled each event, and tells how often one was handled more than once. */
export async function handledTwice(pool: pg.Pool, units: readonly string[]): Promise<number> {
  const { handled, different } = await until('everything is handled', async () => {
    const { rows } = await pool.query<{ handled: number; different: number; expected: number }>(
      `select count(*)::int as handled, count(distinct (projection, position))::int as different,
         (select count(*)::int from events) * $1::int as expected from handled`,
      [units.length],
    )
    const [found] = rows
    return found?.different === found?.expected && found
  })
  return handled - different
}

const LONGEST_WAIT_MS = 120_000

/** Looks until it finds something. */
export async function until<T>(what: string, look: () => Promise<T | false | undefined>): Promise<T> {
  const untilMs = performance.now() + LONGEST_WAIT_MS
  for (;;) {
    const found = await look()
    if (found !== false && found !== undefined) return found
    if (performance.now() > untilMs) throw new Error(`it is not so after ${LONGEST_WAIT_MS} ms: ${what}`)
    await sleep(20)
  }
}
