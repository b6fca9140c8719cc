import { abandonRead, type EsdbEvent } from './client.ts'
import { EsdbTimeoutError, hasType } from './errors.ts'

/** How long a call may be silent, and what ends it before. */
export interface CallLimits {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/**
 * Gives each event of a read to `take` until that answers `false`. A stream that is not there has no events. Rejects as
 * soon as the signal fires, or nothing has come for `timeoutMs`, whatever the client does: reads have no deadline in
 * either client (both pass `Infinity`), and those of the native addon cannot be cancelled.
 */
export async function readEach<E extends EsdbEvent>(
  what: string,
  open: () => AsyncIterable<E>,
  { timeoutMs, signal }: CallLimits,
  take: (event: E) => boolean,
): Promise<void> {
  signal.throwIfAborted()
  const read = open()
  const iterator = read[Symbol.asyncIterator]()
  let isOver = false
  const events = async (progressed: () => void): Promise<'ended' | 'enough'> => {
    for (;;) {
      const { done, value } = await iterator.next()
      if (done) return 'ended'
      if (isOver || !take(value)) return 'enough'
      progressed()
    }
  }
  let hasEnded = false
  try {
    hasEnded = (await whileProgressing(what, { timeoutMs, signal }, events)) === 'ended'
  } catch (error) {
    if (!hasType(error, 'stream-not-found')) throw error
  } finally {
    isOver = true
    if (!hasEnded) abandonRead(read, iterator)
  }
}

/** The answer of a call that is no read. */
export async function answered<T>(what: string, limits: CallLimits, call: () => Promise<T>): Promise<T> {
  limits.signal.throwIfAborted()
  return await whileProgressing(what, limits, call)
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
  const stop = (): void => giveUp(signal.reason)
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([work(() => timer.refresh()), givenUp])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}
