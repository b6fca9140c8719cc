import {
  argument,
  type EventsConfig,
  eventsOf,
  isNumbered,
  type OperatedSource,
  operatedSource,
  type StatusReader,
} from '@tidemark/console/status'
import { type CheckpointStore, hasCode } from '@tidemark/core'
import { type ControlledUnit, createOperations, type Operations } from '@tidemark/core/operations'
import { postgresCheckpoints } from '@tidemark/pg-adapter'
import pg from 'pg'
import type { Io } from './io.ts'
import { type Place, type PlaceFlags, resolvePlace } from './place.ts'
import { readConfig } from './read-config.ts'
import { RefusedError, UsageError } from './usage-error.ts'

const APPLICATION = 'tidemark'
const CONNECT_MS = 5_000
/** As long as a person waits for an answer. */
export const QUERY_TIMEOUT_MS = 10_000
const MOST_CONNECTIONS = 4

/** The database, for one run of the program. */
export interface Session {
  readonly io: Io
  readonly place: Place
  readonly pool: pg.Pool
  readonly checkpoints: CheckpointStore<pg.PoolClient>
  /** On projections of every source. They take no positions. */
  readonly operations: Operations<never>
}

/** Opens the database, and closes it whatever comes. */
export async function withSession<T>(
  io: Io,
  flags: PlaceFlags,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const place = resolvePlace(flags, io.env, await readConfig(io.cwd, flags.config))
  const pool = new pg.Pool({
    fallback_application_name: APPLICATION,
    connectionTimeoutMillis: CONNECT_MS,
    max: MOST_CONNECTIONS,
    ...place.connection,
  })
  pool.on('error', () => {})
  try {
    const checkpoints = postgresCheckpoints({
      pool,
      schema: place.schema,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
    })
    return await work({ io, place, pool, checkpoints, operations: createOperations({ checkpoints }) })
  } finally {
    await pool.end()
  }
}

/** Through what the database is read. */
export function readerOf({ io, place, pool, checkpoints, operations }: Session): StatusReader {
  const { events } = place
  return { pool, checkpoints, operations, events, queryTimeoutMs: QUERY_TIMEOUT_MS, signal: io.signal }
}

/** Operations that take positions, on the source of a projection. */
export async function operationsOn(session: Session, projection: string): Promise<OperatedSource> {
  const units = await session.operations.list({ projection })
  const [unit] = units
  if (unit === undefined) throw await noSuchProjection(session, projection)
  return operationsOf(session, unit.source, units)
}

/** The same on a source by its name. */
export function operationsOf(
  session: Session,
  name: string,
  units: readonly ControlledUnit[],
): OperatedSource {
  if (!isNumbered(units)) {
    throw new RefusedError(`The positions of the source ${JSON.stringify(name)} are no numbers of a table.`, [
      'This program compares none of these: call createOperations({ checkpoints, source }) with the source of the daemon.',
    ])
  }
  return operatedSource(readerOf(session), session.checkpoints, name)
}

async function noSuchProjection({ operations, place }: Session, projection: string): Promise<RefusedError> {
  const names = [...new Set((await operations.list()).map(({ unit }) => unit.projection))]
  return new RefusedError(
    `There is no projection ${JSON.stringify(projection)} with a checkpoint in the schema ${JSON.stringify(place.schema)}.`,
    [
      names.length === 0
        ? 'There is none at all: see --schema.'
        : `There is: ${names.map(argument).join(', ')}`,
    ],
  )
}

/** The table that is meant where no projection says which. */
export async function theEvents(session: Session): Promise<EventsConfig> {
  const { place, operations } = session
  if (place.events !== undefined) return place.events
  const sources = await sourcesOf(operations)
  const [source] = sources ?? []
  const events =
    source === undefined || sources?.length !== 1 ? undefined : eventsOf(place.events, source, sources)
  if (events !== undefined) return events
  throw new UsageError('Which table of events is meant was not said.', [
    source === undefined
      ? 'Name it: --table events, with --position if its position has another name; or --preset, or tidemark.config.js.'
      : `Name it by --table. The checkpoints are of ${sources?.map(argument).join(', ')}.`,
    ...(sources === undefined
      ? ['The checkpoints, which say it too, cannot be read here. Why: tidemark status']
      : []),
  ])
}

/** Of the checkpoints; `undefined`: they cannot be read. Whoever looks at somebody else's table needs none. */
async function sourcesOf(operations: Operations<never>): Promise<readonly string[] | undefined> {
  try {
    return [...new Set((await operations.list()).map(({ source }) => source))]
  } catch (error) {
    if (hasCode(error, 'TIDEMARK_POSTGRES_CONDITION')) return undefined
    throw error
  }
}
