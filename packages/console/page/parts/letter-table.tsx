import type { JSX } from 'preact'
import type { Letter } from '../../src/protocol.ts'
import { session } from '../live/api.ts'
import { hrefOf } from '../pure/routes.ts'
import { LETTER_TONES } from '../pure/states.ts'
import { listed, position } from '../pure/words.ts'
import { State } from './state.tsx'
import { Ago } from './time.tsx'

export function LetterTable({
  letters,
  chosen,
  onChoose,
}: {
  readonly letters: readonly Letter[]
  readonly chosen: ReadonlySet<string>
  readonly onChoose: (ids: ReadonlySet<string>) => void
}): JSX.Element {
  if (letters.length === 0) return <p class="well">There are none.</p>
  const isActive = session.value?.actions === true
  return (
    <table class="blocks">
      <thead>
        <tr>
          {isActive && (
            <th scope="col">
              <span class="hidden">chosen</span>
            </th>
          )}
          <th scope="col">letter</th>
          <th scope="col">projection</th>
          <th scope="col">position</th>
          <th scope="col">event</th>
          <th scope="col">error</th>
          <th scope="col">given up</th>
          <th scope="col">state</th>
        </tr>
      </thead>
      <tbody>
        {letters.map((letter) => (
          <tr key={letter.id}>
            {isActive && (
              <td class="tick" data-name="chosen">
                {letter.state === 'open' && (
                  <input
                    type="checkbox"
                    aria-label={`Choose letter ${letter.id}`}
                    checked={chosen.has(letter.id)}
                    onChange={({ currentTarget }) =>
                      onChoose(changed(chosen, letter.id, currentTarget.checked))
                    }
                  />
                )}
              </td>
            )}
            <Cells letter={letter} />
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Cells({ letter }: { readonly letter: Letter }): JSX.Element {
  const {
    id,
    projection,
    version,
    firstPosition,
    lastPosition,
    eventTypes,
    error,
    stage,
    state,
    retryAsked,
  } = letter
  return (
    <>
      <th scope="row" data-name="letter">
        <a href={hrefOf(['dead-letters', id])}>{id}</a>
      </th>
      <td data-name="projection">
        {projection}
        {version > 1 && ` version ${version}`}
      </td>
      <td data-name="position">
        {firstPosition === lastPosition
          ? position(firstPosition)
          : `${position(firstPosition)} to ${position(lastPosition)}`}
      </td>
      <td data-name="event">{eventTypes.length === 0 ? '–' : listed(eventTypes)}</td>
      <td data-name="error">
        {stage === 'parked'
          ? 'never tried: an earlier one of its key is open'
          : `${error.name}: ${error.message}`}
      </td>
      <td data-name="given up">
        <Ago atMs={letter.buriedAtMs} />
      </td>
      <td data-name="state">
        <span>
          <State is={state} tone={LETTER_TONES[state]} />
          {retryAsked !== null && <span class="muted"> retry asked for</span>}
        </span>
      </td>
    </>
  )
}

function changed(chosen: ReadonlySet<string>, id: string, isChosen: boolean): ReadonlySet<string> {
  return new Set(isChosen ? [...chosen, id] : [...chosen].filter((each) => each !== id))
}
