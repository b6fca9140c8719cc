import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { LetterChoice, LetterGroupsAnswer, LettersAnswer } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { Answered } from '../parts/answered.tsx'
import { Jobs } from '../parts/jobs.tsx'
import { LetterActions } from '../parts/letter-actions.tsx'
import { LetterFilterForm } from '../parts/letter-filter-form.tsx'
import { LetterGroups } from '../parts/letter-groups.tsx'
import { LetterTable } from '../parts/letter-table.tsx'
import { Page } from '../parts/page.tsx'
import { bulkChoice, choiceWords, filterWords, type Looked, lookedFor } from '../pure/letter-filter.ts'
import { hrefOf } from '../pure/routes.ts'

const EVERY_MS = 4_000
const PAGE_SIZE = 50

export function DeadLettersPage({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const looked = lookedFor(query)
  const { projection, version, type, error, state } = looked
  const of = { projection, version, type }
  const after = query.get('after') ?? ''
  const letters = useAnswer<LettersAnswer>(
    'dead-letters',
    { ...of, error, state, after, limit: PAGE_SIZE },
    EVERY_MS,
  )
  const groups = useAnswer<LetterGroupsAnswer>('dead-letters/groups', of, EVERY_MS)
  const chosen = useSignal<ReadonlySet<string>>(new Set())
  const key = JSON.stringify([looked, after])
  useEffect(() => {
    chosen.value = new Set()
  }, [key])
  return (
    <Page title="Dead letters">
      <p class="muted">
        Events that were given up, where they are and why. Their data stays in the table of the events.
      </p>
      <Jobs />
      <LetterFilterForm looked={looked} counts={letters.value.answer?.counts ?? []} />
      {state === 'open' && (
        <Answered of={groups.value}>{(answer) => <LetterGroups answer={answer} looked={looked} />}</Answered>
      )}
      <Answered of={letters.value}>
        {(answer) => (
          <section class="panel" aria-label="Letters">
            <h2>{sentence(filterWords(looked))}</h2>
            <Actions looked={looked} answer={answer} groups={groups.value.answer} chosen={chosen.value} />
            <LetterTable
              letters={answer.letters}
              chosen={chosen.value}
              onChoose={(ids) => {
                chosen.value = ids
              }}
            />
            <Pages looked={looked} after={after} next={answer.after} />
          </section>
        )}
      </Answered>
    </Page>
  )
}

/** What is done is done to those that are ticked, or, where none is, to those of the filter. Never one beside the other. */
function Actions({
  looked,
  answer,
  groups,
  chosen,
}: {
  readonly looked: Looked
  readonly answer: LettersAnswer
  readonly groups: LetterGroupsAnswer | undefined
  readonly chosen: ReadonlySet<string>
}): JSX.Element | null {
  const ids = answer.letters.filter(({ id, state }) => state === 'open' && chosen.has(id)).map(({ id }) => id)
  const choice: LetterChoice | undefined =
    ids.length > 0 ? { ids } : bulkChoice(looked, groups, answer.counts)
  if (choice !== undefined) return <LetterActions choice={choice} what={choiceWords(choice, looked)} />
  if (looked.state !== 'open') return <p class="muted">Only open ones can be retried or closed.</p>
  if (answer.letters.length === 0) return null
  return (
    <p class="muted">
      To retry or close several: choose a projection or a group of errors above, or tick some of the letters.
    </p>
  )
}

function Pages({
  looked,
  after,
  next,
}: {
  readonly looked: Looked
  readonly after: string
  readonly next: string | null
}): JSX.Element | null {
  if (after === '' && next === null) return null
  return (
    <p class="row">
      {after !== '' && <a href={hrefOf(['dead-letters'], { ...looked })}>To the first page</a>}
      {next !== null && <a href={hrefOf(['dead-letters'], { ...looked, after: next })}>Next page</a>}
    </p>
  )
}

const sentence = (words: string): string => words.charAt(0).toUpperCase() + words.slice(1)
