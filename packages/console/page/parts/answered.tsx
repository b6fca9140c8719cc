import type { ComponentChildren, JSX } from 'preact'
import type { Asked } from '../live/answer.ts'
import type { ApiError } from '../live/api.ts'
import { Ago } from './time.tsx'

/** What was answered; until then that it is waited for, and above it why the last question was not. */
export function Answered<T>({
  of: { answer, error, answeredAtMs },
  children,
}: {
  readonly of: Asked<T>
  readonly children: (answer: T) => ComponentChildren
}): JSX.Element {
  return (
    <>
      {error !== undefined && (
        <ErrorSaid error={error}>
          {answer !== undefined && (
            <p>
              What is shown was asked for <Ago atMs={answeredAtMs} />.
            </p>
          )}
        </ErrorSaid>
      )}
      {answer !== undefined ? children(answer) : error === undefined && <p class="muted">Asking ...</p>}
    </>
  )
}

export function ErrorSaid({
  error,
  children,
}: {
  readonly error: ApiError
  readonly children?: ComponentChildren
}): JSX.Element {
  return (
    <div class="said bad stack" role="alert">
      <p>{error.message}</p>
      {error.next.map((next) => (
        <p key={next}>{next}</p>
      ))}
      {children}
    </div>
  )
}
