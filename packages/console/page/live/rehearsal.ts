import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { ActionName, DryAnswer } from '../../src/protocol.ts'
import { type ApiError, asApiError, dryRun } from './api.ts'

/** What an action would do, as the server has said; neither: it was not said yet. */
export interface Rehearsed {
  readonly answer: DryAnswer | undefined
  readonly error: ApiError | undefined
}

/** Nothing is done of which nobody knows what it does. */
export function mayGo({ answer, error }: Rehearsed): boolean {
  return error === undefined && answer !== undefined && !answer.isNothing
}

const TYPED_MS = 300

/** Asked again whenever something else is filled in. */
export function useRehearsal(name: ActionName, body: object | undefined): Rehearsed {
  const found = useSignal<Rehearsed>({ answer: undefined, error: undefined })
  const key = JSON.stringify(body)
  useEffect(() => {
    found.value = { answer: undefined, error: undefined }
    if (body === undefined) return
    const leaving = new AbortController()
    const ask = async (): Promise<void> => {
      try {
        const answer = await dryRun(name, body, leaving.signal)
        if (!leaving.signal.aborted) found.value = { answer, error: undefined }
      } catch (error) {
        if (!leaving.signal.aborted) found.value = { answer: undefined, error: asApiError(error) }
      }
    }
    const timer = setTimeout(() => void ask(), TYPED_MS)
    return () => {
      clearTimeout(timer)
      leaving.abort()
    }
  }, [name, key])
  return found.value
}
