import type { Clock } from '../kernel/clock.ts'
import { messageOf } from '../kernel/errors.ts'
import type { Logger } from './logger.ts'

export interface PeriodicReaderParts<T> {
  readonly read: (signal: AbortSignal) => Promise<T>
  readonly onRead: (found: T) => void
  /** For the log: what follows if it cannot be read. */
  readonly warning: string
  readonly intervalMs: number
  readonly clock: Clock
  readonly logger: Logger
}

/** Reads something of the store now and then, never twice at once; a read that hangs holds up nothing else. */
export class PeriodicReader<T> {
  readonly #parts: PeriodicReaderParts<T>
  #dueAtMs = Number.NEGATIVE_INFINITY
  #isReading = false
  #hasWarned = false

  constructor(parts: PeriodicReaderParts<T>) {
    this.#parts = parts
  }

  readWhenDue(signal: AbortSignal): void {
    const { clock, intervalMs } = this.#parts
    const nowMs = clock.nowMs()
    if (this.#isReading || nowMs < this.#dueAtMs) return
    this.#isReading = true
    this.#dueAtMs = nowMs + intervalMs
    void this.#read(signal)
  }

  async #read(signal: AbortSignal): Promise<void> {
    const { read, onRead, warning, logger } = this.#parts
    try {
      const found = await read(signal)
      this.#hasWarned = false
      if (!signal.aborted) onRead(found)
    } catch (error) {
      if (!signal.aborted && !this.#hasWarned) {
        this.#hasWarned = true
        logger.warn(`tidemark: ${warning}: ${messageOf(error)}`)
      }
    } finally {
      this.#isReading = false
    }
  }
}
