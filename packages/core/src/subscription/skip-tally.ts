import type { CrossedRun } from '../ports/checkpoint-store.ts'
import type { SkipReason, SkipTotals } from '../ports/stored-unit.ts'

export interface Skip<Item> {
  readonly run: CrossedRun
  /** The first item of it. */
  readonly item: Item
  /** Whether it is one run of positions, so that the difference of its ends is a count. */
  readonly isOneRun: boolean
}

/** Adds up what one subscription skips. The first skip of each reason is told at once, the following ones together. */
export class SkipTally<Item> {
  readonly #totals = new Map<SkipReason, bigint>()
  readonly #told = new Set<SkipReason>()
  readonly #untold = new Map<SkipReason, Skip<Item>>()

  /** Of all that was added. */
  get totals(): SkipTotals {
    return Object.fromEntries(this.#totals)
  }

  /** Returns what is to be told at once. */
  add(run: CrossedRun, item: Item): Skip<Item> | undefined {
    const { reason, count } = run
    this.#totals.set(reason, (this.#totals.get(reason) ?? 0n) + count)
    const skip = { run, item, isOneRun: reason === 'truncated' }
    if (!this.#told.has(reason)) {
      this.#told.add(reason)
      return skip
    }
    const untold = this.#untold.get(reason)
    this.#untold.set(reason, untold ? join(untold, skip) : skip)
    return undefined
  }

  /** What has added up and is to be told now. From here on, the first of each reason is told at once again. */
  takeUntold(): readonly Skip<Item>[] {
    const untold = [...this.#untold.values()]
    this.#untold.clear()
    this.#told.clear()
    return untold
  }
}

function join<Item>({ run, item }: Skip<Item>, next: Skip<Item>): Skip<Item> {
  const { current, count } = next.run
  return { run: { ...run, current, count: run.count + count }, item, isOneRun: false }
}

/** For the log. */
export function describeSkip({ stored, current, count, reason }: CrossedRun, source: string): string {
  if (reason === 'truncated') {
    return `missed ${counted(count, 'event')} between ${stored} and ${current} of ${source}: they were truncated before it came to them`
  }
  const where = stored === current ? `at ${stored}` : `from ${stored} to ${current}`
  return reason === 'apply_error'
    ? `gave up ${counted(count, 'event')} ${where} of ${source} (nack)`
    : `was given ${counted(count, 'link')} without an event ${where} of ${source}: what they point to was deleted`
}

function counted(count: bigint, noun: string): string {
  return `${count} ${noun}${count === 1n ? '' : 's'}`
}
