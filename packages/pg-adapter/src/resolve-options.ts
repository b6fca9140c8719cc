import { InvalidOptionError, requireKnownOptions } from '@tidemark/core/adapter'
import { parseQualifiedName, quoteIdentifier, quoteName } from './identifiers.ts'
import {
  type AppendedAt,
  POSTGRES_EVENTS_DEFAULTS,
  type PostgresEventsOptions,
  type ResolvedPostgresEventsOptions,
  type WakeUpsOption,
} from './options.ts'
import { requirePool, requireText, resolveQueryTimeout } from './pool-options.ts'
import { boundedPool } from './query-timeout.ts'
import { greatestSize, LEAST_SIZE } from './wake-ups/spare-connection.ts'

const POSTGRES_EVENTS_OPTIONS: Readonly<Record<keyof PostgresEventsOptions, true>> = {
  pool: true,
  table: true,
  position: true,
  sequence: true,
  columns: true,
  eventType: true,
  placeholderTypes: true,
  where: true,
  appendedAt: true,
  transaction: true,
  stream: true,
  mapRow: true,
  typeField: true,
  name: true,
  numbers: true,
  highWater: true,
  allowMissingIndex: true,
  queryTimeoutMs: true,
  wakeUps: true,
}

/** With every default. Throws `InvalidOptionError`. */
export function resolvePostgresEventsOptions<E>(
  options: PostgresEventsOptions<E>,
): ResolvedPostgresEventsOptions<E> {
  requireKnownOptions(options, POSTGRES_EVENTS_OPTIONS)
  const table = parseQualifiedName('table', options.table)
  const position = requireText('position', options.position ?? POSTGRES_EVENTS_DEFAULTS.position)
  const where = resolveWhere(options.where)
  const name = requireText('name', options.name ?? options.table + describeWhere(where))
  if (options.eventType !== undefined) requireText('eventType', options.eventType)
  if (options.transaction !== undefined) requireText('transaction', options.transaction)
  if (options.stream !== undefined) requireText('stream', options.stream)
  if (options.columns !== undefined && !Array.isArray(options.columns)) {
    throw new InvalidOptionError('columns', 'an array of column names', options.columns)
  }
  for (const column of options.columns ?? []) requireText('columns', column)
  if (options.mapRow !== undefined && typeof options.mapRow !== 'function') {
    throw new InvalidOptionError('mapRow', 'a function', options.mapRow)
  }
  requirePool(options.pool)
  const isTakenAhead = resolveNumbers(options)
  return Object.freeze({
    pool: boundedPool(options.pool, resolveQueryTimeout(options.queryTimeoutMs)),
    table,
    position,
    sequence: options.sequence === undefined ? undefined : parseQualifiedName('sequence', options.sequence),
    columns: options.columns,
    eventType: options.eventType,
    placeholderTypes: resolvePlaceholderTypes(options),
    where,
    appendedAt: resolveAppendedAt(options.appendedAt),
    mapRow: options.mapRow ?? ((row) => row as E),
    name,
    isTakenAhead,
    staleThreshold: resolveThreshold(
      options.highWater ?? (isTakenAhead ? { mode: 'stale-threshold' } : undefined),
    ),
    allowMissingIndex: options.allowMissingIndex ?? false,
    watched: undefined,
    wakeUps: resolveWakeUps(options),
    sql: { table: quoteName(table), position: quoteIdentifier(position) },
  })
}

/** Whether they are taken ahead, so that nothing can be proven. */
function resolveNumbers({
  numbers = 'in-transaction',
  highWater,
}: Pick<PostgresEventsOptions, 'numbers' | 'highWater'>): boolean {
  if (numbers !== 'in-transaction' && numbers !== 'taken-ahead') {
    throw new InvalidOptionError('numbers', `'in-transaction' or 'taken-ahead'`, numbers)
  }
  if (numbers === 'taken-ahead' && highWater?.mode === 'proof') {
    throw new InvalidOptionError(
      'highWater.mode',
      `'stale-threshold' beside numbers: 'taken-ahead' (until the transaction of an event begins, nothing in the database ` +
        'shows that its number is out, so that a gap cannot be proven empty)',
      'proof',
    )
  }
  return numbers === 'taken-ahead'
}

/** Where nobody asked for them, a pool that is too small is told of when the wake-ups begin. */
function resolveWakeUps({ wakeUps, pool }: Pick<PostgresEventsOptions, 'wakeUps' | 'pool'>): WakeUpsOption {
  if (wakeUps === undefined || wakeUps === 'none') return wakeUps ?? 'wait'
  if (wakeUps !== 'wait') {
    if (typeof wakeUps !== 'object' || wakeUps === null) {
      throw new InvalidOptionError('wakeUps', `'wait', 'none' or { listen: 'channel' }`, wakeUps)
    }
    requireKnownOptions(wakeUps, { listen: true }, 'wakeUps')
    requireText('wakeUps.listen', wakeUps.listen)
  }
  const max = greatestSize(pool)
  if (max !== undefined && max < LEAST_SIZE) {
    throw new InvalidOptionError(
      'wakeUps',
      `'none', or a pool of at least ${LEAST_SIZE} connections: one stays with the wake-ups`,
      `a pool of at most ${max}`,
    )
  }
  return wakeUps
}

function resolvePlaceholderTypes({
  eventType,
  placeholderTypes,
}: Pick<PostgresEventsOptions, 'eventType' | 'placeholderTypes'>): readonly string[] {
  if (placeholderTypes === undefined) return POSTGRES_EVENTS_DEFAULTS.placeholderTypes
  if (!Array.isArray(placeholderTypes)) {
    throw new InvalidOptionError('placeholderTypes', 'an array of event types', placeholderTypes)
  }
  if (eventType === undefined) {
    throw new InvalidOptionError(
      'placeholderTypes',
      'the option eventType beside it, which names the column of the type',
      placeholderTypes,
    )
  }
  return Object.freeze(placeholderTypes.map((type) => requireText('placeholderTypes', type)))
}

function resolveWhere(where: PostgresEventsOptions['where'] = {}): Readonly<Record<string, string>> {
  if (typeof where !== 'object' || where === null || Array.isArray(where)) {
    throw new InvalidOptionError('where', 'an object of columns and values', where)
  }
  for (const [column, value] of Object.entries(where)) {
    requireText('where', column)
    if (!['string', 'number', 'bigint', 'boolean'].includes(typeof value)) {
      throw new InvalidOptionError(`where.${column}`, 'a text, a number or a boolean', value)
    }
  }
  return Object.freeze(
    Object.fromEntries(Object.entries(where).map(([column, value]) => [column, String(value)])),
  )
}

/** Other rows are another source: its checkpoints are not taken for this one's. */
function describeWhere(where: Readonly<Record<string, string>>): string {
  const conditions = Object.entries(where).map(([column, value]) => `${column}=${value}`)
  return conditions.length === 0 ? '' : `[${conditions.toSorted().join(',')}]`
}

function resolveAppendedAt(appendedAt: PostgresEventsOptions['appendedAt']): AppendedAt | undefined {
  if (appendedAt === undefined) return undefined
  if (typeof appendedAt !== 'object' || appendedAt === null) {
    return { column: requireText('appendedAt', appendedAt), timeZone: undefined }
  }
  requireKnownOptions(appendedAt, { column: true, timeZone: true }, 'appendedAt')
  return {
    column: requireText('appendedAt.column', appendedAt.column),
    timeZone: requireTimeZone('appendedAt.timeZone', appendedAt.timeZone),
  }
}

/** A name alone: PostgreSQL reads the sign of an offset the other way round ('+02:00' is west of Greenwich there). */
function requireTimeZone(option: string, value: unknown): string {
  try {
    if (typeof value !== 'string' || !/^[A-Z]/i.test(value)) throw new RangeError('an offset')
    new Intl.DateTimeFormat('en', { timeZone: value })
    return value
  } catch {
    throw new InvalidOptionError(option, "the name of a time zone, as 'UTC' or 'Europe/Berlin'", value)
  }
}

function resolveThreshold(
  highWater: PostgresEventsOptions['highWater'],
): ResolvedPostgresEventsOptions<unknown>['staleThreshold'] {
  if (highWater === undefined) return undefined
  if (highWater.mode === 'proof') {
    requireKnownOptions(highWater, { mode: true }, 'highWater')
    return undefined
  }
  if (highWater.mode !== 'stale-threshold') {
    throw new InvalidOptionError(
      'highWater.mode',
      `'proof' or 'stale-threshold'`,
      (highWater as { mode: unknown }).mode,
    )
  }
  requireKnownOptions(highWater, { mode: true, thresholdMs: true, lateEventWindowMs: true }, 'highWater')
  const { thresholdMs, lateEventWindowMs } = POSTGRES_EVENTS_DEFAULTS
  return Object.freeze({
    thresholdMs: requireMs('highWater.thresholdMs', highWater.thresholdMs ?? thresholdMs),
    lateEventWindowMs: requireMs(
      'highWater.lateEventWindowMs',
      highWater.lateEventWindowMs ?? lateEventWindowMs,
    ),
  })
}

function requireMs(option: string, value: unknown): number {
  // Beyond what an integer can say exactly, the server's clock cannot reckon either.
  if (typeof value !== 'number' || !(value > 0) || value > Number.MAX_SAFE_INTEGER) {
    throw new InvalidOptionError(option, 'a number of milliseconds above 0', value)
  }
  return value
}
