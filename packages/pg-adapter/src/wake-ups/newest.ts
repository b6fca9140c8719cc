/**
 * Hands what `run` tells to whoever asks for the next one. Of several that nobody has asked for, only the newest is kept. Ends with
 * `signal`; rejects where `run` does. `run` is told to end when nobody asks any more.
 */
export async function* newestOf<T>(
  run: (tell: (value: T) => void, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): AsyncGenerator<T> {
  const ending = new AbortController()
  const untaken: T[] = []
  let isOver = false
  let wake = (): void => {}
  const tell = (value: T): void => {
    untaken[0] = value
    wake()
  }
  const running = run(tell, AbortSignal.any([signal, ending.signal])).finally(() => {
    isOver = true
    wake()
  })
  running.catch(() => {})
  try {
    while (!isOver || untaken.length > 0) {
      yield* untaken.splice(0)
      if (isOver || untaken.length > 0) continue
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    if (!signal.aborted) await running
  } finally {
    ending.abort()
    await running.catch(() => {})
  }
}
