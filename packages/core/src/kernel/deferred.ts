/** A promise with its resolver outside (`Promise.withResolvers` needs Node 22). */
export interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
}

export function deferred(): Deferred {
  let resolve: () => void = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

/** A signal that never fires, for calls that nobody gives up. */
export function neverAborted(): AbortSignal {
  return new AbortController().signal
}

/** Resolves with `promise`, or when `signal` fires. Leaves no listener on the signal. */
export async function untilAborted(
  promise: Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const aborted = whenAborted(signal)
  try {
    await Promise.race([promise, aborted.promise])
  } finally {
    aborted.dispose()
  }
}

/** Resolves when `signal` fires. `dispose` removes the listener. */
export function whenAborted(signal: AbortSignal | undefined): Deferred & { readonly dispose: () => void } {
  const aborted = deferred()
  if (signal?.aborted) aborted.resolve()
  signal?.addEventListener('abort', aborted.resolve)
  return { ...aborted, dispose: () => signal?.removeEventListener('abort', aborted.resolve) }
}
