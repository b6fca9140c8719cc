/**
 * `pnpm bench:beside`: how long after its append an event is handled by the live version of a projection, alone and while
 * version 2 is built beside it from the first event, in the same daemon or in another.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createDaemon, type Daemon, type Projection } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import pg from 'pg'
import { readCommandLine } from './support/command-line.ts'
import { createDatabase } from './support/database.ts'
import { withServer } from './support/environment.ts'
import { ACCOUNTS, CREATE_EVENTS, fillEvents } from './support/event-table.ts'
import { percentile } from './support/statistics.ts'
import { printTable, wholeNumber } from './support/table.ts'

interface Event {
  readonly account: number
  readonly amount: number
  readonly createdAt: Date
}

type Where = 'alone' | 'version 2 in the same daemon' | 'version 2 in another daemon'

/** Before it, the projection at rest polls seldom: how soon the first event is seen is another figure. */
const WARM_UP_MS = 1_000

console.log('pnpm bench:beside')
const { seconds, history, rate, rounds } = readCommandLine(
  { seconds: 10, history: 300_000, rate: 500, rounds: 3 },
  { seconds: 2, history: 20_000, rounds: 1 },
)

await withServer(async (server) => {
  const delays = new Map<Where, number[]>()
  const built = new Map<Where, number[]>()
  for (let round = 0; round < rounds; round++) {
    for (const where of ['alone', 'version 2 in the same daemon', 'version 2 in another daemon'] as const) {
      const pool = await createDatabase(server, `beside_${round}_${where.replaceAll(' ', '_')}`)
      const trial = await run(pool, where)
      await pool.end()
      delays.set(where, [...(delays.get(where) ?? []), ...trial.delays])
      built.set(where, [...(built.get(where) ?? []), trial.eventsOfSecond])
      console.log(`  round ${round + 1}, ${where}: p99 ${ms(percentile(trial.delays, 99))}`)
    }
  }
  console.log(
    `\n${rate} events/s appended; from the append to the end of the handler of version 1, all rounds`,
  )
  printTable(
    ['version 1', 'events', 'p50', 'p99', 'greatest', 'events/s of version 2'],
    [...delays].map(([where, values]) => [
      where,
      wholeNumber(values.length),
      ms(percentile(values, 50)),
      ms(percentile(values, 99)),
      ms(Math.max(...values)),
      wholeNumber(Math.max(0, ...(built.get(where) ?? [])) / seconds),
    ]),
  )
})

/** So many seconds of appends, with version 1 at the head from the beginning. */
async function run(pool: pg.Pool, where: Where) {
  await pool.query(CREATE_EVENTS)
  for (const version of [1, 2]) {
    await pool.query(`create table balances_${version} (account int primary key, amount bigint not null)`)
  }
  await fillEvents(pool, history)
  const delays: number[] = []
  let isMeasured = false
  const first = balances(1, (events) => {
    if (!isMeasured) return
    const nowMs = Date.now()
    delays.push(...events.map(({ createdAt }) => nowMs - createdAt.getTime()))
  })
  let eventsOfSecond = 0
  const second = balances(2, (events) => {
    if (isMeasured) eventsOfSecond += events.length
  })
  const daemons = [daemonOf(pool, [first])]
  await daemons[0]?.start()
  await daemons[0]?.waitUntilProjected()
  if (where === 'version 2 in the same daemon') {
    await daemons.pop()?.stop()
    daemons.push(daemonOf(pool, [first, second]))
    await daemons[0]?.start()
  } else if (where === 'version 2 in another daemon') {
    daemons.push(daemonOf(pool, [second]))
    await daemons[1]?.start()
  }
  setTimeout(() => {
    isMeasured = true
  }, WARM_UP_MS)
  await append(pool, performance.now() + WARM_UP_MS + seconds * 1_000)
  isMeasured = false
  await Promise.all(daemons.map((daemon) => daemon.stop()))
  return { delays, eventsOfSecond }
}

function daemonOf(pool: pg.Pool, projections: readonly Projection<Event, pg.PoolClient>[]): Daemon<bigint> {
  const source = postgresEvents<Event>({
    pool,
    table: 'events',
    columns: ['data', 'created_at'],
    mapRow: ({ data, created_at }) => ({
      createdAt: created_at as Date,
      ...(data as { account: number; amount: number }),
    }),
  })
  return createDaemon({ source, checkpoints: postgresCheckpoints({ pool }), projections })
}

function balances(
  version: number,
  onHandled: (events: readonly Event[]) => void,
): Projection<Event, pg.PoolClient> {
  return {
    name: 'balances',
    version,
    handle: async (events, { tx }) => {
      await tx.query(
        `insert into balances_${version} as b (account, amount)
         select account, sum(amount) from unnest($1::int[], $2::bigint[]) as t (account, amount)
         group by account order by account
         on conflict (account) do update set amount = b.amount + excluded.amount`,
        [events.map(({ account }) => account), events.map(({ amount }) => amount)],
      )
      onHandled(events)
    },
  }
}

/** One transaction an event, on connections of its own, as evenly as the machine lets it. */
async function append(pool: pg.Pool, untilMs: number): Promise<void> {
  const writers = new pg.Pool({ ...pool.options, max: 4 })
  const startMs = performance.now()
  const running = new Set<Promise<unknown>>()
  for (let n = 0; performance.now() < untilMs; n++) {
    const dueMs = startMs + (n * 1_000) / rate
    if (dueMs > performance.now()) await sleep(dueMs - performance.now())
    const data = { account: n % ACCOUNTS, amount: n % 997 }
    const inserted = writers.query('insert into events (stream, type, data) values ($1, $2, $3)', [
      `account-${data.account}`,
      'Deposited',
      data,
    ])
    running.add(inserted)
    void inserted.finally(() => running.delete(inserted))
  }
  await Promise.all(running)
  await writers.end()
}

function ms(value: number): string {
  return Number.isFinite(value) ? `${value.toFixed(0)} ms` : '-'
}
