// What the nodes of test/chaos/nodes run: one table, for the nodes and for the oracle.

/** What becomes of events that fail again and again. `decides`: skipped where they are poison, tried again otherwise. */
export type Policy = 'pause' | 'skip' | 'park_key' | 'decides'

/** One projection of every node. */
export interface NodeProjection {
  readonly name: string
  readonly policy: Policy
  /** `beside`: it has two versions, of which the one beside is built anew and made the live one, again and again. */
  readonly rebuilt?: 'in place' | 'beside'
  readonly eventTypes?: readonly string[]
  readonly batchSize?: number
  /** How long each batch takes. */
  readonly handleMs?: number
  readonly shards?: Shards
}

/** Each shard keeps the order of its keys alone. */
export interface Shards {
  /** How many there are at first. */
  readonly count: number
  /** By the column `key`, which the server compares, or by `keyOf`. */
  readonly by: 'column' | 'function'
  /** There are to be more or fewer of them all the time. */
  readonly isResharded?: boolean
}

/** `attempts` of those that have to get over everything that passes, and of those that give events up. */
export const ATTEMPTS: Readonly<Record<Policy, number>> = { pause: 30, skip: 3, park_key: 3, decides: 3 }

/** The nodes share the projections by leases of that length. */
export const LEASE_MS = 4_000

/** A handler's call that takes longer is ended. */
export const HANDLER_TIMEOUT_MS = 3_000

export const PROJECTIONS: readonly NodeProjection[] = [
  { name: 'all', policy: 'pause' },
  { name: 'small_batches', policy: 'pause', batchSize: 10 },
  { name: 'rare', policy: 'pause', eventTypes: ['rare', 'poison'] },
  { name: 'slow', policy: 'pause', handleMs: 60 },
  { name: 'skipping', policy: 'skip', shards: { count: 3, by: 'function' } },
  { name: 'skipping_rare', policy: 'skip', eventTypes: ['rare', 'poison'], batchSize: 20 },
  { name: 'parking', policy: 'park_key', shards: { count: 2, by: 'column' } },
  { name: 'parking_small', policy: 'park_key', batchSize: 25 },
  { name: 'deciding', policy: 'decides' },
  { name: 'in_place', policy: 'pause', rebuilt: 'in place' },
  { name: 'beside', policy: 'pause', rebuilt: 'beside' },
  // Under "pause": what is given up keeps its shard from being cut.
  {
    name: 'resharded',
    policy: 'pause',
    batchSize: 200,
    shards: { count: 4, by: 'column', isResharded: true },
  },
]

/** Of a projection that is rebuilt beside itself there are two; a node of an earlier release has the first alone. */
export function versionsOf({ rebuilt }: NodeProjection): readonly number[] {
  return rebuilt === 'beside' ? [1, 2] : [1]
}

/** What it writes is under this name in the table `handled`. */
export function nameOf(projection: string, version: number): string {
  return version === 1 ? projection : `${projection}@${version}`
}

/** Whoever gives events up needs not wait until they can be handled: for those it fails for longer. */
const LONGER_MS = 60_000

/** Fails until that time, in milliseconds since the Unix epoch. */
export function poisonId(uuid: string, untilMs: number): string {
  return `${uuid}-poison-${Math.ceil(untilMs)}`
}

export function isPoison(id: string, policy: Policy, nowMs: number): boolean {
  const until = /-poison-(\d+)$/.exec(id)?.[1]
  return until !== undefined && nowMs < Number(until) + (policy === 'pause' ? 0 : LONGER_MS)
}

/** The first two digits of the id: 256 keys. So does the column `key`. */
export function keyOf({ id }: { readonly id: string }): string {
  return id.slice(0, 2)
}

/** What a node is told by its parent. */
export type Told =
  | { readonly kind: 'mischief'; readonly how: Mischief; readonly projection: string; readonly forMs: number }
  | { readonly kind: 'clock'; readonly byMs: number }
  /** It says its status. */
  | { readonly kind: 'status' }

/** What handlers do. `hangs`: in a statement, or outside of the database. */
export type Mischief = 'throws' | 'hangs' | 'hangs in a statement' | 'is slow'
