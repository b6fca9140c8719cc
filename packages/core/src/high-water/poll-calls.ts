import { hasCode } from '../kernel/errors.ts'
import type {
  Evidence,
  HighWaterReading,
  HighWaterRequest,
  SkippedRun,
  StoredProgress,
  TailWish,
} from '../ports/event-source.ts'
import type { LateEvent } from '../ports/late-events.ts'
import type { LateEventsError } from './late-events.ts'
import type { ReadRequest } from './lifecycle-commands.ts'
import type { OpenedRun } from './lifecycle-standing.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'

/** Events were found that a proof says are not there: kept before polling halts. Never rejects. */
export type OnLate = (events: readonly LateEvent[], signal: AbortSignal) => Promise<void>

/** Those who read behind the mark, as they stand when a poll begins. */
export interface Readers<P> {
  /** See `HighWaterRequest.projected`. */
  projected(): P | undefined
  /** See `HighWaterRequest.tails`. */
  tails(): readonly TailWish<P>[]
  /** See `OpenRequest.keyColumns`. */
  readonly keyColumns?: readonly string[]
}

export const NO_READERS: Readers<never> = { projected: () => undefined, tails: () => [] }

type Waiting = NonNullable<HighWaterRequest<unknown>['waiting']>

/** What is known beside the polls; see `HighWaterRequest`. */
interface Known<P> extends Readers<P> {
  told(): P | undefined
}

/** The calls that polls are made of: of a source, and of the checkpoint store that remembers how far it was read. */
export class PollCalls<P> {
  readonly #options: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'checkpoints'>
  readonly #signal: AbortSignal
  readonly #known: Known<P>
  readonly #onLate: OnLate

  constructor(
    options: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'checkpoints'>,
    signal: AbortSignal,
    known: Known<P>,
    onLate: OnLate,
  ) {
    this.#options = options
    this.#signal = signal
    this.#known = known
    this.#onLate = onLate
  }

  async open(waiting: Waiting): Promise<OpenedRun> {
    const { source, checkpoints } = this.#options
    const { keyColumns = [] } = this.#known
    const opened = await source.open({
      ...(keyColumns.length === 0 ? {} : { keyColumns }),
      signal: this.#signal,
      waiting,
    })
    const sharesLog = await checkpoints?.sharesLogWith(opened.incarnation, this.#signal)
    return { opened, sharesLog: sharesLog ?? false }
  }

  async recall(): Promise<readonly StoredProgress<P>[]> {
    const { source, checkpoints } = this.#options
    const { parse } = source.order
    const stored = (await checkpoints?.progress(source.name, this.#signal)) ?? []
    return stored.map(({ position, settled, ...rest }) => ({
      ...rest,
      position: position === undefined ? undefined : parse(position),
      settled: settled === undefined ? undefined : parse(settled),
    }))
  }

  async read(request: ReadRequest<P>, waiting: Waiting): Promise<HighWaterReading<P>> {
    const { source, checkpoints } = this.#options
    const toDecide = checkpoints?.toDecide?.(source.name)
    const told = this.#known.told()
    const tails = this.#known.tails()
    try {
      return await source.readHighWater({
        ...request,
        projected: this.#known.projected(),
        ...(told === undefined ? {} : { told }),
        ...(tails.length === 0 ? {} : { tails }),
        ...(toDecide === undefined ? {} : { toDecide }),
        signal: this.#signal,
        waiting,
      })
    } catch (error) {
      if (isLate(error)) await this.#onLate(error.events, this.#signal)
      throw error
    }
  }

  async record(skipped: readonly SkippedRun<P>[]): Promise<void> {
    const { source, checkpoints } = this.#options
    await checkpoints?.skips?.record(source.name, skipped.map(this.#formatRun), this.#signal)
  }

  async saveSettled(reading: HighWaterReading<P>): Promise<void> {
    const { source, checkpoints } = this.#options
    const evidence = formatEvidence(source.order.format, reading)
    await checkpoints?.settled?.save(source.name, evidence, this.#signal)
  }

  isTransient(error: unknown): boolean {
    const { source, checkpoints } = this.#options
    return source.isTransient(error) || (checkpoints?.isTransient(error) ?? false)
  }

  #formatRun = (run: SkippedRun<P>): SkippedRun<string> => {
    const { format } = this.#options.source.order
    return { ...run, stored: format(run.stored), current: format(run.current) }
  }
}

export function formatEvidence<P>(
  format: (position: P) => string,
  evidence: Evidence<P>,
): { incarnation: string; settled: string | undefined; logPosition: string | undefined } {
  const { incarnation, settled, logPosition } = evidence
  return { incarnation, settled: settled === undefined ? undefined : format(settled), logPosition }
}

function isLate(error: unknown): error is LateEventsError {
  return hasCode(error, 'TIDEMARK_LATE_EVENTS')
}
