import type { SkipTotals } from '../ports/stored-unit.ts'
import type { ConsumerGroup } from '../ports/subscription-source.ts'

/**
 * The states a wrapped subscription can be in.
 *
 * - `catching_up`: older events are on their way
 * - `live`: what is appended is delivered as it comes
 * - `dropped`: it ended with an error, or without one though nobody unsubscribed; only `resubscribing` makes another
 * - `ended`: by the user's own wish
 */
export const SUBSCRIPTION_STATES: readonly ['catching_up', 'live', 'dropped', 'ended'] = [
  'catching_up',
  'live',
  'dropped',
  'ended',
]
export type SubscriptionState = (typeof SUBSCRIPTION_STATES)[number]

/** The reason of a drop that came without an error, though nobody unsubscribed. */
export const SILENT_END = 'silent_end'
/** The reason of a drop with `CheckpointBeyondHeadError`. All other reasons are the source's. */
export const BEYOND_HEAD = 'checkpoint_beyond_head'

/** What can be done to an event of a persistent subscription. */
export const ACKNOWLEDGE_ACTIONS: readonly ['ack', 'park', 'retry', 'skip', 'stop'] = [
  'ack',
  'park',
  'retry',
  'skip',
  'stop',
]

/**
 * What moves a subscription from one state to the next. Only of `resubscribing`: after a drop, the next one was answered
 * (`resume`), or the consumer leaves and wants none (`give_up`).
 */
export type SubscriptionSignal = 'caught_up' | 'fell_behind' | 'drop' | 'end' | 'resume' | 'give_up'

const NEXT: Readonly<Record<SubscriptionState, Readonly<Record<SubscriptionSignal, SubscriptionState>>>> = {
  catching_up: {
    caught_up: 'live',
    fell_behind: 'catching_up',
    drop: 'dropped',
    end: 'ended',
    resume: 'catching_up',
    give_up: 'ended',
  },
  live: {
    caught_up: 'live',
    fell_behind: 'catching_up',
    drop: 'dropped',
    end: 'ended',
    resume: 'live',
    give_up: 'ended',
  },
  // What is left in its buffer may still be consumed; whoever then closes it has not mended it.
  dropped: {
    caught_up: 'dropped',
    fell_behind: 'dropped',
    drop: 'dropped',
    end: 'dropped',
    resume: 'catching_up',
    give_up: 'ended',
  },
  ended: {
    caught_up: 'ended',
    fell_behind: 'ended',
    drop: 'ended',
    end: 'ended',
    resume: 'ended',
    give_up: 'ended',
  },
}

export function nextState(state: SubscriptionState, signal: SubscriptionSignal): SubscriptionState {
  return NEXT[state][signal]
}

/** Where a wrapped subscription stands, as `SubscriptionMonitor.status()` computes it. */
export interface SubscriptionStatus<P> {
  readonly projection: string
  readonly state: SubscriptionState
  /** Events handed over, since the subscription was wrapped. */
  readonly deliveredEvents: number
  /** Events after which the consumer came back for the next, or whose handler's promise has resolved. */
  readonly processedEvents: number
  /**
   * Everything up to here is processed; of a persistent subscription, by its group. `undefined` where that is not seen
   * (`on('data')` alone, a group that the source does not read).
   */
  readonly position: P | undefined
  /** The head as last read. */
  readonly head: P | undefined
  /**
   * Head (of a group: its last known event) minus position, once both are known; `undefined` on sparse orders, with a
   * filter, and once the subscription has ended.
   */
  readonly lagPositions: bigint | undefined
  /**
   * Milliseconds: now minus the append time of the oldest unprocessed event; 0 when there is none, `undefined` when that is
   * unknown, and once the subscription has ended.
   * While the head cannot be read there may always be one: then it counts from the last time that there was none.
   */
  readonly lagMs: number | undefined
  /** Whether nothing has come for longer than `stallAfterMs` while the head stands above; `undefined` where that cannot be told. */
  readonly isStalled: boolean | undefined
  /** The group of a persistent subscription as last read, where the source reads it. */
  readonly group: ConsumerGroup<P> | undefined
  /** Events passed without being handled, by reason, since the subscription was wrapped. */
  readonly skipped: SkipTotals
  /** Why it was dropped, as the label `reason` of `subscription_drops`; `undefined` while it was not. */
  readonly dropReason: string | undefined
  /** What it was dropped with; `undefined` also for a drop without an error. */
  readonly error: unknown
}
