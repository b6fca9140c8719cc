import type { LossMonitor } from '@tidemark/core'

/** A consumer that Tidemark does not run, and what was really handed to its handler. */
export interface Consumer {
  /** For people. */
  readonly name: string
  /** What the watch calls it. */
  readonly watchedAs: string
  /** Around its handler. */
  readonly monitor: Pick<LossMonitor<never>, 'lost' | 'status' | 'stop'>
  /** Positions that its handler was given. */
  readonly handled: ReadonlySet<number>
  /**
   * Of an event that it was never given: whether it could have been. `committedAtMs`: when the answer to the writer's COMMIT had
   * come.
   */
  couldSee(position: number, committedAtMs: number): boolean
  stop(): Promise<void>
}
