import { createDaemon, type DaemonOptions } from '@tidemark/core'
import { type PostgresRow, postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type pg from 'pg'
import { addToBalances, requireProjected, type Transfer } from '../support/balances.ts'
import { type Contender, emptyTables, timed } from './contender.ts'

export interface TidemarkContender {
  readonly name: string
  readonly pool: pg.Pool
  readonly table: string
  readonly position: string
  readonly columns: readonly string[]
  readonly toTransfer: (row: PostgresRow) => Transfer
  /** @default Tidemark's */
  readonly batchSize?: number
  /** @default none */
  readonly telemetry?: Pick<
    DaemonOptions<bigint, PostgresRow, pg.PoolClient>,
    'metrics' | 'telemetry' | 'traceContext'
  >
  /** @default every event */
  readonly eventTypes?: readonly string[]
  /** How many there are to handle. @default all */
  readonly handled?: number
  readonly events: number
  readonly rounds: number
  readonly prepare?: () => Promise<void>
}

/** A whole daemon, from `start()` (every condition checked) until everything is projected. */
export function tidemark(contender: TidemarkContender): Contender {
  const { pool, table, position, columns, toTransfer, batchSize, eventTypes, events } = contender
  const { handled = events } = contender
  const checkpoints = postgresCheckpoints({ pool })
  return {
    name: contender.name,
    rounds: contender.rounds,
    prepare: async () => {
      await contender.prepare?.()
      await checkpoints.prepare?.(new AbortController().signal)
      await emptyTables(pool, ['balances', 'tidemark.checkpoints', 'tidemark.settled'])
    },
    run: async () => {
      const daemon = createDaemon({
        source: postgresEvents({
          ...{ pool, table, position, columns },
          ...(eventTypes === undefined ? {} : { eventType: 'type' }),
        }),
        checkpoints,
        ...contender.telemetry,
        projections: [
          {
            name: 'balances',
            handle: (rows, { tx }) => addToBalances(tx, rows.map(toTransfer)),
            ...(batchSize === undefined ? {} : { batchSize }),
            ...(eventTypes === undefined ? {} : { eventTypes }),
          },
        ],
      })
      const seconds = await timed(async () => {
        await daemon.start()
        await daemon.waitUntilProjected()
      })
      await requireProjected(pool, handled)
      await daemon.stop()
      return { events, seconds }
    },
  }
}
