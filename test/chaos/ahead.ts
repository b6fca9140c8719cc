import { setTimeout as sleep } from 'node:timers/promises'
import type { Daemon } from '@tidemark/core'
import { type PostgresEventsOptions, postgresCheckpoints } from '@tidemark/pg-adapter'
import { expect } from 'vitest'
import type { Random } from '../core/model/random.ts'
import { eventsOf, projection, startDaemon } from './daemons.ts'
import { judge, untilArrived } from './oracle.ts'
import { branch } from './seed.ts'
import { type ChaosStore, chaosStore } from './store.ts'
import { until } from './until.ts'

export interface AheadRun {
  readonly random: Random
  readonly thresholdMs: number
  readonly writers: number
  /** Of each writer. */
  readonly appends: number
  /** At most from taking a number to the begin of its transaction, and from there to its end. */
  readonly aheadMs: number
  readonly heldMs: number
  /** The daemon is started again each time that so many events more have arrived. */
  readonly restarts: readonly number[]
}

/**
 * Writers as Marten's in append mode Rich: the number is taken on a connection of its own and committed there, the event is
 * inserted later, in a transaction that may be slow, prepared, or rolled back. Three of four begin at once.
 */
async function write(
  store: ChaosStore,
  random: Random,
  { appends, aheadMs, heldMs }: AheadRun,
): Promise<void> {
  const numbers = await store.connect()
  const client = await store.connect()
  for (let append = 0; append < appends; append++) {
    const { rows } = await numbers.query(`select nextval('events_position_seq')::text as number`)
    const number = String(rows[0].number)
    if (random.chance(0.25)) await sleep(random.below(aheadMs))
    await client.query('begin')
    if (random.chance(0.3)) await sleep(random.below(heldMs / 2))
    await client.query(
      `insert into events (position, id, type) overriding system value values ($1, gen_random_uuid(), 'common')`,
      [number],
    )
    if (random.chance(0.3)) await sleep(random.below(heldMs / 2))
    const isPrepared = random.chance(0.1)
    if (isPrepared) {
      await client.query(`prepare transaction 'ahead-${number}'`)
      await sleep(random.below(heldMs / 4))
    }
    const end = random.chance(0.9) ? 'commit' : 'rollback'
    await client.query(isPrepared ? `${end} prepared 'ahead-${number}'` : end)
    await sleep(random.below(40))
  }
  await Promise.all([numbers.end(), client.end()])
}

type HighWater = Pick<PostgresEventsOptions, 'numbers' | 'highWater'>

/** A daemon that writes down what it is given in order, and what it is given late, by different names. */
async function start(store: ChaosStore, name: string, mode: HighWater): Promise<Daemon<bigint>> {
  const late = projection(`${name}, late`)
  return await startDaemon(store, {
    source: eventsOf(store.pool(), { name, ...mode }),
    checkpoints: postgresCheckpoints({ pool: store.pool(), schema: name }),
    projections: [projection(name, { onLateEvent: late.handle })],
  })
}

/** What became of one daemon's events: each was handled in order, or was counted as passed and came late. */
async function passedTooEarly(store: ChaosStore, name: string): Promise<readonly string[]> {
  await until(`"${name}" has got to the end`, async () => {
    const { rows } = await store.query(
      `select position::bigint >= (select max(e.position) from events e) as is from ${name}.checkpoints`,
    )
    return rows[0]?.is
  })
  const { lost, ...others } = await judge({ name }, store)
  expect(others).toEqual({ ...others, duplicated: [], outOfOrder: [], phantom: [] })
  const lateOf = async () =>
    (await judge({ name: `${name}, late` }, store)) as typeof others & { lost: string[] }
  await until(`"${name}" has got what came late`, async () => {
    const { lost: missing } = await lateOf()
    return lost.every((position) => !missing.includes(position))
  })
  const { lost: missing, duplicated, phantom, committed } = await lateOf()
  // Late is what was not handled in order, and nothing else.
  expect({ duplicated, phantom, late: committed - missing.length }).toEqual({
    duplicated: [],
    phantom: [],
    late: lost.length,
  })
  const { rows } = await store.query(
    `select count(*)::int as untold from unnest($1::bigint[]) p
     where not exists (select from ${name}.skips s where s.stored < p and p < s.current)`,
    [lost],
  )
  expect(rows).toEqual([{ untold: 0 }])
  return lost
}

/** One input, two rules: the one that also waits for old transactions, and Marten's of old, which waits for the time alone. */
export async function compareRules(
  run: AheadRun,
): Promise<{ readonly committed: number; readonly ahead: number; readonly fixed: number }> {
  const store = await chaosStore({ max_prepared_transactions: '50' })
  const { random, thresholdMs, writers, restarts } = run
  const highWater = { mode: 'stale-threshold', thresholdMs } as const
  const modes = { ahead: { numbers: 'taken-ahead', highWater }, fixed: { highWater } } as const
  await start(store, 'fixed', modes.fixed)
  let daemon = await start(store, 'ahead', modes.ahead)
  const writing = Array.from({ length: writers }, () => write(store, branch(random), run))
  for (const arrived of restarts) {
    await untilArrived(store, 'ahead', arrived)
    await daemon.stop()
    daemon = await start(store, 'ahead', modes.ahead)
  }
  await Promise.all(writing)
  // A number above which nothing stands is passed by nobody.
  await store.query(`insert into events (id, type) values ('last', 'common')`)
  const { rows } = await store.query('select count(*)::int as committed from events')
  const figures = {
    committed: rows[0].committed as number,
    ahead: (await passedTooEarly(store, 'ahead')).length,
    fixed: (await passedTooEarly(store, 'fixed')).length,
  }
  console.info(JSON.stringify({ thresholdMs, ...figures }))
  return figures
}
