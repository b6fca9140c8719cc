/**
 * One at a time in a process: `@eventstore/db-client` keeps the pending appends of all clients in one map, and forgets them
 * all when the call of some of them fails; the answer to one of the others then throws in a listener, which ends the process
 * (6.2.1, streams/appendToStream/batchAppend.js; the same file of `@kurrent/kurrentdb-client` 1.3 has it mended).
 */
let lastAppend: Promise<unknown> = Promise.resolve()

/** Calls when every call before it has ended, or not at all if the signal fires first. */
export function inTurn<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  const before = lastAppend
  const answer = unlessAborted(before, signal).then(call)
  lastAppend = Promise.allSettled([before, answer])
  return answer
}

/** Rejects as soon as the signal fires: what `work` does after that no longer counts. */
export async function unlessAborted(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  let stop = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
  })
  signal.addEventListener('abort', stop)
  try {
    await Promise.race([work, aborted])
    // It may have fired while the work was on its last step.
    signal.throwIfAborted()
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
