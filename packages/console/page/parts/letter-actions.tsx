import type { JSX } from 'preact'
import type { LetterChoice } from '../../src/protocol.ts'
import { ActionButton } from './action.tsx'

/** What one may do to open dead letters. */
export function LetterActions({
  choice,
  what,
}: {
  readonly choice: LetterChoice
  /** In words: which are meant, and how many. */
  readonly what: string
}): JSX.Element {
  return (
    <div class="row">
      <span>{what}</span>
      <ActionButton action={{ name: 'retryLetters', says: 'Retry', title: `Retry ${what}`, body: choice }} />
      <ActionButton
        action={{
          name: 'resolveLetters',
          says: 'Resolve',
          title: `Their effect is there by now: ${what}`,
          body: choice,
        }}
      />
      <ActionButton
        action={{
          name: 'discardLetters',
          says: 'Discard',
          title: `Their effect is not wanted: ${what}`,
          body: choice,
          isDanger: true,
        }}
      />
    </div>
  )
}
