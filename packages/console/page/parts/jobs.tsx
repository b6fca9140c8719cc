import type { JSX } from 'preact'
import type { Job } from '../../src/protocol.ts'
import { jobs } from '../live/live.ts'
import { JOB_TONES } from '../pure/states.ts'
import { number } from '../pure/words.ts'
import { State } from './state.tsx'
import { Ago } from './time.tsx'

/** What was asked for through this console and goes on, or has just ended. It is the server that does it, not this page. */
export function Jobs(): JSX.Element | null {
  const going = jobs.value
  if (going.length === 0) return null
  return (
    <section class="panel" aria-label="What was asked for">
      <h2>What was asked for</h2>
      <ul class="gaps">
        {going.map((job) => (
          <li key={job.id}>
            <JobLine job={job} />
          </li>
        ))}
      </ul>
    </section>
  )
}

export function JobLine({ job }: { readonly job: Job }): JSX.Element {
  return (
    <div class="stack">
      <p>
        <span role="status">
          <State is={job.state} tone={JOB_TONES[job.state]} />
        </span>{' '}
        <strong>{job.what}</strong>{' '}
        <span class="muted">
          by {job.who}, <Ago atMs={job.startedAtMs} />: {job.why}
        </span>
      </p>
      {job.state === 'running' && <Progress job={job} />}
      {job.outcome !== null && <p>{job.outcome}</p>}
      {job.error !== null && (
        <div class="said bad">
          <p>{job.error.message}</p>
          {job.error.next.map((next) => (
            <p key={next}>{next}</p>
          ))}
        </div>
      )}
    </div>
  )
}

function Progress({ job: { done, of, what } }: { readonly job: Job }): JSX.Element {
  if (done === null || of === null) return <progress aria-label={what} />
  return (
    <div>
      <progress aria-label={what} max={of} value={done} />
      <p class="muted">
        {number(done)} of {number(of)}
      </p>
    </div>
  )
}
