import type { HighWaterReading } from '@tidemark/core/adapter'

const SAMPLED_EVERY_MS = 1_000

type Reading = Pick<HighWaterReading<bigint>, 'head' | 'incarnation'>

/** Remembers which numbers were handed out when. */
export class HandedOut {
  readonly #windowMs: number
  #incarnation: string | undefined
  /** The first is the newest one that is older than the window. */
  #heads: readonly { readonly head: bigint; readonly atMs: number }[] = []

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  /** The numbers up to here have been out for longer than the window. */
  longAgo({ head, incarnation }: Reading, nowMs: number): bigint | undefined {
    // Another server, or a crash: numbers may be handed out again.
    if (incarnation !== this.#incarnation) this.#heads = []
    this.#incarnation = incarnation
    const newest = this.#heads.at(-1)
    if (head !== undefined && (newest === undefined || nowMs - newest.atMs >= SAMPLED_EVERY_MS))
      this.#heads = [...this.#heads, { head, atMs: nowMs }]
    const newestOld = this.#heads.findLastIndex(({ atMs }) => nowMs - atMs > this.#windowMs)
    if (newestOld > 0) this.#heads = this.#heads.slice(newestOld)
    return newestOld < 0 ? undefined : this.#heads[0]?.head
  }
}
