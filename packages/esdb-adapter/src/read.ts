import { cancelRead, type EsdbEvent } from './client.ts'
import { explain, hasType } from './client-errors.ts'
import type { ClientRead } from './client-in-use.ts'
import { EsdbTimeoutError } from './errors.ts'

/** How long a call may be silent, and what ends it before. */
export interface CallLimits {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Gives each event of a read to `take` until that answers `false`; the rest is read and dropped. A read is always read to
 * its end: one that is left early stays open in the native reader of `@kurrent/kurrentdb-client` until the garbage
 * collector finds it, and what the server has sent for it fills the window of the connection, so that all other reads
 * stand still. So ask for no more than is needed.
 *
 * A stream that is not there has no events. Rejects as soon as the signal fires, or nothing has come for `timeoutMs`,
 * whatever the client does: reads have no deadline in either client (both pass `Infinity`), and those of the native
 * reader cannot be cancelled.
 */
export async function readEach<E extends EsdbEvent>(
  what: string,
  open: () => ClientRead<E>,
  { timeoutMs, signal }: CallLimits,
  take: (event: E) => boolean,
): Promise<void> {
  signal.throwIfAborted()
  const read = open()
  const iterator = read.events[Symbol.asyncIterator]()
  let isWanted = true
  const events = async (progressed: () => void): Promise<void> => {
    const failures: unknown[] = []
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
        progressed()
        try {
          isWanted = isWanted && take(next.value)
        } catch (error) {
          failures.push(error)
          isWanted = false
        }
      }
    } catch (error) {
      throw read.failed(what, error)
    }
    read.succeeded()
    if (failures.length > 0) throw failures[0]
  }
  try {
    await whileProgressing(what, { timeoutMs, signal }, events)
  } catch (error) {
    if (hasType(error, 'stream-not-found')) return
    // `events` goes on, and drops what still comes.
    isWanted = false
    cancelRead(read.events)
    throw explain(what, error)
  }
}

/** The answer of a call that is no read. */
export async function answered<T>(what: string, limits: CallLimits, call: () => Promise<T>): Promise<T> {
  limits.signal.throwIfAborted()
  try {
    return await whileProgressing(what, limits, call)
  } catch (error) {
    throw explain(what, error)
  }
}

async function whileProgressing<T>(
  what: string,
  { timeoutMs, signal }: CallLimits,
  work: (progressed: () => void) => Promise<T>,
): Promise<T> {
  let giveUp = (_reason: unknown): void => {}
  const givenUp = new Promise<never>((_, reject) => {
    giveUp = reject
  })
  const timer = setTimeout(() => giveUp(new EsdbTimeoutError(what, timeoutMs)), timeoutMs)
  let isOver = false
  const stop = (): void => giveUp(signal.reason)
  signal.addEventListener('abort', stop)
  try {
    // A timer that was cleared would be started again.
    return await Promise.race([work(() => void (isOver || timer.refresh())), givenUp])
  } finally {
    isOver = true
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
