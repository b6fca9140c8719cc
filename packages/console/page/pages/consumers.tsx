import type { JSX } from 'preact'
import type { LostTotal, WatchedConsumer } from '../../src/protocol.ts'
import { overview } from '../live/live.ts'
import { Page } from '../parts/page.tsx'
import { State } from '../parts/state.tsx'
import type { Tone } from '../pure/states.ts'
import { count, duration, number, position } from '../pure/words.ts'

/** Consumers that Tidemark does not run. */
export function ConsumersPage(): JSX.Element {
  const shown = overview.value
  return (
    <Page title="Consumers watched">
      <p class="muted">
        Consumers that Tidemark does not run, by their checkpoints. What is counted as lost was passed before
        it was visible. It is a lower bound: events that a consumer has lost in other ways leave no trace in
        its checkpoint.
      </p>
      {shown !== undefined && (
        <>
          <Watched watched={shown.watched} />
          <Lost lost={shown.lost} />
        </>
      )}
    </Page>
  )
}

const TONES: Readonly<Record<WatchedConsumer['state'], Tone>> = {
  idle: 'still',
  watching: 'good',
  failing: 'bad',
  stopped: 'still',
}

function Watched({ watched }: { readonly watched: readonly WatchedConsumer[] }): JSX.Element {
  return (
    <section class="panel" aria-label="Watched now">
      <h2>Watched now</h2>
      {watched.length === 0 ? (
        <p class="muted">No watch runs in the process of this console.</p>
      ) : (
        <table class="blocks">
          <thead>
            <tr>
              <th scope="col">consumer</th>
              <th scope="col">watch</th>
              <th scope="col" class="number">
                checkpoint
              </th>
              <th scope="col" class="number">
                behind
              </th>
              <th scope="col">stands for</th>
              <th scope="col" class="number">
                exposed
              </th>
              <th scope="col" class="number">
                lost
              </th>
              <th scope="col" class="number">
                passed, perhaps lost
              </th>
            </tr>
          </thead>
          <tbody>
            {watched.map((each) => (
              <ConsumerRow key={`${each.source} ${each.consumer}`} consumer={each} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  )
}

function ConsumerRow({ consumer }: { readonly consumer: WatchedConsumer }): JSX.Element {
  const { state, error, checkpoint, isUnderstood, lagPositions, lagMs, exposedPositions, lost, passed } =
    consumer
  return (
    <tr>
      <th scope="row" data-name="consumer">
        <span>
          {consumer.consumer} <span class="muted">of {consumer.source}</span>
        </span>
      </th>
      <td data-name="watch">
        <span>
          <State is={state} tone={TONES[state]} />
          {error !== null && <p>{error}</p>}
        </span>
      </td>
      <td data-name="checkpoint" class="number">
        {isUnderstood ? position(checkpoint) : `${checkpoint} (not understood)`}
      </td>
      <td data-name="behind" class="number">
        {position(lagPositions)}
        {lagMs !== null && ` (${duration(lagMs)})`}
      </td>
      <td data-name="stands for">{duration(consumer.ageMs)}</td>
      <td data-name="exposed" class="number">
        <span title="passed while nobody could say whether an event would appear there">
          {position(exposedPositions)}
        </span>
      </td>
      <td data-name="lost" class="number">
        {lost > 0 ? <State is={number(lost)} tone="bad" /> : '0'}
      </td>
      <td data-name="passed" class="number">
        {number(passed)}
      </td>
    </tr>
  )
}

function Lost({ lost }: { readonly lost: readonly LostTotal[] }): JSX.Element {
  return (
    <section class="panel" aria-label="Lost in all">
      <h2>Lost in all, as kept in the database</h2>
      {lost.length === 0 ? (
        <p class="well">No lost event is known.</p>
      ) : (
        <ul class="gaps">
          {lost.map(({ source, consumer, verdict, events }) => (
            <li key={`${source} ${consumer} ${verdict}`}>
              <strong>{consumer}</strong> <span class="muted">of {source}</span>{' '}
              {verdict === 'lost'
                ? `has lost ${count(events, 'event')}.`
                : `has passed ${count(events, 'event')} of types that nobody has said it handles.`}
            </li>
          ))}
        </ul>
      )}
      <p class="muted">
        No button brings them back. Which they are: <code>tidemark watch</code>, and the log of the watch.
      </p>
    </section>
  )
}
