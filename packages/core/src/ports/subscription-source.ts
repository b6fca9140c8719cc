import type { PositionOrder } from './position.ts'

/**
 * The port behind `monitorSubscription`: what an adapter says of the store that a subscription is of.
 *
 * @typeParam P - position
 * @typeParam Item - what the subscription yields
 */
export interface SubscriptionSource<P, Item> {
  /** Names this store in metrics and messages; stable across restarts. */
  readonly name: string
  readonly order: PositionOrder<P>
  /** Whether the subscription yields every position of a dense order (one stream, unfiltered): then a jump is a skip. */
  readonly yieldsEveryPosition: boolean
  /**
   * Whether events may be left out by a filter, so that the head may be one that never comes: neither lag in positions nor
   * a stall is then told from the head. @default false
   */
  readonly isFiltered?: boolean
  /** What an item says of itself. Called once an item: no I/O, next to no work. */
  describe(item: Item): Delivery<P>
  /**
   * The newest position of the stream or log that the subscription reads, whether its filter lets it through or not;
   * `undefined` when nothing was ever appended. Where everything is truncated, so that it cannot be told, it rejects with a
   * `HeadUnknownError`: a checkpoint above an `undefined` head ends the subscription. `requiresLeader`: as the node says that has
   * everything, where another one may be behind.
   */
  readHead(signal: AbortSignal, how?: { readonly requiresLeader: boolean }): Promise<P | undefined>
  /**
   * For a source that may be filtered: the first position after `after`, whether its filter lets it through or not, as the
   * leader says; `undefined` while there is none. Without it, a store that grows past a filtered subscription's checkpoint
   * between two readings of the head is not told from one that had always been there.
   */
  readNext?(after: P, signal: AbortSignal): Promise<P | undefined>
  /** For a source of persistent subscriptions: what the server says of the group that they belong to. */
  readGroup?(signal: AbortSignal): Promise<ConsumerGroup<P>>
  /** Why a subscription ended with this error: a stable name of few values, for a label. */
  dropReason(error: unknown): string
  /**
   * Whether another subscription may succeed, with nothing changed by anyone, where one ended with this error. `false` of
   * what it does not know. Never throws. Needed by `resubscribing`.
   */
  isTransient?(error: unknown): boolean
}

/** A group of competing consumers, as its server has it. */
export interface ConsumerGroup<P> {
  /** Whether it has read everything older, and is given what is appended as it comes. */
  readonly isLive: boolean
  /** Everything up to here is done with, as the server last wrote down: now and then, so it may stand behind. */
  readonly checkpoint: P | undefined
  /** The newest event that the group has seen. */
  readonly lastKnown: P | undefined
  /** Messages that were given up, until an operator replays or removes them. */
  readonly parked: bigint
  /** Messages that consumers have received and not yet acknowledged. */
  readonly outstanding: number
  readonly consumers: readonly GroupConsumer[]
}

/** One consumer of a group, as its server lists it. */
export interface GroupConsumer {
  readonly name: string
  /** Messages that it has received and not yet acknowledged. */
  readonly inFlight: number
  /** Whether it is of this process. */
  readonly isOwn: boolean
}

/** What one item of a subscription says of itself. */
export interface Delivery<P> {
  /** Where it stands in what is subscribed to (of a link, its own); `undefined` when it does not say. */
  readonly position: P | undefined
  /** Milliseconds since the Unix epoch; `undefined` when it does not say. */
  readonly appendedAtMs: number | undefined
  /** Whether there is an event: `false` for a link whose target is gone. */
  readonly hasEvent: boolean
  /** Whether a server that retries has handed it out before, to whomever: what it shows was counted then. @default false */
  readonly isRetry?: boolean
}
