import { hasCode, messageOf } from '../kernel/errors.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import { type StartCheck, sawArrival, sawHead, sawNext, startCheck, wantedReading } from './start-check.ts'

/** The leader could not be asked. It may be gone for some seconds, and a busy store passes the checkpoint meanwhile. */
const RETRY_AFTER_MS = 1_000

type Beyond<P> = Extract<StartCheck<P>, { verdict: 'beyond' }>

type StartMonitorOptions<P> = Pick<
  ResolvedMonitorOptions<P, never>,
  'clock' | 'logger' | 'headIntervalMs'
> & {
  readonly source: Pick<
    ResolvedMonitorOptions<P, never>['source'],
    'name' | 'order' | 'readHead' | 'readNext'
  >
  readonly onBeyond: (found: Beyond<P>) => void
}

/** Asks the store until it is known whether it has come as far as where a subscription begins: see start-check.ts. */
export class StartMonitor<P> {
  readonly #options: StartMonitorOptions<P>
  #check: StartCheck<P> = startCheck<P>(undefined)
  #hasWarned = false

  constructor(options: StartMonitorOptions<P>) {
    this.#options = options
  }

  /** Where the next subscription begins. The `run` of the one before has to be over. */
  beginAt(from: P | undefined): void {
    this.#check = startCheck(from)
  }

  get isOver(): boolean {
    return this.#check.verdict !== 'unknown'
  }

  arrived(position: P | undefined): void {
    if (!this.isOver) this.#take(sawArrival(this.#check, position, this.#options.source.order))
  }

  async run(isFiltered: () => boolean, signal: AbortSignal): Promise<void> {
    const { clock, headIntervalMs } = this.#options
    while (!this.isOver && !signal.aborted) {
      const before = this.#check
      let restMs = headIntervalMs
      try {
        await this.#read(isFiltered(), signal)
      } catch (error) {
        if (!hasCode(error, 'TIDEMARK_HEAD_UNKNOWN')) {
          restMs = RETRY_AFTER_MS
          if (!signal.aborted) this.#warn(error)
        }
      }
      // What was seen once is confirmed at once.
      if (this.#check === before) await clock.sleep(restMs, signal, { unref: true })
    }
  }

  async #read(isFiltered: boolean, signal: AbortSignal): Promise<void> {
    const { source } = this.#options
    const wanted = wantedReading(this.#check, isFiltered)
    if (wanted === undefined) return
    if (wanted.of === 'next' && source.readNext) {
      const next = await source.readNext(wanted.after, signal)
      if (!signal.aborted) this.#take(sawNext(this.#check, next, source.order))
      return
    }
    const head = await source.readHead(signal, { requiresLeader: true })
    this.#hasWarned = false
    if (!signal.aborted) this.#take(sawHead(this.#check, head, isFiltered, source.order))
  }

  #take(check: StartCheck<P>): void {
    const wasOver = this.isOver
    this.#check = check
    if (!wasOver && check.verdict === 'beyond') this.#options.onBeyond(check)
  }

  #warn(error: unknown): void {
    if (this.#hasWarned) return
    this.#hasWarned = true
    const { logger, source } = this.#options
    logger.warn(
      `tidemark: the head of ${source.name} cannot be read from the leader, so a checkpoint beyond it is not noticed yet: ${messageOf(error)}`,
    )
  }
}
