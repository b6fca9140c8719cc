import {
  type CheckpointStore,
  createDaemon,
  type Daemon,
  type DaemonOptions,
  type EventSource,
  type HighWaterReading,
  type Projection,
} from '@tidemark/core'
import { type DeadLetters, denseOrder, type HighWaterRequest } from '@tidemark/core/adapter'
import {
  type InMemoryEvent,
  type InMemoryEvents,
  inMemoryCheckpoints,
  inMemoryEvents,
} from '@tidemark/core/testing'
import { vi } from 'vitest'
import { FakeClock } from '../support/fake-clock.ts'

// Nothing here waits for real time; how long a run takes depends on what else the machine does.
vi.setConfig({ testTimeout: 60_000 })

export type Event = InMemoryEvent<unknown>

/** The same source with some of its methods replaced. */
export function altered<P, E>(source: EventSource<P, E>, by: Partial<EventSource<P, E>>): EventSource<P, E> {
  return {
    name: source.name,
    order: source.order,
    filtersByType: source.filtersByType,
    open: (request) => source.open(request),
    readHighWater: (request) => source.readHighWater(request),
    load: (request) => source.load(request),
    ...(source.wakeUps ? { wakeUps: (signal) => source.wakeUps?.(signal) ?? none() } : {}),
    isTransient: (error) => source.isTransient(error),
    ...by,
  }
}

async function* none(): AsyncGenerator<undefined> {}

export function alteredCheckpoints<Tx>(
  store: CheckpointStore<Tx>,
  by: Partial<CheckpointStore<Tx>>,
): CheckpointStore<Tx> {
  return {
    name: store.name,
    prepare: async (signal) => await store.prepare?.(signal),
    open: (unit, first, signal) => store.open(unit, first, signal),
    read: (unit, signal) => store.read(unit, signal),
    list: (filter, signal) => store.list(filter, signal),
    advance: (request, work) => store.advance(request, work),
    progress: (source, signal) => store.progress(source, signal),
    sharesLogWith: (incarnation, signal) => store.sharesLogWith(incarnation, signal),
    isTransient: (error) => store.isTransient(error),
    ...(store.isTransactional ? { isTransactional: true } : {}),
    ...(store.settled ? { settled: store.settled } : {}),
    ...(store.skips ? { skips: store.skips } : {}),
    ...(store.deadLetters ? { deadLetters: store.deadLetters } : {}),
    ...(store.control ? { control: store.control } : {}),
    ...by,
  }
}

export function alteredLetters<Tx>(letters: DeadLetters<Tx>, by: Partial<DeadLetters<Tx>>): DeadLetters<Tx> {
  return {
    bury: (...args) => letters.bury(...args),
    parkedKeys: (...args) => letters.parkedKeys(...args),
    handOver: (...args) => letters.handOver(...args),
    list: (...args) => letters.list(...args),
    openIds: (...args) => letters.openIds(...args),
    find: (...args) => letters.find(...args),
    close: (...args) => letters.close(...args),
    counts: (...args) => letters.counts(...args),
    askRetry: (...args) => letters.askRetry(...args),
    retryStates: (...args) => letters.retryStates(...args),
    nextRetry: (...args) => letters.nextRetry(...args),
    takeRetry: (...args) => letters.takeRetry(...args),
    retryFailed: (...args) => letters.retryFailed(...args),
    ...by,
  }
}

export function reading(parts: Partial<HighWaterReading<bigint>> = {}): HighWaterReading<bigint> {
  return {
    head: undefined,
    settled: undefined,
    mark: undefined,
    gaps: [],
    holders: [],
    provenEmpty: [],
    skipped: [],
    incarnation: 'first',
    logPosition: undefined,
    memory: undefined,
    ...parts,
  }
}

/** A source that says what the test tells it to, and has no events. */
export function scripted(
  read: (request: HighWaterRequest<bigint>) => HighWaterReading<bigint> | Promise<HighWaterReading<bigint>>,
  incarnation: () => string = () => 'scripted',
): EventSource<bigint, never> {
  return {
    name: 'scripted',
    order: denseOrder,
    filtersByType: false,
    open: async () => ({ incarnation: incarnation(), memory: undefined }),
    readHighWater: async (request) => await read(request),
    load: async ({ upTo }) => ({ events: [], positions: [], through: upTo }),
    isTransient: (error) => error instanceof TransientError,
  }
}

export class TransientError extends Error {}

export interface Rig {
  readonly clock: FakeClock
  readonly events: InMemoryEvents<unknown>
  readonly checkpoints: CheckpointStore<undefined>
  /** Makes, but does not start, a daemon on this store and these checkpoints. */
  daemon(projections: readonly Projection<Event, undefined>[], options?: RigOptions): Daemon<bigint>
}

type RigOptions = Partial<Omit<DaemonOptions<bigint, Event, undefined>, 'projections'>>

const rigs: { readonly daemons: Daemon<bigint>[]; readonly clock: FakeClock }[] = []

export function rig(): Rig {
  const clock = new FakeClock()
  const events = inMemoryEvents<unknown>()
  const checkpoints = inMemoryCheckpoints()
  const daemons: Daemon<bigint>[] = []
  rigs.push({ daemons, clock })
  return {
    clock,
    events,
    checkpoints,
    daemon: (projections, options = {}) => {
      const daemon = createDaemon({ source: events, checkpoints, clock, projections, ...options })
      daemons.push(daemon)
      return daemon
    },
  }
}

/** Stops every daemon of the test that has ended, and says how many timers that left behind. */
export async function stopAll(): Promise<number> {
  let left = 0
  for (const { daemons, clock } of rigs.splice(0)) {
    await clock.run(Promise.all(daemons.map((daemon) => daemon.stop())))
    left += clock.sleeping
  }
  return left
}

/** A projection that remembers the positions it was given. */
export function recording(
  name: string,
  options: Partial<Projection<Event, undefined>> = {},
): Projection<Event, undefined> & { readonly seen: bigint[] } {
  const seen: bigint[] = []
  const projection: Projection<Event, undefined> = {
    name,
    handle: (events) => {
      seen.push(...events.map((event) => event.position))
    },
    ...options,
  }
  // Not enumerable: a projection has no such option.
  return Object.defineProperty(projection, 'seen', { value: seen }) as typeof projection & {
    readonly seen: bigint[]
  }
}

export function positionOf(daemon: Daemon<bigint>, name: string): bigint | undefined {
  return projectionOf(daemon, name).position
}

export function stateOf(daemon: Daemon<bigint>, name: string): string {
  return projectionOf(daemon, name).state
}

export function projectionOf(daemon: Daemon<bigint>, name: string) {
  const found = daemon.status().projections.find((projection) => projection.name === name)
  if (!found) throw new Error(`no projection ${name}`)
  return found
}

/** A promise and its ends. */
export function gate(): { readonly promise: Promise<void>; readonly open: () => void } {
  let open = (): void => {}
  const promise = new Promise<void>((resolve) => {
    open = resolve
  })
  return { promise, open }
}
