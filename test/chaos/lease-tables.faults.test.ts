import {
  type CheckpointStore,
  type Leases,
  type NodeReport,
  unitKey,
  wholeUnit,
} from '@tidemark/core/adapter'
import { type PgClient, postgresCheckpoints } from '@tidemark/pg-adapter'
import type { Pool } from 'pg'
import { expect, test } from 'vitest'
import { never } from '../support/never.ts'
import { type ChaosStore, chaosStore } from './store.ts'

const UNITS = Array.from({ length: 8 }, (_, index) => wholeUnit(`projection ${index}`))
const NODES = ['first', 'second', 'third']
const LEASE_MS = 3_600_000
const PAGE_BYTES = 8_192
const ROUNDS = 1_000

const report = (id: string): NodeReport => ({
  id,
  name: id,
  source: 'events',
  capacity: 1,
  units: UNITS.map(unitKey),
  unable: [],
  isLeaving: false,
})

interface TableSize {
  readonly updates: number
  readonly inPlace: number
  readonly pages: number
}

/** Nodes that renew, and units that move, by turns and over one connection. */
class Work {
  readonly #pool: Pool
  readonly #checkpoints: CheckpointStore<PgClient>
  readonly #leases: Leases
  #rounds = 0

  private constructor(pool: Pool, checkpoints: CheckpointStore<PgClient>, leases: Leases) {
    this.#pool = pool
    this.#checkpoints = checkpoints
    this.#leases = leases
  }

  static async on(store: ChaosStore): Promise<Work> {
    const pool = store.pool({ max: 1 })
    const checkpoints = postgresCheckpoints({ pool })
    const { leases } = checkpoints
    if (leases === undefined) throw new Error('Postgres has leases')
    await checkpoints.prepare?.(never())
    for (const unit of UNITS) await checkpoints.open(unit, { source: 'events', head: undefined }, never())
    return new Work(pool, checkpoints, leases)
  }

  /** Milliseconds that each renewal took. */
  async run(rounds: number): Promise<readonly number[]> {
    const took: number[] = []
    for (const end = this.#rounds + rounds; this.#rounds < end; this.#rounds++) {
      const startedMs = performance.now()
      const node = report(NODES[this.#rounds % NODES.length] ?? '')
      await this.#leases.renew({ node, leaseMs: LEASE_MS, signal: never() })
      took.push(performance.now() - startedMs)
      await this.#move()
    }
    return took
  }

  async #move(): Promise<void> {
    const unit = UNITS[this.#rounds % UNITS.length] ?? wholeUnit('')
    const turn = Math.floor(this.#rounds / UNITS.length)
    await this.#checkpoints.advance(
      {
        unit,
        source: 'events',
        from: turn === 0 ? undefined : String(turn),
        to: String(turn + 1),
        evidence: { incarnation: 'of another store', settled: '1', logPosition: undefined },
        signal: never(),
      },
      async () => {},
    )
  }

  async sizes(): Promise<ReadonlyMap<string, TableSize>> {
    await this.#pool.query('select pg_stat_force_next_flush()')
    const { rows } = await this.#pool.query(
      `select relname as table, n_tup_upd::int as updates, n_tup_hot_upd::int as "inPlace", (pg_relation_size(relid) / $1)::int as pages
       from pg_stat_user_tables where schemaname = 'tidemark' and relname in ('nodes', 'checkpoints')`,
      [PAGE_BYTES],
    )
    return new Map(rows.map(({ table, ...size }) => [String(table), size]))
  }
}

/** That almost all of what was changed since then was changed in place, and no table has grown. */
function expectFlat(before: ReadonlyMap<string, TableSize>, after: ReadonlyMap<string, TableSize>): void {
  for (const [table, { updates, inPlace, pages }] of after) {
    const known = before.get(table) ?? { updates: 0, inPlace: 0, pages: 0 }
    const changed = updates - known.updates
    expect(changed, table).toBe(ROUNDS)
    expect(inPlace - known.inPlace, table).toBeGreaterThan(0.9 * changed)
    expect(pages, table).toBe(known.pages)
  }
}

const p99 = (ms: readonly number[]): string =>
  (ms.toSorted((a, b) => a - b)[Math.floor(0.99 * ms.length)] ?? 0).toFixed(1)

test('renewals and moves change rows in place; beside a transaction that is left open the tables grow by what they write, and no further once it has ended', async () => {
  // Whoever looks at a table for a moment keeps its rows for as long.
  const store = await chaosStore({ autovacuum: 'off' })
  const work = await Work.on(store)
  await work.run(200)
  const first = await work.sizes()
  const alone = await work.run(ROUNDS)
  expectFlat(first, await work.sizes())

  const open = await store.connect()
  await open.query('begin')
  await open.query('select txid_current()')
  const beside = await work.run(ROUNDS)
  const grown = await work.sizes()
  await open.query('rollback')
  await open.end()
  for (const [table, { pages }] of grown) {
    // A row of either has less than a kilobyte.
    expect(pages - (first.get(table)?.pages ?? 0), table).toBeLessThan((ROUNDS * 1_024) / PAGE_BYTES)
  }

  await work.run(200)
  const last = await work.sizes()
  const afterwards = await work.run(ROUNDS)
  expectFlat(last, await work.sizes())
  console.info(
    `p99 of a renewal: ${p99(alone)} ms alone, ${p99(beside)} ms beside an open transaction, ${p99(afterwards)} ms after it; ` +
      `pages: ${JSON.stringify(Object.fromEntries([...grown].map(([table, { pages }]) => [table, pages])))}`,
  )
})
