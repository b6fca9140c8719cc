/** A signal that never fires, for calls that nobody ends. */
export function never(): AbortSignal {
  return new AbortController().signal
}
