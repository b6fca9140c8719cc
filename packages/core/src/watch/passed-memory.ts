import type { Gap } from '../ports/event-source.ts'
import type { LossLedger } from './options.ts'

export interface PassedMemoryParts {
  readonly ledger: LossLedger | undefined
  readonly source: string
  readonly consumer: string
  readonly eventTypes: readonly string[] | 'all' | undefined
}

/**
 * What the handler of a consumer has passed and was not given, kept in the ledger for the next process. What is handed over after
 * it was kept is not in it: that is why the next process believes it only where an event was not visible by then.
 */
export class PassedMemory {
  readonly #parts: PassedMemoryParts
  #kept = ''

  constructor(parts: PassedMemoryParts) {
    this.#parts = parts
  }

  /** The lowest first. Nothing where it was another run of the store, or the handler was given other types. */
  async recall(incarnation: string, signal: AbortSignal): Promise<readonly Gap<bigint>[]> {
    const { ledger, source, consumer, eventTypes } = this.#parts
    if (ledger === undefined) return []
    await ledger.prepare(signal)
    const passed = await ledger.lostEvents.passed(source, consumer, signal)
    if (passed?.incarnation !== incarnation || !isSame(passed.eventTypes, eventTypes)) return []
    return passed.runs.map(({ from, to }) => ({ from: BigInt(from), to: BigInt(to) }))
  }

  async keep(incarnation: string, passed: readonly Gap<bigint>[], signal: AbortSignal): Promise<void> {
    const { ledger, source, consumer, eventTypes } = this.#parts
    if (ledger === undefined) return
    const runs = passed.map(({ from, to }) => ({ from: String(from), to: String(to) }))
    const kept = JSON.stringify([incarnation, runs])
    if (kept === this.#kept) return
    await ledger.lostEvents.keepPassed(source, consumer, { incarnation, eventTypes, runs }, signal)
    this.#kept = kept
  }
}

function isSame(some: PassedMemoryParts['eventTypes'], others: PassedMemoryParts['eventTypes']): boolean {
  if (typeof some !== 'object' || typeof others !== 'object') return some === others
  return JSON.stringify(some.toSorted()) === JSON.stringify(others.toSorted())
}
