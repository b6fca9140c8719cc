/**
 * `pnpm bench:takeover`: three nodes share projections by leases. How long it takes until others have gone on with what one had that
 * was killed, or stopped; and what becomes of the writes of one that sleeps past its lease and then wakes (`SIGSTOP`, `SIGCONT`).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import {
  append,
  type BenchNode,
  createNodesDatabase,
  handledTwice,
  joinNodes,
  spawnNode,
  stopNode,
  unitsOf,
  until,
  untilShared,
} from './leases/nodes.ts'
import type { HeldWhere, HeldWrites } from './leases/protocol.ts'
import { readCommandLine } from './support/command-line.ts'
import { withServer } from './support/environment.ts'
import { percentile } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

console.log('pnpm bench:takeover')
const {
  tries,
  'lease-ms': leaseMs,
  projections,
  rate,
} = readCommandLine(
  { tries: 50, 'lease-ms': 5_000, projections: 12, rate: 100 },
  { tries: 2, 'lease-ms': 2_000 },
)

const NODES = 3
/** So that nodes are hit at any moment between two renewals. */
const LEAST_CALM_MS = 500
const units = Array.from({ length: projections }, (_, n) => `projection_${n + 1}`)

interface Takeover {
  /** Until the last projection was given to another node, in ms. */
  readonly given: number
  /** Until the last projection has handled an event there. */
  readonly handled: number
}

await withServer(
  async (server) => {
    const pool = await createNodesDatabase(server, 'takeover')
    const url = server.connectionString('takeover')
    let started = 0
    const start = async (): Promise<BenchNode> => {
      const node = await spawnNode(`node ${++started}`)
      await joinNodes([node], { url, leaseMs, units })
      return node
    }
    const nodes = [await start()]
    while (nodes.length < NODES) nodes.push(await start())

    const takeovers = async (end: (node: BenchNode) => Promise<void>): Promise<readonly Takeover[]> => {
      const seen: Takeover[] = []
      for (let n = 0; n < tries; n++) {
        await untilCalm(pool, nodes)
        const [victim] = nodes.splice(n % NODES, 1)
        if (victim === undefined) throw new TypeError('there are three')
        seen.push(await takeover(pool, victim, () => end(victim)))
        nodes.push(await start())
      }
      return seen
    }
    const killed = await takeovers(async (node) => {
      node.signal('SIGKILL')
      await node.end()
    })
    const stopped = await takeovers(stopNode)
    console.log(
      `\n${NODES} nodes, ${projections} projections, ${rate} events/s; from the signal, or the call of stop(), in ms`,
    )
    printTable(
      ['one node is', 'until', 'p50', 'p95', 'longest', 'tries'],
      [...rowsOf('killed (kill -9)', killed), ...rowsOf('stopped (stop())', stopped)],
    )

    const asleep = await zombies(pool, nodes)
    console.log(
      `\na node sleeps until others have what it had, with a write for each of its projections at hand; ${tries} times`,
    )
    printTable(
      ['at hand was', 'times', 'writes', 'refused for their fence', 'transaction was ended', 'committed'],
      asleep,
    )
    await Promise.all(nodes.map(stopNode))
    console.log(
      `\nevents that a projection has handled twice, in all of this: ${await handledTwice(pool, units)}`,
    )
    await pool.end()
  },
  // What sleeps in the middle of a transaction keeps its checkpoint locked until then.
  { idle_in_transaction_session_timeout: String(Math.round(leaseMs / 2)) },
)

async function untilCalm(pool: pg.Pool, nodes: readonly BenchNode[]): Promise<void> {
  await untilShared(pool, nodes, units)
  await handledTwice(pool, units)
  await sleep(LEAST_CALM_MS + Math.random() * leaseMs * (1 / 3))
}

async function takeover(pool: pg.Pool, victim: BenchNode, end: () => Promise<void>): Promise<Takeover> {
  const had = await unitsOf(pool, victim)
  return await whileAppending(pool, async () => {
    // Some events first, so that it is in the middle of its work.
    await sleep(500)
    // The server has the same clock.
    const sinceMs = Date.now()
    const ended = end()
    const seen = await until('others have gone on', async () => {
      const { rows } = await pool.query<Takeover & { readonly all: boolean }>(
        `select max(given) as given, max(handled) as handled, bool_and(given is not null and handled is not null) as all
         from (
           select (select extract(epoch from min(g.at))::float8 * 1000 - $2::float8 from given g
                   where g.projection = u and g.at > to_timestamp($2::float8 / 1000) and g.node <> $3) as given,
             (select extract(epoch from min(h.at))::float8 * 1000 - $2::float8 from handled h
                   where h.projection = u and h.at > to_timestamp($2::float8 / 1000) and h.node <> $3) as handled
           from unnest($1::text[]) u
         ) as each_unit`,
        [had, sinceMs, victim.name],
      )
      return rows[0]?.all === true && rows[0]
    })
    await ended
    return seen
  })
}

async function whileAppending<T>(pool: pg.Pool, work: () => Promise<T>): Promise<T> {
  let isOver = false
  const appending = (async () => {
    while (!isOver) {
      await append(pool)
      await sleep(1_000 / rate)
    }
  })()
  try {
    return await work()
  } finally {
    isOver = true
    await appending
  }
}

function rowsOf(how: string, takeovers: readonly Takeover[]): string[][] {
  return (['given', 'handled'] as const).map((what) => {
    const times = takeovers.map((takeover) => takeover[what])
    return [
      how,
      what === 'given' ? 'others have its projections' : 'each has handled an event there',
      ...[50, 95, 100].map((percent) => wholeNumber(percentile(times, percent))),
      String(times.length),
    ]
  })
}

async function zombies(pool: pg.Pool, nodes: readonly BenchNode[]): Promise<string[][]> {
  const sums: Record<HeldWhere, { times: number; outcomes: HeldWrites }> = {
    before: { times: 0, outcomes: { committed: 0, refused: 0, failed: 0 } },
    within: { times: 0, outcomes: { committed: 0, refused: 0, failed: 0 } },
  }
  for (let n = 0; n < tries; n++) {
    await untilCalm(pool, nodes)
    const zombie = nodes[n % NODES]
    if (zombie === undefined) throw new TypeError('there are three')
    const where = n % 2 === 0 ? 'before' : 'within'
    const { committed, refused, failed } = await awakened(pool, zombie, where)
    const { times, outcomes } = sums[where]
    sums[where] = {
      times: times + 1,
      outcomes: {
        committed: outcomes.committed + committed,
        refused: outcomes.refused + refused,
        failed: outcomes.failed + failed,
      },
    }
  }
  return [
    ['a write that was not sent yet', sums.before] as const,
    ['a handler in its transaction', sums.within] as const,
  ].map(
    ([
      what,
      {
        times,
        outcomes: { committed, refused, failed },
      },
    ]) => [what, ...[times, committed + refused + failed, refused, failed, committed].map(String)],
  )
}

/** What becomes of the writes that a node had at hand when it fell asleep. */
async function awakened(pool: pg.Pool, zombie: BenchNode, where: HeldWhere): Promise<HeldWrites> {
  const had = await unitsOf(pool, zombie)
  const holding = zombie.ask<object>({ kind: 'hold', where, writes: had.length })
  await sleep(100)
  await append(pool)
  await holding
  zombie.signal('SIGSTOP')
  await append(pool)
  await until('others have gone on', async () => {
    const { rows } = await pool.query<{ done: number }>(
      `select count(distinct projection)::int as done from handled
       where projection = any($1) and node <> $2 and position = (select max(position) from events)`,
      [had, zombie.name],
    )
    return rows[0]?.done === had.length
  })
  zombie.signal('SIGCONT')
  return await zombie.ask<HeldWrites>({ kind: 'go_on' })
}
