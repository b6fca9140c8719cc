import {
  HIGH_WATER_AGENT_OPTIONS,
  type HighWaterAgentOptions,
  type ResolvedHighWaterAgentOptions,
  resolveHighWaterAgentOptions,
} from '../high-water/options.ts'
import type { Clock } from '../kernel/clock.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, withoutUndefined } from '../kernel/validation.ts'
import {
  requireDeadLetters,
  requireLateEvents,
  requireLiveRole,
  requireReplays,
  requireRequests,
  requireReshards,
  requireRoles,
  requireShards,
} from '../ports/capabilities.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import type { EventsTypedBy, KnownEventTypes, NarrowedEvent } from '../ports/typed-events.ts'
import type { Projection, ResolvedProjection } from '../projection/projection.ts'
import { resolveProjections } from '../projection/resolve-projections.ts'
import { type ReadTraceContext, traceContextOf } from '../telemetry/trace-context.ts'
import { type NodesOptions, type ResolvedNodes, resolveNodes } from './nodes.ts'

/**
 * @typeParam K - the field that the source says is the type of its events
 * @typeParam Types - of each projection, the types in its `eventTypes`
 */
export interface DaemonOptions<
  P,
  E,
  Tx,
  K extends PropertyKey = PropertyKey,
  Types extends readonly unknown[] = readonly unknown[],
> extends Omit<HighWaterAgentOptions<P>, 'source' | 'checkpoints'> {
  /** Where the events are: `postgresEvents(...)`, `esdbEvents(...)`, or the source of another adapter. */
  readonly source: EventSource<P, E> & EventsTypedBy<K>
  /**
   * Where progress is kept. With `postgresCheckpoints(...)` what a handler writes through `tx` and its checkpoint are one
   * transaction; with other stores a batch may be handled twice after a crash.
   */
  readonly checkpoints: CheckpointStore<Tx>
  /** What is done with the events: at least one projection, each with a name of its own. */
  readonly projections: {
    readonly [I in keyof Types]: Projection<NarrowedEvent<E, K, Types[I]>, Tx, Types[I] & string> &
      KnownEventTypes<E, K, Types[I]>
  }
  /**
   * Where an event says which trace appended it; batch and skip spans are linked to it.
   * - Change it when: your events keep their trace context somewhere else.
   * @default `traceparent`, or `$traceId` and `$spanId`, in the event's `metadata`
   */
  readonly traceContext?: ReadTraceContext<E>
  /**
   * How long `stop()` waits for running batches before it fires the handlers' signal and destroys their transactions.
   * - Raising it: a shutdown may take that long. A platform that kills the process before then cuts the batches all the same.
   * - Lowering it: slow batches are cut and rolled back at each shutdown, and are handled again.
   * - Change it when: a batch of yours takes longer, or your platform kills earlier than 30 s after SIGTERM.
   * @default 10000
   */
  readonly drainTimeoutMs?: number
  /**
   * Shares the projections out over several processes of one application. Each version of a projection is worked on by one of them alone.
   *
   * - `{}`, or `{ leaseMs, name, capacity }`: by leases in the checkpoint store, which has to be `postgresCheckpoints`. The processes
   *   need not know of each other. Each is given as many as the others, of those that it has handlers of. When one comes, few move to
   *   it; from one that stops or dies the others take over at once. `leaseMs` (10,000): how long a process may work without a
   *   renewal. `name` (host and process id): what status and log call it. `capacity` (1): one with 2 is given twice as many.
   * - `{ index, of }`: by number, with nothing stored: `{ index: 0, of: 3 }` is the first of three. Each process computes what is its
   *   own, from the names and versions of its projections: give all processes the same ones. Nobody stands in for a process that is
   *   away: what is dealt to it stands still until it is back. With a wrong number nothing is handled twice, but something may be
   *   handled by nobody.
   *
   * With leases a process keeps one or two more connections of the pool of `checkpoints`.
   * - Change it when: the projections take more than one process; by number where each process knows its own, as the pods of a
   *   StatefulSet do, and nobody is to stand in for another.
   * @default none: every process may work on every projection; the first does, the others stand by
   */
  readonly nodes?: NodesOptions
}

export interface ResolvedDaemonOptions<P, E, Tx> {
  readonly source: EventSource<P, E>
  readonly checkpoints: CheckpointStore<Tx>
  /** Whole, whatever their shards. */
  readonly projections: readonly ResolvedProjection<E, Tx>[]
  readonly drainTimeoutMs: number
  readonly traceContext: ReadTraceContext<E>
  readonly nodes: ResolvedNodes | undefined
  readonly highWater: ResolvedHighWaterAgentOptions<P>
  readonly clock: Clock
}

/** 10 s: well inside the 30 s that Kubernetes gives a pod between SIGTERM and SIGKILL. */
export const DAEMON_DEFAULTS: { readonly drainTimeoutMs: number } = Object.freeze({ drainTimeoutMs: 10_000 })

const DAEMON_OPTIONS: Readonly<Record<keyof DaemonOptions<unknown, unknown, unknown>, true>> = {
  ...HIGH_WATER_AGENT_OPTIONS,
  projections: true,
  drainTimeoutMs: true,
  nodes: true,
  traceContext: true,
}

export function resolveDaemonOptions<P, E, Tx>(
  options: DaemonOptions<P, E, Tx>,
): ResolvedDaemonOptions<P, E, Tx> {
  requireKnownOptions(options, DAEMON_OPTIONS)
  const { projections, drainTimeoutMs, traceContext, nodes, ...highWater } = {
    ...DAEMON_DEFAULTS,
    traceContext: traceContextOf,
    ...withoutUndefined(options),
  }
  const { source, checkpoints } = options
  if (typeof checkpoints?.advance !== 'function') {
    throw new InvalidOptionError('checkpoints', 'a CheckpointStore', checkpoints)
  }
  requireAbove0('drainTimeoutMs', drainTimeoutMs)
  if (typeof traceContext !== 'function')
    throw new InvalidOptionError('traceContext', 'a function', traceContext)
  const resolved = resolveHighWaterAgentOptions<P>(highWater)
  const resolvedProjections = resolveProjections(projections, source)
  for (const [index, each] of resolvedProjections.entries()) {
    const { maySkip, keyOf, reset, onSwitch, unit, onLateEvent, effects, replaying, shards, autoShard } = each
    if (onLateEvent !== undefined) requireLateEvents(`projections[${index}].onLateEvent`, source, checkpoints)
    if (reset !== undefined) requireRequests(`projections[${index}].reset`, checkpoints)
    if (onSwitch !== undefined) requireRoles(`projections[${index}].onSwitch`, checkpoints)
    if (replaying !== undefined) requireReplays(`projections[${index}].replay`, checkpoints)
    if (effects === 'live_only') requireLiveRole(`projections[${index}].effects`, checkpoints)
    if (maySkip) requireDeadLetters(`projections[${index}].onFailure`, checkpoints)
    if (keyOf) requireDeadLetters(`projections[${index}].keyOf`, checkpoints)
    if (shards.length > 1) requireShards(`projections[${index}].shards`, checkpoints)
    if (autoShard !== undefined) requireReshards(`projections[${index}].autoShard`, source, checkpoints)
    if (unit.version !== 1) requireRoles(`projections[${index}].version`, checkpoints)
  }
  return Object.freeze({
    source,
    checkpoints,
    projections: resolvedProjections,
    drainTimeoutMs,
    traceContext,
    nodes: resolveNodes(nodes, checkpoints),
    highWater: resolved,
    clock: resolved.clock,
  })
}
