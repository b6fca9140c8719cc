/**
 * How servers differ, as real ones were seen to and as their sources say: EventStoreDB 23.10.7, 24.2.0, KurrentDB 25.0.0 and
 * 25.1.0 (Enumerator*Subscription*.cs of each tag). Everything that is not in this table is the same in all of them.
 */
export interface Generation {
  /** What the server says of itself. */
  readonly version: string
  /**
   * - `ends-when-slow`: an event that finds 32 others waiting ends the call (ABORTED); a stream without events is confirmed,
   *   and then silent until there are some; $all hands out what is live even at or below the position that was given
   * - `goes-back-to-log`: a full buffer drops its oldest, and the subscription reads on from the log
   */
  readonly subscriptions: 'ends-when-slow' | 'goes-back-to-log'
  /** Whether `caughtUp`, and a checkpoint, say when, and `caughtUp` says where. */
  readonly saysWhen: boolean
  /**
   * The checkpoint of a filter when it has caught up:
   * - `none`: there is none
   * - `last-sent`: what was sent last, or the position that was given; 2^64 - 1 where there is neither
   * - `last-page`: where the last page began, also where that is the end of the log, at which no record stands yet
   * - `last-record`: the same, but never beyond what was looked at
   */
  readonly checkpointWhenCaughtUp: 'none' | 'last-sent' | 'last-page' | 'last-record'
}

export type GenerationName = '23.10' | '24.2' | '25.0' | '25'

export const GENERATIONS: Readonly<Record<GenerationName, Generation>> = {
  '23.10': {
    version: '23.10.7',
    subscriptions: 'ends-when-slow',
    saysWhen: false,
    checkpointWhenCaughtUp: 'none',
  },
  '24.2': {
    version: '24.2.0',
    subscriptions: 'goes-back-to-log',
    saysWhen: false,
    checkpointWhenCaughtUp: 'last-sent',
  },
  '25.0': {
    version: '25.0.0',
    subscriptions: 'goes-back-to-log',
    saysWhen: true,
    checkpointWhenCaughtUp: 'last-page',
  },
  '25': {
    version: '25.1.0',
    subscriptions: 'goes-back-to-log',
    saysWhen: true,
    checkpointWhenCaughtUp: 'last-record',
  },
}

export const NEWEST: GenerationName = '25'

export function isGeneration(name: string): name is GenerationName {
  return name in GENERATIONS
}
