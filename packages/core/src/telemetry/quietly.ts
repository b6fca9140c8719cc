/** Runs a user's function. What it throws goes to `onError`; what `onError` throws is dropped. */
export function quietly<T>(work: () => T, onError: (error: unknown) => void): T | undefined {
  const handOver = (error: unknown): void => {
    try {
      const result: unknown = onError(error)
      if (result instanceof Promise) result.catch(() => {})
    } catch {
      // Nobody is left to tell.
    }
  }
  try {
    const result = work()
    // The user's function may be async by mistake: an unhandled rejection would end the process.
    if (result instanceof Promise) result.catch(handOver)
    return result
  } catch (error) {
    handOver(error)
    return undefined
  }
}
