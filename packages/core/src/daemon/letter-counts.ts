import type { Clock } from '../kernel/clock.ts'
import type { CheckpointStore } from '../ports/checkpoint-store.ts'
import type { OpenLetters } from '../ports/dead-letters.ts'
import type { Logger } from '../telemetry/logger.ts'
import { PeriodicReader } from '../telemetry/periodic-reader.ts'

interface LetterCountParts<Tx> {
  readonly checkpoints: Pick<CheckpointStore<Tx>, 'deadLetters'>
  readonly clock: Clock
  readonly logger: Logger
}

/** Read for those who look, and only then: a process that nobody scrapes asks nothing. */
const INTERVAL_MS = 10_000

/** How many dead letters are open, as they were when that was last read. */
export class LetterCounts<Tx> {
  readonly #reader: PeriodicReader<readonly OpenLetters[]> | undefined
  #counts: readonly OpenLetters[] | undefined

  constructor({ checkpoints: { deadLetters }, clock, logger }: LetterCountParts<Tx>) {
    if (deadLetters === undefined) return
    this.#reader = new PeriodicReader({
      read: (signal) => deadLetters.counts(signal),
      onRead: (counts) => {
        this.#counts = counts
      },
      warning: 'the open dead letters cannot be counted, their gauges stand still; the work goes on',
      intervalMs: INTERVAL_MS,
      clock,
      logger,
    })
  }

  /** Of that version of a projection; `undefined` before they were read. */
  of({
    name,
    version,
  }: {
    readonly name: string
    readonly version: number
  }): Omit<OpenLetters, 'projection' | 'version'> | undefined {
    if (this.#counts === undefined) return undefined
    const own = this.#counts.filter((counts) => counts.projection === name && counts.version === version)
    return {
      open: own.reduce((sum, { open }) => sum + open, 0),
      oldestAtMs: Math.min(...own.map(({ oldestAtMs }) => oldestAtMs)),
    }
  }

  readWhenDue(signal: AbortSignal): void {
    this.#reader?.readWhenDue(signal)
  }
}
