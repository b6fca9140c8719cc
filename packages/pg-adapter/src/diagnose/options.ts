import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import type { PostgresEventsOptions, ResolvedPostgresEventsOptions } from '../options.ts'
import { requirePool } from '../pool-options.ts'
import type { Preset } from '../presets/preset.ts'
import { resolvePostgresEventsOptions } from '../resolve-options.ts'

export interface DiagnoseOptions
  extends Pick<
    PostgresEventsOptions,
    'position' | 'sequence' | 'columns' | 'eventType' | 'placeholderTypes' | 'where' | 'appendedAt'
  > {
  /** A `pg.Pool`, or anything with its `connect`. One of its connections is taken at a time. */
  readonly pool: PostgresEventsOptions['pool']
  /**
   * The table of the events, as in `postgresEvents`.
   * - Change it when: it is not the table of a well-known store, or the database has several.
   * @default those of the stores that are recognised by the names of their tables
   */
  readonly table?: string
  /**
   * The names of a project's own tables, as `emmett()` gives them, in place of `table` and the options beside it.
   * - Change it when: the tables are those of such a project, and are not found by themselves or not to be looked for.
   * @default none
   */
  readonly preset?: Pick<Preset, 'events'>
  /**
   * How long new events are watched, to see how long commits take to become visible.
   * - Raising it: rarer delays are met; the whole answer takes longer.
   * - Lowering it: the answer comes sooner, and knows less.
   * - Change it when: less than an event a second is appended.
   * @default 1500
   */
  readonly sampleMs?: number
  /**
   * The longest that all of it may take, the sample included. What it has not come to by then is not known.
   * - Raising it: slow servers, and tables that are locked, are waited for.
   * - Lowering it: the answer comes sooner, and may know less.
   * - Change it when: the server is far away or busy, and the answer says that the time was over.
   * @default 5000
   */
  readonly timeoutMs?: number
  /**
   * Stops it. The call then rejects with the signal's reason.
   * - Change it when: somebody may not want to wait for the end.
   * @default none
   */
  readonly signal?: AbortSignal
}

/** sampleMs, timeoutMs: as long as a person waits for an answer without wondering. */
export const DIAGNOSE_DEFAULTS: { readonly sampleMs: number; readonly timeoutMs: number } = Object.freeze({
  sampleMs: 1_500,
  timeoutMs: 5_000,
})

const DIAGNOSE_OPTIONS: Readonly<Record<keyof DiagnoseOptions, true>> = {
  pool: true,
  table: true,
  preset: true,
  position: true,
  sequence: true,
  columns: true,
  eventType: true,
  placeholderTypes: true,
  where: true,
  appendedAt: true,
  sampleMs: true,
  timeoutMs: true,
  signal: true,
}

export interface ResolvedDiagnoseOptions {
  readonly pool: PostgresEventsOptions['pool']
  /** `undefined`: those of the stores that are recognised. */
  readonly events: ResolvedPostgresEventsOptions<unknown> | undefined
  /** How long may be read before the sample is taken. */
  readonly readMs: number
  readonly queryTimeoutMs: number
  readonly sampleMs: number
  /** How long the sample may take, its last look included. */
  readonly sampleTimeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** Of the time that is left beside the sample. */
const READ_SHARE = 0.85

/** Throws `InvalidOptionError`. */
export function resolveDiagnoseOptions(options: DiagnoseOptions): ResolvedDiagnoseOptions {
  requireKnownOptions(options, DIAGNOSE_OPTIONS)
  const {
    pool,
    table,
    preset,
    sampleMs = DIAGNOSE_DEFAULTS.sampleMs,
    timeoutMs = DIAGNOSE_DEFAULTS.timeoutMs,
  } = options
  requirePool(pool)
  if (preset !== undefined && (table !== undefined || typeof preset?.events !== 'object')) {
    throw new InvalidOptionError('preset', 'what a preset gives, as emmett(), and no table beside it', preset)
  }
  if (typeof sampleMs !== 'number' || !(sampleMs > 0) || !Number.isFinite(sampleMs)) {
    throw new InvalidOptionError('sampleMs', 'a number of milliseconds above 0', sampleMs)
  }
  if (typeof timeoutMs !== 'number' || !(timeoutMs > sampleMs) || !Number.isFinite(timeoutMs)) {
    throw new InvalidOptionError(
      'timeoutMs',
      `a number of milliseconds above sampleMs (${sampleMs})`,
      timeoutMs,
    )
  }
  const { signal } = options
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  }
  const readMs = (timeoutMs - sampleMs) * READ_SHARE
  const queryTimeoutMs = readMs / 2
  const named = table === undefined ? preset?.events : { ...options, table }
  return {
    pool,
    events: named === undefined ? undefined : eventsOf(named, { pool, queryTimeoutMs }),
    readMs,
    queryTimeoutMs,
    sampleMs,
    sampleTimeoutMs: timeoutMs - readMs,
    signal,
  }
}

/** The options of a source over that table. */
export function eventsOf(
  {
    table,
    position,
    sequence,
    columns,
    eventType,
    placeholderTypes,
    where,
    appendedAt,
  }: Omit<PostgresEventsOptions, 'pool'>,
  { pool, queryTimeoutMs }: Pick<ResolvedDiagnoseOptions, 'pool' | 'queryTimeoutMs'>,
): ResolvedPostgresEventsOptions<unknown> {
  return resolvePostgresEventsOptions({
    pool,
    table,
    queryTimeoutMs,
    ...(position === undefined ? {} : { position }),
    ...(sequence === undefined ? {} : { sequence }),
    ...(columns === undefined ? {} : { columns }),
    ...(eventType === undefined ? {} : { eventType }),
    ...(placeholderTypes === undefined ? {} : { placeholderTypes }),
    ...(where === undefined ? {} : { where }),
    ...(appendedAt === undefined ? {} : { appendedAt }),
  })
}
