import type { JSX } from 'preact'
import type { Rehearsed } from '../live/rehearsal.ts'
import { ErrorSaid } from './answered.tsx'

/** What an action would do, in words. */
export function Rehearsal({ of: { answer, error } }: { readonly of: Rehearsed }): JSX.Element {
  if (error !== undefined) return <ErrorSaid error={error} />
  return (
    <div class="said" aria-live="polite">
      {answer === undefined ? (
        <p class="muted">Asking what would happen ...</p>
      ) : (
        <>
          <h3>{answer.isNothing ? 'Nothing would be changed' : 'What will happen'}</h3>
          {answer.filter !== null && <p>{answer.filter}</p>}
          {answer.would.map((line) => (
            <p key={line}>{line}</p>
          ))}
        </>
      )}
    </div>
  )
}
