import { StagedError, stagedError } from '../failures/classify.ts'
import type { HandlerCalls } from '../failures/handler-timeout.ts'
import type { Clock } from '../kernel/clock.ts'
import type { AdvanceWork } from '../ports/checkpoint-store.ts'
import type { EventSource } from '../ports/event-source.ts'
import { countOf } from '../ports/skip-totals.ts'
import { appendSpan } from '../reading/append-span.ts'
import type { ReadPage } from '../reading/own-pages.ts'
import { traced } from '../telemetry/background.ts'
import type { TelemetrySession } from '../telemetry/session.ts'
import { failedBatch } from './failed-batch.ts'
import type { HandingOut } from './handing-out.ts'
import type { ResolvedProjection } from './projection.ts'

export interface BatchParts<P, E, Tx> {
  readonly projection: ResolvedProjection<E, Tx>
  readonly source: EventSource<P, E>
  readonly session: TelemetrySession<P, E>
  readonly clock: Clock
}

interface BatchWork<P, E, Tx, Moved> {
  readonly page: ReadPage<P, E>
  readonly calls: HandlerCalls
  /** Moves the checkpoint to the end of the page, in one transaction with `work`, until the signal fires. */
  readonly move: (work: AdvanceWork<Tx>, signal: AbortSignal) => Promise<Moved>
  /** `undefined`: every event is handed out. */
  readonly handing?: HandingOut<E, Tx> | undefined
  /** The handler has been called, and its first statement is on its way; or there is nothing to call it for. */
  readonly onCalled: () => void
}

/** Handles one page in the transaction that moves the checkpoint, under a span, and tells how it went. */
export async function handleBatch<P, E, Tx, Moved>(
  parts: BatchParts<P, E, Tx>,
  { page, calls, move, handing, onCalled }: BatchWork<P, E, Tx, Moved>,
): Promise<Moved> {
  const { projection, source, session, clock } = parts
  const { format } = source.order
  await calls.ended()
  const startedMs = clock.nowMs()
  const batch = failedBatch(source, page)
  const call = calls.next(batch)
  const { signal } = call
  let thrown: { readonly error: unknown } | undefined
  const work: AdvanceWork<Tx> = async (tx, locked) => {
    const parted = await handing?.part(tx, locked)
    const events = parted?.handed ?? page.events
    if (events.length > 0) await handle(tx, events)
    else onCalled()
    await parted?.bury()
  }
  const handle = async (tx: Tx, events: readonly E[]): Promise<void> => {
    try {
      await call.run(() => {
        const handled = traced(() => projection.handle(events, { tx, signal }))
        onCalled()
        return handled
      })
    } catch (error) {
      thrown = { error }
      throw error
    }
  }
  const advance = async (): Promise<Moved> => {
    const moved = await move(work, signal)
    const now = clock.nowMs()
    const { firstMs } = appendSpan(page)
    const parked = countOf(handing?.passed ?? [])
    session.telemetry.batchProcessed({
      projection: projection.series,
      // Those whose effects are not to come about now are handled too: nothing is to be done.
      events: page.events.length - parked,
      durationMs: now - startedMs,
      through: format(page.through),
      // The clock of who appended may be ahead.
      delayMs: page.reachesMark && firstMs !== undefined ? Math.max(0, now - firstMs) : undefined,
    })
    return moved
  }
  try {
    return await session.tracing.batch(
      { ...batch, projection: projection.series, events: page.events },
      advance,
    )
  } catch (error) {
    if (call.timedOut !== undefined) throw stagedError('handle', call.timedOut, batch)
    if (error instanceof StagedError) throw error
    // A store hands on the very error of the work.
    const isOfHandler = thrown !== undefined && Object.is(thrown.error, error)
    throw stagedError(isOfHandler ? 'handle' : 'commit', error, batch)
  } finally {
    call.dispose()
  }
}
