import { hasCode } from '../kernel/errors.ts'
import type {
  Evidence,
  HighWaterReading,
  HighWaterRequest,
  OpenedSource,
  SkippedRun,
  StoredProgress,
} from '../ports/event-source.ts'
import { isReached } from '../ports/position.ts'
import type { ResolvedHighWaterAgentOptions } from './options.ts'

type Waiting = NonNullable<HighWaterRequest<unknown>['waiting']>

interface Opened {
  readonly opened: OpenedSource
  readonly sharesLog: boolean
}

/** Settled positions without a checkpoint are stored at most once a second. */
const SAVE_SETTLED_EVERY_MS = 1_000

/** One poll of a source, together with what a checkpoint store remembers of it. */
export class StorePoll<P> {
  readonly #options: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'checkpoints' | 'clock'>
  readonly #signal: AbortSignal
  readonly #onForget: () => void
  readonly #projected: () => P | undefined
  /** The newest reading, of whatever incarnation. */
  #newest: HighWaterReading<P> | undefined
  #savedSettled: { readonly reading: HighWaterReading<P>; readonly atMs: number } | undefined
  /** What polls of the present incarnation go on from. */
  #opened: Opened | undefined

  constructor(
    options: Pick<ResolvedHighWaterAgentOptions<P>, 'source' | 'checkpoints' | 'clock'>,
    signal: AbortSignal,
    /** Called as soon as a poll has seen another incarnation. */
    onForget: () => void,
    /** See `HighWaterRequest.projected`. */
    projected: () => P | undefined,
  ) {
    this.#options = options
    this.#signal = signal
    this.#onForget = onForget
    this.#projected = projected
  }

  /**
   * A poll that saw another incarnation is thrown away: everything learned is dropped, progress is read again. Skipped
   * runs are recorded before the reading that passed them is used.
   */
  async read(previous: HighWaterReading<P> | undefined, waiting: Waiting): Promise<HighWaterReading<P>> {
    const reading = await this.#readFrom(previous, waiting).catch(async (error: unknown) => {
      if (!hasCode(error, 'TIDEMARK_INCARNATION_CHANGED')) throw error
      this.#onForget()
      return await this.#readFrom(undefined, waiting)
    })
    const { source, checkpoints } = this.#options
    if (reading.skipped.length > 0)
      await checkpoints?.skips?.record(source.name, reading.skipped.map(this.#formatRun), this.#signal)
    // `stop()` may have gone on without this poll.
    this.#signal.throwIfAborted()
    this.#newest = reading
    return reading
  }

  /**
   * If nothing is projected, no checkpoint carries the settled position. It is stored by itself, so that a restart goes
   * on from it.
   */
  async saveSettled(reading: HighWaterReading<P>): Promise<void> {
    const { source, checkpoints, clock } = this.#options
    const saved = this.#savedSettled
    const now = clock.nowMs()
    if (!checkpoints?.settled || reading.settled === undefined) return
    if (saved && now - saved.atMs < SAVE_SETTLED_EVERY_MS) return
    const isSame = saved?.reading.incarnation === reading.incarnation
    if (isSame && isReached(source.order, reading.settled, saved.reading.settled)) return
    await checkpoints.settled.save(source.name, formatEvidence(source.order.format, reading), this.#signal)
    this.#savedSettled = { reading, atMs: now }
  }

  isTransient(error: unknown): boolean {
    const { source, checkpoints } = this.#options
    return (
      hasCode(error, 'TIDEMARK_INCARNATION_CHANGED') ||
      source.isTransient(error) ||
      (checkpoints?.isTransient(error) ?? false)
    )
  }

  async #readFrom(previous: HighWaterReading<P> | undefined, waiting: Waiting): Promise<HighWaterReading<P>> {
    const { source } = this.#options
    if (previous === undefined || this.#opened === undefined) {
      this.#opened = await this.#open(waiting)
      return await source.readHighWater(
        await this.#request(undefined, this.#opened, waiting, { readsStored: true }),
      )
    }
    const opened = this.#opened
    const request = await this.#request(previous, opened, waiting, { readsStored: false })
    return await source.readHighWater(request).catch(async (error: unknown) => {
      if (!hasCode(error, 'TIDEMARK_PROGRESS_NEEDED')) throw error
      return await source.readHighWater(await this.#request(previous, opened, waiting, { readsStored: true }))
    })
  }

  async #open(waiting: Waiting): Promise<Opened> {
    const { source, checkpoints } = this.#options
    const opened = await source.open({ signal: this.#signal, waiting })
    const sharesLog = await checkpoints?.sharesLogWith(opened.incarnation, this.#signal)
    return { opened, sharesLog: sharesLog ?? false }
  }

  async #request(
    previous: HighWaterReading<P> | undefined,
    opened: Opened,
    waiting: Waiting,
    { readsStored }: { readonly readsStored: boolean },
  ): Promise<HighWaterRequest<P>> {
    const { source, checkpoints } = this.#options
    const toDecide = checkpoints?.toDecide?.(source.name)
    return {
      previous,
      ...opened,
      stored: readsStored ? await this.#readProgress() : undefined,
      former: previous === undefined ? this.#newest : undefined,
      projected: this.#projected(),
      ...(toDecide === undefined ? {} : { toDecide }),
      signal: this.#signal,
      waiting,
    }
  }

  async #readProgress(): Promise<readonly StoredProgress<P>[]> {
    const { source, checkpoints } = this.#options
    const { parse } = source.order
    const stored = (await checkpoints?.progress(source.name, this.#signal)) ?? []
    return stored.map(({ position, settled, ...rest }) => ({
      ...rest,
      position: position === undefined ? undefined : parse(position),
      settled: settled === undefined ? undefined : parse(settled),
    }))
  }

  #formatRun = (run: SkippedRun<P>): SkippedRun<string> => {
    const { format } = this.#options.source.order
    return { stored: format(run.stored), current: format(run.current), count: run.count }
  }
}

export function formatEvidence<P>(
  format: (position: P) => string,
  evidence: Evidence<P>,
): { incarnation: string; settled: string | undefined; logPosition: string | undefined } {
  const { incarnation, settled, logPosition } = evidence
  return { incarnation, settled: settled === undefined ? undefined : format(settled), logPosition }
}
