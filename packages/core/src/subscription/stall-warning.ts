import type { ResolvedMonitorOptions } from './options.ts'
import { reachedBy } from './progress.ts'
import { isStalled, type Standing } from './standing.ts'

type StallWarningOptions = Pick<
  ResolvedMonitorOptions<unknown, unknown>,
  'logger' | 'projection' | 'stallAfterMs'
> & {
  readonly source: { readonly name: string }
}

/** One line in the log when a subscription stalls, and one when it delivers again. */
export class StallWarning<P> {
  readonly #options: StallWarningOptions
  #hasStalled = false

  constructor(options: StallWarningOptions) {
    this.#options = options
  }

  look(standing: Standing<P>): void {
    const hasStalled = isStalled(standing) ?? false
    if (hasStalled === this.#hasStalled) return
    this.#hasStalled = hasStalled
    const { logger, projection, source, stallAfterMs } = this.#options
    const { order, head, progress } = standing
    const text = (position: P | undefined): string =>
      position === undefined ? 'none' : order.format(position)
    const subscription = `the subscription of projection "${projection}"`
    logger.warn(
      hasStalled
        ? `tidemark: ${subscription} has stalled: nothing has come from ${source.name} for ${stallAfterMs / 1_000} s; its head is ${text(head.head)}, the last that came is ${text(reachedBy(progress, order))}`
        : `tidemark: ${subscription} delivers again`,
    )
  }
}
