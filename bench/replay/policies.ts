/** What each policy for failures costs a replay, without an event that fails and with them; and what a batch sends. */

import { createDaemon, type Projection } from '@tidemark/core'
import { type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type { EmbeddedPostgres } from '@tidemark-internal/embedded-postgres'
import pg from 'pg'
import { addToBalances, CREATE_BALANCES } from '../support/balances.ts'
import { Counter } from '../support/counting-client.ts'
import { createDatabase } from '../support/database.ts'
import { ACCOUNTS, CREATE_EVENTS, fillEvents, toTransfer } from '../support/event-table.ts'
import { median } from '../support/statistics.ts'
import { printTable, wholeNumber } from '../support/table.ts'
import { type Contender, emptyTables, runInterleaved, timed } from './contender.ts'

type Policy = Pick<Projection<PostgresRow, pg.PoolClient>, 'onFailure' | 'keyOf'>

/** `park_key` with a key an account, as `onFailure: 'park_key'` needs one. */
const POLICIES: Readonly<Record<'pause' | 'skip' | 'park_key' | 'a function', Policy>> = {
  pause: { onFailure: 'pause' },
  skip: { onFailure: 'skip' },
  park_key: { onFailure: 'park_key', keyOf: (row) => String(row.stream) },
  'a function': { onFailure: ({ error }) => (error instanceof TypeError ? 'pause' : 'skip') },
}

const ONE_OF = 1_000

/** One in each thousand, each of another account. */
function fails(row: PostgresRow): boolean {
  const position = Number(row.position)
  const thousand = Math.floor(position / ONE_OF)
  return position % ONE_OF === thousand % ONE_OF
}

export interface PoliciesParameters {
  readonly events: number
  /** Of the runs in which events fail: finding one takes half a second. */
  readonly failingEvents: number
  readonly rounds: number
}

export async function comparePolicies(
  server: EmbeddedPostgres,
  parameters: PoliciesParameters,
): Promise<void> {
  const { events, failingEvents, rounds } = parameters
  const healthyPool = await filledPool(server, 'policies', events)
  const failingPool = await filledPool(server, 'failing_policies', failingEvents)
  console.log(
    `\npolicies for failures: ${wholeNumber(events)} events of ${wholeNumber(ACCOUNTS)} accounts without a failure, and ` +
      `${wholeNumber(failingEvents)} of which 1 of ${wholeNumber(ONE_OF)} fails, attempts: 1; ${rounds} rounds`,
  )
  const healthy = (name: string): string => `${name}, nothing fails`
  const failing = (name: string): string => `${name}, 1 of ${wholeNumber(ONE_OF)} fails`
  const names = Object.keys(POLICIES) as (keyof typeof POLICIES)[]
  const rates = await runInterleaved(
    names.flatMap((name) => [
      replay(healthy(name), healthyPool, POLICIES[name], { events, rounds, isFailing: false }),
      // It would stand still at the first event that fails.
      ...(name === 'pause'
        ? []
        : [
            replay(failing(name), failingPool, POLICIES[name], {
              events: failingEvents,
              rounds,
              isFailing: true,
            }),
          ]),
    ]),
  )
  await failingPool.end()
  const base = rates.get(healthy('pause')) ?? []
  console.log()
  printTable(
    ['median of interleaved runs', 'events/s', 'x "pause, nothing fails"', 'handled', 'dead letters'],
    [...rates].map(([name, of]) => {
      const ratio = median(of.map((rate, round) => rate / (base[round] ?? Number.NaN)))
      const { handled, letters } = OUTCOMES.get(name) ?? { handled: 0, letters: 0 }
      return [
        name,
        wholeNumber(median(of)),
        `${ratio.toFixed(3)} x`,
        wholeNumber(handled),
        wholeNumber(letters),
      ]
    }),
  )
  console.log(
    `"${failing('pause')}" is not measured: it stands still there until somebody acts, as it should`,
  )
  await healthyPool.end()
  await countStatements(server)
}

async function filledPool(server: EmbeddedPostgres, name: string, events: number): Promise<pg.Pool> {
  const pool = await createDatabase(server, name)
  await pool.query(`${CREATE_EVENTS}; ${CREATE_BALANCES}`)
  await fillEvents(pool, events)
  return pool
}

const OUTCOMES = new Map<string, { readonly handled: number; readonly letters: number }>()

interface Run {
  readonly events: number
  readonly rounds: number
  readonly isFailing: boolean
}

function replay(name: string, pool: pg.Pool, policy: Policy, { events, rounds, isFailing }: Run): Contender {
  const checkpoints = postgresCheckpoints({ pool })
  return {
    name,
    rounds,
    prepare: async () => {
      await checkpoints.prepare?.(new AbortController().signal)
      await emptyTables(pool, [
        'balances',
        ...['checkpoints', 'settled', 'dead_letters', 'dead_letter_counts'].map(
          (table) => `tidemark.${table}`,
        ),
      ])
    },
    run: async () => {
      const daemon = createDaemon({
        source: postgresEvents({ pool, table: 'events' }),
        checkpoints,
        projections: [
          {
            name: 'balances',
            ...policy,
            attempts: 1,
            handle: async (rows, { tx }) => {
              if (isFailing && rows.some(fails)) throw new Error('the handler fails at an event')
              await addToBalances(tx, rows.map(toTransfer))
            },
          },
        ],
      })
      const seconds = await timed(async () => {
        await daemon.start()
        await daemon.waitUntilProjected()
      })
      await daemon.stop()
      OUTCOMES.set(name, await outcome(pool, events))
      return { events, seconds }
    },
  }
}

/** Throws unless each event is handled, or has a dead letter. */
async function outcome(pool: pg.Pool, events: number): Promise<{ handled: number; letters: number }> {
  const { rows } = await pool.query<{ handled: string; letters: string }>(
    `select (select coalesce(sum(events), 0) from balances)::text as handled,
       (select coalesce(sum(events), 0) from tidemark.dead_letters)::text as letters`,
  )
  const [handled, letters] = [Number(rows[0]?.handled), Number(rows[0]?.letters)]
  if (handled + letters !== events) {
    throw new Error(
      `${handled} events were handled and ${letters} have a dead letter, expected ${events} together`,
    )
  }
  return { handled, letters }
}

const COUNTED_BATCHES = 100
const BATCH_SIZE = 100

/** On the healthy path: what 100 batches have sent, by what it is for. */
async function countStatements(server: EmbeddedPostgres): Promise<void> {
  const filling = await filledPool(server, 'statements', COUNTED_BATCHES * BATCH_SIZE)
  await filling.end()
  console.log(`\nwhat a batch sends while nothing fails: ${COUNTED_BATCHES} batches of ${BATCH_SIZE} events`)
  const rows: string[][] = []
  for (const name of Object.keys(POLICIES) as (keyof typeof POLICIES)[]) {
    const counter = new Counter(purpose)
    const pool = new pg.Pool({
      connectionString: server.connectionString('statements'),
      Client: counter.Client,
    })
    const checkpoints = postgresCheckpoints({ pool })
    await checkpoints.prepare?.(new AbortController().signal)
    await emptyTables(pool, ['balances', 'tidemark.checkpoints', 'tidemark.settled'])
    let batches = 0
    const daemon = createDaemon({
      source: postgresEvents({ pool, table: 'events' }),
      checkpoints,
      projections: [
        {
          name: 'balances',
          ...POLICIES[name],
          batchSize: BATCH_SIZE,
          handle: async (events, { tx }) => {
            batches++
            await addToBalances(tx, events.map(toTransfer))
          },
        },
      ],
    })
    counter.clear()
    await daemon.start()
    await daemon.waitUntilProjected()
    const { sent } = counter
    await daemon.stop()
    await pool.end()
    for (const [what, { messages, statements }] of sent) {
      if (what === OTHER) continue
      rows.push([
        `${name}: ${what}`,
        `${(messages / batches).toFixed(2)}`,
        `${(statements / batches).toFixed(2)}`,
      ])
    }
  }
  printTable(['message', 'messages a batch', 'statements a batch'], rows)
  console.log(`left out: the daemon's start and its looks at what operators want`)
}

const OTHER = 'other'

const PURPOSES: readonly (readonly [string, string])[] = [
  ['begin, lock, compare', 'for update of c skip locked'],
  ['which keys are parked', 'k.key from unnest'],
  ["the handler's own", 'insert into balances'],
  ['move, commit', 'with moved as'],
  ['page', 'rows with ties'],
  ['poll', 'sequence'],
]

/** By their names. */
const PREPARED = new Map<string, string>()

/** What a message is for, by a part of its text, or of what it executes. */
function purpose(text: string): string {
  for (const [sql, name] of text.matchAll(/prepare (tidemark_\w+)[^;]*/g)) {
    if (name !== undefined) PREPARED.set(name, sql)
  }
  if (text.includes('prepare tidemark_')) return 'prepare, once a connection'
  const whole = text.replace(/execute (tidemark_\w+)/g, (executed, name) => PREPARED.get(name) ?? executed)
  return PURPOSES.find(([, part]) => whole.includes(part))?.[0] ?? OTHER
}
