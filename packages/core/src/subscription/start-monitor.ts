import { CheckpointBeyondHeadError, hasCode, messageOf } from '../kernel/errors.ts'
import type { ResolvedMonitorOptions } from './options.ts'
import {
  describeBeyondHead,
  type StartCheck,
  sawArrival,
  sawHead,
  sawNext,
  startCheck,
  wantedReading,
} from './start-check.ts'

/** The leader could not be asked. It may be gone for some seconds, and a busy store passes the checkpoint meanwhile. */
const RETRY_AFTER_MS = 1_000

type Beyond<P> = Extract<StartCheck<P>, { verdict: 'beyond' }>

type StartMonitorOptions<P> = Pick<
  ResolvedMonitorOptions<P, never>,
  'projection' | 'clock' | 'logger' | 'headIntervalMs'
> & {
  readonly source: Pick<
    ResolvedMonitorOptions<P, never>['source'],
    'name' | 'order' | 'isFiltered' | 'readHead' | 'readNext'
  >
  readonly onBeyond: (error: CheckpointBeyondHeadError) => void
}

/** Asks the store until it is known whether it has come as far as where a subscription begins: see start-check.ts. */
export class StartMonitor<P> {
  readonly #options: StartMonitorOptions<P>
  #check: StartCheck<P> = startCheck<P>(undefined)
  #isFiltered: boolean
  #hasWarned = false

  constructor(options: StartMonitorOptions<P>) {
    this.#options = options
    this.#isFiltered = options.source.isFiltered ?? false
  }

  get isFiltered(): boolean {
    return this.#isFiltered
  }

  expectFilter(): void {
    this.#isFiltered = true
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

  async run(signal: AbortSignal): Promise<void> {
    const { clock, headIntervalMs } = this.#options
    while (!this.isOver && !signal.aborted) {
      const before = this.#check
      let restMs = headIntervalMs
      try {
        await this.#read(signal)
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

  async #read(signal: AbortSignal): Promise<void> {
    const { source } = this.#options
    const isFiltered = this.#isFiltered
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
    if (!wasOver && check.verdict === 'beyond') this.#options.onBeyond(this.#errorOf(check))
  }

  #errorOf(found: Beyond<P>): CheckpointBeyondHeadError {
    const { projection, source } = this.#options
    const { format } = source.order
    const at = found.at === undefined ? undefined : format(found.at)
    const seen = describeBeyondHead({ how: found.how, at }, source.name)
    return new CheckpointBeyondHeadError(projection, format(found.from), at, seen)
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
