import type { KeyOf } from '../failures/keys.ts'
import { decideBy } from '../failures/on-failure.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireInteger, requireName, requireTimerMs } from '../kernel/validation.ts'
import type { EventSource } from '../ports/event-source.ts'
import { unitName, versionName, wholeUnit } from '../ports/unit.ts'
import { MOST_EVENTS } from '../reading/page-size.ts'
import { pacedBatchSize } from '../rebuild/pace.ts'
import type { ReplayPolicy } from './commands.ts'
import type { Projection, ReplayOptions, ResolvedProjection } from './projection.ts'
import { type PartedSource, requireOneVersion, resolveShards } from './shards.ts'

/**
 * batchSize: the most; see `reading/page-size.ts`. attempts: some 3 s with the waits of
 * `failures/policy.ts`. longestPauseMs: seldom enough to cost nobody anything, and soon enough after an outage.
 */
export const PROJECTION_DEFAULTS: Pick<
  ResolvedProjection<never, never>,
  'batchSize' | 'attempts' | 'longestPauseMs'
> = Object.freeze({
  batchSize: MOST_EVENTS,
  attempts: 5,
  longestPauseMs: 300_000,
})

const PROJECTION_OPTIONS: Readonly<Record<keyof Projection<unknown, unknown>, true>> = {
  name: true,
  version: true,
  handle: true,
  eventTypes: true,
  batchSize: true,
  attempts: true,
  longestPauseMs: true,
  handlerTimeoutMs: true,
  onFailure: true,
  effects: true,
  replay: true,
  onLateEvent: true,
  keyOf: true,
  shards: true,
  shardBy: true,
  autoShard: true,
  reset: true,
  onSwitch: true,
}

/** Of an integer in Postgres. */
const LARGEST_VERSION = 2_147_483_647

type TypedSource = Pick<EventSource<unknown, unknown>, 'filtersByType' | 'placeholderTypes'> & PartedSource

export function resolveProjections<E, Tx>(
  projections: readonly Projection<E, Tx>[],
  source: TypedSource,
): readonly ResolvedProjection<E, Tx>[] {
  if (!Array.isArray(projections) || projections.length === 0) {
    throw new InvalidOptionError('projections', 'at least one projection', projections)
  }
  const names = new Set<string>()
  const all = projections.map((projection, index) => {
    const resolved = resolveProjection(projection, `projections[${index}]`, source)
    if (names.has(resolved.name)) {
      throw new InvalidOptionError(
        `projections[${index}].name`,
        'a name and version used once',
        resolved.name,
      )
    }
    names.add(resolved.name)
    return resolved
  })
  requireOneVersion(all)
  return all.map((each) => {
    const isEarlier = ({ unit }: ResolvedProjection<E, Tx>): boolean =>
      unit.projection === each.unit.projection && unit.version < each.unit.version
    return Object.freeze({ ...each, isLaterVersion: all.some(isEarlier) })
  })
}

function resolveProjection<E, Tx>(
  projection: Projection<E, Tx>,
  option: string,
  source: TypedSource,
): ResolvedProjection<E, Tx> {
  const { filtersByType, placeholderTypes = [] } = source
  if (typeof projection !== 'object' || projection === null) {
    throw new InvalidOptionError(option, 'a projection', projection)
  }
  requireKnownOptions(projection, PROJECTION_OPTIONS, option)
  // Read one by one, because the methods of a class instance are on its prototype.
  const {
    name,
    version = 1,
    handle,
    eventTypes,
    batchSize: givenSize,
    attempts = PROJECTION_DEFAULTS.attempts,
    longestPauseMs = PROJECTION_DEFAULTS.longestPauseMs,
    handlerTimeoutMs,
    onFailure = 'pause',
    effects = 'always',
    replay,
    onLateEvent,
    keyOf,
    shards,
    shardBy,
    autoShard,
    reset,
    onSwitch,
  } = projection
  requireName(`${option}.name`, name)
  requireInteger(`${option}.version`, version, 1)
  if (version > LARGEST_VERSION) {
    throw new InvalidOptionError(`${option}.version`, `at most ${LARGEST_VERSION}`, version)
  }
  if (typeof handle !== 'function') throw new InvalidOptionError(`${option}.handle`, 'a function', handle)
  if (eventTypes !== undefined) {
    if (
      !Array.isArray(eventTypes) ||
      eventTypes.length === 0 ||
      eventTypes.some((type) => typeof type !== 'string')
    ) {
      throw new InvalidOptionError(`${option}.eventTypes`, 'a non-empty array of strings', eventTypes)
    }
    if (!filtersByType) {
      throw new InvalidOptionError(
        `${option}.eventTypes`,
        'a source that knows the types of its events (its option eventType names their column)',
        eventTypes,
      )
    }
    const placeholder = eventTypes.find((type) => placeholderTypes.includes(type))
    if (placeholder !== undefined) {
      throw new InvalidOptionError(
        `${option}.eventTypes`,
        "types of events, none of the source's placeholderTypes, which are never handed out",
        placeholder,
      )
    }
  }
  if (reset !== undefined && typeof reset !== 'function') {
    throw new InvalidOptionError(`${option}.reset`, 'a function', reset)
  }
  if (onSwitch !== undefined && typeof onSwitch !== 'function') {
    throw new InvalidOptionError(`${option}.onSwitch`, 'a function', onSwitch)
  }
  const batchSize = givenSize ?? PROJECTION_DEFAULTS.batchSize
  requireInteger(`${option}.batchSize`, batchSize, 1)
  requireInteger(`${option}.attempts`, attempts, 1)
  requireTimerMs(`${option}.longestPauseMs`, longestPauseMs, 1_000)
  if (handlerTimeoutMs !== undefined) requireTimerMs(`${option}.handlerTimeoutMs`, handlerTimeoutMs, 1)
  if (onLateEvent !== undefined && typeof onLateEvent !== 'function')
    throw new InvalidOptionError(`${option}.onLateEvent`, 'a function', onLateEvent)
  if (effects !== 'always' && effects !== 'live_only') {
    throw new InvalidOptionError(`${option}.effects`, "'always' or 'live_only'", effects)
  }
  if (keyOf !== undefined && typeof keyOf !== 'function') {
    throw new InvalidOptionError(`${option}.keyOf`, 'a function', keyOf)
  }
  if (onFailure === 'park_key' && keyOf === undefined) {
    throw new InvalidOptionError(`${option}.keyOf`, "a function, since onFailure is 'park_key'", keyOf)
  }
  const ranges = resolveShards(
    {
      ...(shards === undefined ? {} : { shards }),
      ...(shardBy === undefined ? {} : { shardBy }),
      ...(autoShard === undefined ? {} : { autoShard }),
      ...(keyOf === undefined ? {} : { keyOf }),
      ...(onSwitch === undefined ? {} : { onSwitch }),
      version,
    },
    option,
    source,
  )
  const decide = decideBy(onFailure, `${option}.onFailure`, keyOf?.bind(projection))
  const unit = wholeUnit(name, version)
  return {
    name: unitName(unit),
    series: versionName(unit),
    unit,
    isLaterVersion: false,
    shards: ranges,
    shardBy,
    autoShard: autoShard && Object.freeze({ max: autoShard.max }),
    part: undefined,
    handle: handle.bind(projection),
    eventTypes,
    batchSize,
    isSizeGiven: givenSize !== undefined,
    attempts,
    longestPauseMs,
    handlerTimeoutMs,
    decide,
    effects,
    replaying:
      replay &&
      replayPolicy(replay, { batchSize, attempts, longestPauseMs, decide }, option, keyOf?.bind(projection)),
    onLateEvent: onLateEvent?.bind(projection),
    maySkip: onFailure !== 'pause' || (replay?.onFailure ?? 'pause') !== 'pause',
    keyOf: keyOf?.bind(projection),
    reset: reset?.bind(projection),
    onSwitch: onSwitch?.bind(projection),
  }
}

const REPLAY_OPTIONS: Readonly<Record<keyof ReplayOptions<unknown>, true>> = {
  maxEventsPerSecond: true,
  onFailure: true,
  attempts: true,
}

function replayPolicy<E>(
  replay: ReplayOptions<E>,
  otherwise: Omit<ReplayPolicy, 'maxEventsPerSecond'>,
  option: string,
  keyOf: KeyOf<E> | undefined,
): ReplayPolicy {
  requireKnownOptions(replay, REPLAY_OPTIONS, `${option}.replay`)
  const { maxEventsPerSecond, onFailure, attempts = otherwise.attempts } = replay
  requireInteger(`${option}.replay.attempts`, attempts, 1)
  if (maxEventsPerSecond !== undefined) {
    requireInteger(`${option}.replay.maxEventsPerSecond`, maxEventsPerSecond, 1)
  }
  if (onFailure === 'park_key' && keyOf === undefined) {
    throw new InvalidOptionError(`${option}.keyOf`, "a function, since replay.onFailure is 'park_key'", keyOf)
  }
  return {
    ...otherwise,
    attempts,
    maxEventsPerSecond,
    batchSize: pacedBatchSize(otherwise.batchSize, maxEventsPerSecond),
    decide:
      onFailure === undefined ? otherwise.decide : decideBy(onFailure, `${option}.replay.onFailure`, keyOf),
  }
}
