import type { CheckpointStore } from '@tidemark/core'
import type { Operations } from '@tidemark/core/operations'
import type { WatchedPostgresEventsOptions } from '@tidemark/pg-adapter'

/** Where the events are: what `postgresEvents` is given, without `pool` and what makes events of rows. */
export type EventsConfig = Omit<WatchedPostgresEventsOptions, 'pool' | 'queryTimeoutMs'>

/** What is read of a checkpoint store. */
export type ReadStore = Pick<
  CheckpointStore<never>,
  'name' | 'progress' | 'sharesLogWith' | 'toDecide' | 'isTransient' | 'lateEvents' | 'lostEvents'
>

/** Through what a database is read. */
export interface StatusReader {
  readonly pool: WatchedPostgresEventsOptions['pool']
  readonly checkpoints: ReadStore
  /** Of every source. */
  readonly operations: Pick<Operations<never>, 'list' | 'deadLetters' | 'nodes'>
  /** `undefined`: the tables that the checkpoints are named after. */
  readonly events: EventsConfig | readonly EventsConfig[] | undefined
  readonly queryTimeoutMs: number
  readonly signal: AbortSignal
  /**
   * Who looks again and again remembers whom it has seen. Without it, a look waits for `STALE_AFTER_MS` where the server does not show
   * the ages of those that hold a mark.
   */
  readonly seen?: SeenHolders
}

/** When each transaction that may fill a gap was seen for the first time, by the source and its own name. */
export type SeenHolders = Map<string, Map<string, number>>
