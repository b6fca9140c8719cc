import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { Letter, LetterAnswer, LetterError } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { session } from '../live/api.ts'
import { Answered } from '../parts/answered.tsx'
import { Fact } from '../parts/fact.tsx'
import { LetterActions } from '../parts/letter-actions.tsx'
import { Page } from '../parts/page.tsx'
import { State } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { hrefOf } from '../pure/routes.ts'
import { LETTER_TONES } from '../pure/states.ts'
import { count, position } from '../pure/words.ts'

const EVERY_MS = 4_000

export function LetterPage({ id }: { readonly id: string }): JSX.Element {
  const withData = useSignal(false)
  const asked = useAnswer<LetterAnswer>(
    `dead-letters/${encodeURIComponent(id)}`,
    { data: withData.value ? '1' : undefined },
    EVERY_MS,
  )
  return (
    <Page title={`Dead letter ${id}`}>
      <Answered of={asked.value}>
        {(answer) => (
          <>
            <Facts letter={answer.letter} />
            <section class="panel" aria-label="Error">
              <h2>What was thrown</h2>
              <ErrorText error={answer.error} />
            </section>
            <Data answer={answer} isAsked={withData.value} onAsk={() => (withData.value = true)} />
          </>
        )}
      </Answered>
    </Page>
  )
}

function Facts({ letter }: { readonly letter: Letter }): JSX.Element {
  const { id, projection, firstPosition, lastPosition, eventTypes, events, tries, key, node, stage, state } =
    letter
  const where =
    firstPosition === lastPosition
      ? position(firstPosition)
      : `${position(firstPosition)} to ${position(lastPosition)}`
  return (
    <section class="panel" aria-label="What it is">
      <div class="between">
        <p>
          {count(events, 'event')} of <a href={hrefOf(['projections', projection])}>{projection}</a>
          {letter.version > 1 && ` version ${letter.version}`} at {where}, {STAGES[stage]}
        </p>
        <State is={state} tone={LETTER_TONES[state]} />
      </div>
      <dl class="facts">
        <Fact name="type">{eventTypes.join(', ') || '–'}</Fact>
        <Fact name="given up">
          <Time atMs={letter.buriedAtMs} />
        </Fact>
        <Fact name="tries">{String(tries)}</Fact>
        <Fact name="key">{key ?? '–'}</Fact>
        <Fact name="node">{node}</Fact>
        <Fact name="source">{letter.source}</Fact>
      </dl>
      {letter.skippedBy !== null && (
        <p>
          Skipped by {letter.skippedBy.who}: {letter.skippedBy.why}
        </p>
      )}
      {letter.retryAsked !== null && (
        <p>
          {letter.retryAsked.who} has asked for a retry at <Time atMs={letter.retryAsked.atMs} />:{' '}
          {letter.retryAsked.why}
        </p>
      )}
      {letter.closed !== null && (
        <p>
          {letter.closed.as} by {letter.closed.who} at <Time atMs={letter.closed.atMs} />: {letter.closed.why}
        </p>
      )}
      {state === 'open' && session.value?.actions === true && (
        <LetterActions choice={{ ids: [id] }} what={`dead letter ${id} of ${projection}`} />
      )}
    </section>
  )
}

const STAGES: Readonly<Record<Letter['stage'], string>> = {
  map: 'which could not be read as an event',
  handle: 'which its handler could not handle',
  parked: 'never tried, since an earlier one of its key is open',
}

function ErrorText({ error }: { readonly error: LetterError }): JSX.Element {
  const { name, message, code, stack, cause, errors } = error
  return (
    <div class="stack">
      <p>
        <strong>{name}</strong>
        {code !== null && ` (${code})`}: {message}
      </p>
      {stack !== null && <pre>{stack}</pre>}
      {cause !== null && (
        <>
          <h3>because of</h3>
          <ErrorText error={cause} />
        </>
      )}
      {errors.map((each, n) => (
        <ErrorText key={n} error={each} />
      ))}
    </div>
  )
}

/** What is in its events may be personal: it is asked for, and shown as text. */
function Data({
  answer: { events, unreadable },
  isAsked,
  onAsk,
}: {
  readonly answer: LetterAnswer
  readonly isAsked: boolean
  readonly onAsk: () => void
}): JSX.Element {
  return (
    <section class="panel" aria-label="Data">
      <h2>What is in its events</h2>
      {session.value?.showEventData !== true ? (
        <p class="muted">This console does not show data of events.</p>
      ) : !isAsked ? (
        <div>
          <button type="button" onClick={onAsk}>
            Show it
          </button>
        </div>
      ) : (
        <>
          {unreadable !== null && <p class="said bad">{unreadable}</p>}
          {events?.length === 0 && <p>They are not in the table any more.</p>}
          {events !== null && events.length > 0 && <pre>{JSON.stringify(events, null, 2)}</pre>}
        </>
      )}
    </section>
  )
}
