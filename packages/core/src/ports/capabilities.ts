import { InvalidOptionError, UnsupportedByStoreError } from '../kernel/errors.ts'
import type { CheckpointStore } from './checkpoint-store.ts'
import type { EventSource } from './event-source.ts'
import type { LostEvents } from './lost-events.ts'

/** What a checkpoint store may be able to do besides the port's base. */
export type StoreCapability =
  | 'counts_skips'
  | 'remembers_settled'
  | 'follows_operators'
  | 'keeps_dead_letters'
  | 'keeps_late_events'
  | 'keeps_lost_events'
  | 'counts_deaths'
  | 'gives_leases'
  | 'keeps_failures'

type Source = Pick<EventSource<unknown, unknown>, 'passesUnproven'>

type Part =
  | 'skips'
  | 'settled'
  | 'control'
  | 'deadLetters'
  | 'lateEvents'
  | 'lostEvents'
  | 'tenures'
  | 'leases'
  | 'failures'

interface Need {
  readonly of: (source: Source) => boolean
  readonly why: string
  readonly instead: string
}

/** By the part of `CheckpointStore` that a store with this capability has. `need`: what cannot be had without it. */
export const STORE_CAPABILITIES: Readonly<
  Record<StoreCapability, { readonly port: Part; readonly need: Need | undefined }>
> = {
  counts_skips: {
    port: 'skips',
    need: {
      of: ({ passesUnproven }) => passesUnproven === true,
      why: 'this source passes positions without proof (stale-threshold mode), each of which has to be counted as skipped',
      instead:
        'keep the checkpoints in postgresCheckpoints, which counts them, or read this source in proof mode',
    },
  },
  // Without it a restart behind an open transaction proves everything anew: that takes longer and loses nothing.
  remembers_settled: { port: 'settled', need: undefined },
  // Without it nobody can pause a projection; `createOperations` refuses such a store.
  follows_operators: { port: 'control', need: undefined },
  // What needs it is an option of a projection, not a source.
  keeps_dead_letters: { port: 'deadLetters', need: undefined },
  keeps_late_events: {
    port: 'lateEvents',
    need: {
      of: ({ passesUnproven }) => passesUnproven === true,
      why: 'this source passes positions without proof (stale-threshold mode), and events that are found there later have to be kept',
      instead: 'keep the checkpoints in postgresCheckpoints, or read this source in proof mode',
    },
  },
  // What needs it is an option of a watch.
  keeps_lost_events: { port: 'lostEvents', need: undefined },
  // Without it an event that ends the process ends it again at each start.
  counts_deaths: { port: 'tenures', need: undefined },
  // What needs it is an option of the daemon. Without it the row lock alone decides who works.
  gives_leases: { port: 'leases', need: undefined },
  // Without it what fails is told by the log and the status of its own process alone.
  keeps_failures: { port: 'failures', need: undefined },
}

/** Throws `UnsupportedByStoreError` where a projection may skip events and the store keeps no dead letters. */
export function requireDeadLetters(
  option: string,
  store: { readonly name: string; readonly deadLetters?: unknown },
): void {
  if (store.deadLetters !== undefined) return
  throw new UnsupportedByStoreError(
    option,
    store.name,
    'deadLetters',
    'an event is skipped or parked only together with a dead letter that says where it is and why',
    "keep the checkpoints in postgresCheckpoints, or leave onFailure at 'pause' and keyOf out",
  )
}

/** Throws `UnsupportedByStoreError` where a projection is one of several versions and the store keeps no roles. */
export function requireRoles(option: string, store: OperatedStore): void {
  requireControl(
    option,
    store,
    'which version of a projection is live is kept there, and changed in one transaction',
    'keep the checkpoints in postgresCheckpoints, or give the new version another name',
  )
}

/** Throws `UnsupportedByStoreError` where a projection is in shards and the store does not keep apart what they have. */
export function requireShards(option: string, store: OperatedStore): void {
  requireControl(
    option,
    store,
    'which shards a projection has is kept there, and made in one transaction',
    'keep the checkpoints in postgresCheckpoints, or leave shards out',
  )
}

/** Throws where a projection changes its shards by itself, and the store cannot change them, or nobody can tell how far one is behind. */
export function requireReshards(
  option: string,
  source: { readonly order: { readonly distance?: unknown } },
  store: { readonly name: string; readonly control?: { readonly reshard?: unknown } },
): void {
  if (source.order.distance === undefined) {
    throw new InvalidOptionError(
      option,
      'none for this source, whose positions cannot be counted',
      'an object',
    )
  }
  if (store.control?.reshard !== undefined) return
  throw new UnsupportedByStoreError(
    option,
    store.name,
    'control.reshard',
    'the checkpoints of shards are replaced there in one transaction',
    'keep the checkpoints in postgresCheckpoints, or leave autoShard out',
  )
}

/** Throws `UnsupportedByStoreError` where replays have a policy of their own and nobody knows what is a replay. */
export function requireReplays(option: string, store: OperatedStore): void {
  requireControl(
    option,
    store,
    'how far a projection had come, and which version is live, is kept there',
    'keep the checkpoints in postgresCheckpoints, or leave replay out',
  )
}

/** Throws `UnsupportedByStoreError` where effects are for the live version only and nobody knows which that is. */
export function requireLiveRole(option: string, store: OperatedStore): void {
  requireControl(
    option,
    store,
    'which version is live, and how far it has come, is kept there and read in the transaction of each batch',
    "keep the checkpoints in postgresCheckpoints, or leave effects at 'always' and replay nothing",
  )
}

/** Throws where late events are never found, or nobody keeps what has become of them. */
export function requireLateEvents(
  option: string,
  source: { readonly findIn?: unknown; readonly lateEventWindowMs?: number | undefined },
  store: { readonly name: string; readonly lateEvents?: unknown; readonly control?: unknown },
): void {
  if (source.findIn === undefined || source.lateEventWindowMs === undefined) {
    throw new InvalidOptionError(
      option,
      "a source that passes positions without proof (highWater: { mode: 'stale-threshold' }); in proof mode the daemon halts",
      'a function',
    )
  }
  for (const part of ['lateEvents', 'control'] as const) {
    if (store[part] !== undefined) continue
    throw new UnsupportedByStoreError(
      option,
      store.name,
      part,
      'what has become of late events is kept there',
      'keep the checkpoints in postgresCheckpoints',
    )
  }
}

/** Throws `UnsupportedByStoreError` where lost events are to be kept in a store that keeps none. */
export function requireLostEvents(
  option: string,
  store: { readonly name: string; readonly lostEvents?: LostEvents },
): LostEvents {
  if (store.lostEvents !== undefined) return store.lostEvents
  throw new UnsupportedByStoreError(
    option,
    store.name,
    'lostEvents',
    'lost events are kept there, so that each is told once, also after a restart',
    `name postgresCheckpoints, or leave ${option} out`,
  )
}

/** Throws `UnsupportedByStoreError` where projections are to be shared by leases in a store that gives none. */
export function requireLeases(
  option: string,
  store: { readonly name: string; readonly leases?: unknown },
): void {
  if (store.leases !== undefined) return
  throw new UnsupportedByStoreError(
    option,
    store.name,
    'leases',
    'which node has which projection is kept there, and compared where a checkpoint moves',
    'keep the checkpoints in postgresCheckpoints, deal the projections out by number (nodes: { index, of }), or leave nodes out',
  )
}

/** Throws `UnsupportedByStoreError` where a projection can be rebuilt and nobody can ask for it. */
export function requireRequests(option: string, store: OperatedStore): void {
  requireControl(
    option,
    store,
    'a rebuild is asked for there, and the checkpoint begins anew in the transaction of reset',
    'keep the checkpoints in postgresCheckpoints, or clear what the handler has written by hand, with the daemon stopped',
  )
}

interface OperatedStore {
  readonly name: string
  readonly control?: unknown
}

function requireControl(option: string, store: OperatedStore, why: string, instead: string): void {
  if (store.control !== undefined) return
  throw new UnsupportedByStoreError(option, store.name, 'control', why, instead)
}

/** Throws `UnsupportedByStoreError` where the source needs what the store lacks. */
export function requireCapabilities(
  source: Source,
  store: Pick<CheckpointStore<never>, 'name' | 'skips' | 'settled'> &
    Partial<
      Pick<
        CheckpointStore<never>,
        'deadLetters' | 'lateEvents' | 'lostEvents' | 'tenures' | 'leases' | 'failures'
      >
    > & {
      readonly control?: unknown
    },
): void {
  for (const { port, need } of Object.values(STORE_CAPABILITIES)) {
    if (need?.of(source) && store[port] === undefined) {
      throw new UnsupportedByStoreError('checkpoints', store.name, port, need.why, need.instead)
    }
  }
}
