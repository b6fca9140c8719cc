import type { JSX } from 'preact'
import type { LateAnswer, LateEventAt, LateState, SkipsAnswer } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { Answered } from '../parts/answered.tsx'
import { Jobs } from '../parts/jobs.tsx'
import { LateActions } from '../parts/late-actions.tsx'
import { Page } from '../parts/page.tsx'
import { State } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { hrefOf } from '../pure/routes.ts'
import type { Tone } from '../pure/states.ts'
import { count, listed, position } from '../pure/words.ts'

const EVERY_MS = 5_000
const LIMIT = 100

/** What was passed without proof, and what came after that. */
export function SkipsPage({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const projection = query.get('projection') ?? ''
  const [lateTo, skipsTo] = [query.get('late') ?? '', query.get('skips') ?? '']
  const source = query.get('source') ?? ''
  const state = query.get('state') === 'any' ? 'any' : 'open'
  const late = useAnswer<LateAnswer>(
    'late',
    { projection, state, to: lateTo, source, limit: LIMIT },
    EVERY_MS,
  )
  const skips = useAnswer<SkipsAnswer>('skips', { projection, to: skipsTo, source, limit: LIMIT }, EVERY_MS)
  const here = { projection, state, source }
  return (
    <Page title="Skips and late events">
      <Jobs />
      {projection !== '' && (
        <p>
          Of {projection} alone. <a href={hrefOf(['skips'])}>Of every projection</a>
        </p>
      )}
      <section class="panel" aria-label="Late events">
        <div class="between">
          <h2>{state === 'open' ? 'Late events that are open' : 'Late events'}</h2>
          <a href={hrefOf(['skips'], { ...here, state: state === 'open' ? 'any' : '' })}>
            {state === 'open' ? 'Show those that are done too' : 'Only those that are open'}
          </a>
        </div>
        <p class="muted">Events that became visible where a projection had passed already.</p>
        <Answered of={late.value}>{(answer) => <Late answer={answer} here={here} />}</Answered>
      </section>
      <section class="panel" aria-label="Skips">
        <h2>Skips</h2>
        <p class="muted">Positions that a mark has passed without proof. In proof mode there are none.</p>
        <Answered of={skips.value}>{(answer) => <Skips answer={answer} here={here} />}</Answered>
      </section>
    </Page>
  )
}

type Here = Readonly<Record<string, string>>

const LATE_TONES: Readonly<Record<LateState, Tone>> = {
  open: 'bad',
  in_order: 'good',
  on_late_event: 'good',
  reprocessed: 'good',
  discarded: 'still',
  not_wanted: 'still',
}

function Late({
  answer: { late, more },
  here,
}: {
  readonly answer: LateAnswer
  readonly here: Here
}): JSX.Element {
  const last = late.at(-1)
  if (last === undefined) return <p class="well">There are none.</p>
  return (
    <>
      <LateActions late={late} projection={here.projection ?? ''} />
      <table class="blocks">
        <thead>
          <tr>
            <th scope="col">position</th>
            <th scope="col">type</th>
            <th scope="col">passed</th>
            <th scope="col">found</th>
            <th scope="col">what has become of it</th>
          </tr>
        </thead>
        <tbody>
          {late.map((event) => (
            <tr key={`${event.source} ${event.position}`}>
              <th scope="row" data-name="position">
                <span>
                  {position(event.position)} <span class="muted">of {event.source}</span>
                </span>
              </th>
              <td data-name="type">{event.type ?? '–'}</td>
              <td data-name="passed">
                <span>
                  {event.passed === 'proven_empty' ? 'proven empty' : 'without proof'},{' '}
                  <Time atMs={event.passedAtMs} />
                </span>
              </td>
              <td data-name="found">
                <Time atMs={event.foundAtMs} />
              </td>
              <td data-name="became">
                <span>
                  {event.units.map(({ unit, state, decision, failures, error }) => (
                    <p key={unit}>
                      {unit} <State is={state.replaceAll('_', ' ')} tone={LATE_TONES[state]} />
                      {decision !== null && ` ${decision.who}: ${decision.why}`}
                      {failures > 0 && ` failed ${count(failures, 'time')}: ${error ?? ''}`}
                    </p>
                  ))}
                </span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {more && (
        <a href={hrefOf(['skips'], { ...here, source: last.source, late: below(last.position) })}>
          Older ones
        </a>
      )}
    </>
  )
}

function Skips({
  answer: { skips, more },
  here,
}: {
  readonly answer: SkipsAnswer
  readonly here: Here
}): JSX.Element {
  const last = skips.at(-1)
  if (last === undefined) return <p class="well">There are none.</p>
  return (
    <>
      <table class="blocks">
        <thead>
          <tr>
            <th scope="col">positions</th>
            <th scope="col">when</th>
            <th scope="col">held by</th>
            <th scope="col">passed by</th>
            <th scope="col">came late</th>
            <th scope="col">there now</th>
          </tr>
        </thead>
        <tbody>
          {skips.map((skip) => (
            <tr key={`${skip.source} ${skip.from} ${skip.recordedAtMs}`}>
              <th scope="row" data-name="positions">
                <span>
                  {skip.from === skip.to
                    ? position(skip.from)
                    : `${position(skip.from)} to ${position(skip.to)}`}{' '}
                  <span class="muted">of {skip.source}</span>
                </span>
              </th>
              <td data-name="when">
                <Time atMs={skip.recordedAtMs} />
              </td>
              <td data-name="held by">
                {skip.heldBy === null
                  ? 'nobody could look'
                  : listed(
                      skip.heldBy.map(({ pid, applicationName }) => applicationName ?? `pid ${pid ?? '?'}`),
                    )}
              </td>
              <td data-name="passed by">{listed(skip.passedBy.map(({ unit }) => unit))}</td>
              <td data-name="came late">{eventsAt(skip.late)}</td>
              <td data-name="there now">{skip.thereNow === null ? 'not looked' : eventsAt(skip.thereNow)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {more && (
        <a href={hrefOf(['skips'], { ...here, source: last.source, skips: below(last.from) })}>Older ones</a>
      )}
    </>
  )
}

const eventsAt = (events: readonly LateEventAt[]): string =>
  events.length === 0
    ? 'none'
    : listed(events.map(({ position: at, type }) => `${position(at)}${type === null ? '' : ` ${type}`}`))

const below = (position: string): string =>
  /^\d+$/.test(position) ? String(BigInt(position) - 1n) : position
