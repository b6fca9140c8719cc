import { type ReadonlySignal, useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { type ApiError, asApiError, get, type Query } from './api.ts'
import { messages } from './live.ts'

export interface Asked<T> {
  readonly answer: T | undefined
  /** Why the last question was not answered: what is shown is of an earlier one then. */
  readonly error: ApiError | undefined
  readonly answeredAtMs: number | undefined
}

/**
 * What the server answers to that; asked again as the live state moves, at most once in `everyMs`, and never two at a time. `0`: it is asked
 * once.
 */
export function useAnswer<T>(path: string, query: Query, everyMs: number): ReadonlySignal<Asked<T>> {
  const asked = useSignal<Asked<T>>({ answer: undefined, error: undefined, answeredAtMs: undefined })
  const key = `${path} ${JSON.stringify(query)}`
  useEffect(() => {
    const leaving = new AbortController()
    let isAsking = false
    let askedAtMs = 0
    const ask = async (): Promise<void> => {
      if (isAsking) return
      isAsking = true
      askedAtMs = Date.now()
      try {
        const answer = await get<T>(path, query, leaving.signal)
        if (!leaving.signal.aborted) asked.value = { answer, error: undefined, answeredAtMs: Date.now() }
      } catch (error) {
        if (!leaving.signal.aborted) asked.value = { ...asked.value, error: asApiError(error) }
      } finally {
        isAsking = false
      }
    }
    asked.value = { answer: undefined, error: undefined, answeredAtMs: undefined }
    void ask()
    const stopListening = messages.subscribe(() => {
      const isUnanswered = asked.value.answer === undefined || asked.value.error !== undefined
      const isDue = everyMs > 0 && Date.now() - askedAtMs >= everyMs
      if (isDue || (isUnanswered && Date.now() - askedAtMs >= ASK_AGAIN_MS)) void ask()
    })
    return () => {
      stopListening()
      leaving.abort()
    }
  }, [key, everyMs])
  return asked
}

const ASK_AGAIN_MS = 3_000
