/** Runs what a user gave us: what it throws goes to `onError`, and what that throws goes nowhere. */
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
    // An async function is an easy mistake: its rejection would end the process.
    if (result instanceof Promise) result.catch(handOver)
    return result
  } catch (error) {
    handOver(error)
    return undefined
  }
}
