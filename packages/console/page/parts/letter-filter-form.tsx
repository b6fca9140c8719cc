import type { JSX } from 'preact'
import type { LetterCount } from '../../src/protocol.ts'
import { type Looked, STATES } from '../pure/letter-filter.ts'
import { hrefOf } from '../pure/routes.ts'
import { number } from '../pure/words.ts'

/** What is looked for is in the address: it can be sent to somebody. */
export function LetterFilterForm({
  looked,
  counts,
}: {
  readonly looked: Looked
  readonly counts: readonly LetterCount[]
}): JSX.Element {
  const go = (to: Partial<Looked>): void => {
    location.hash = hrefOf(['dead-letters'], { ...looked, ...to })
  }
  const projections = [...new Set([...counts.map(({ projection }) => projection), looked.projection])]
    .filter((name) => name !== '')
    .toSorted()
  const openOf = (name: string): number =>
    counts.filter(({ projection }) => projection === name).reduce((sum, { open }) => sum + open, 0)
  return (
    <search class="panel row">
      <label>
        projection
        <select
          value={looked.projection}
          onChange={({ currentTarget }) => go({ projection: currentTarget.value, version: '', error: '' })}
        >
          <option value="">every one</option>
          {projections.map((name) => (
            <option key={name} value={name}>
              {name} ({number(openOf(name))} open)
            </option>
          ))}
        </select>
      </label>
      <label>
        state
        <select
          value={looked.state}
          onChange={({ currentTarget }) =>
            go({ state: STATES.find((each) => each === currentTarget.value) ?? 'open' })
          }
        >
          {STATES.map((state) => (
            <option key={state} value={state}>
              {state}
            </option>
          ))}
        </select>
      </label>
      <label>
        type of event
        <input
          value={looked.type}
          onChange={({ currentTarget }) => go({ type: currentTarget.value.trim() })}
        />
      </label>
      {(looked.error !== '' || looked.version !== '') && (
        <a href={hrefOf(['dead-letters'], { ...looked, error: '', version: '' })}>Whatever the error</a>
      )}
    </search>
  )
}
