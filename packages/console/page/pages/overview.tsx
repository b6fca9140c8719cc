import type { JSX } from 'preact'
import { useEffect } from 'preact/hooks'
import type { Overview } from '../../src/protocol.ts'
import { overview, past } from '../live/live.ts'
import { Jobs } from '../parts/jobs.tsx'
import { MarkPanel } from '../parts/mark.tsx'
import { Page } from '../parts/page.tsx'
import { Problems } from '../parts/problems.tsx'
import { ProjectionTable } from '../parts/projection-table.tsx'
import { folded } from '../pure/folded.ts'
import { hrefOf } from '../pure/routes.ts'
import { count } from '../pure/words.ts'

/** What is wrong, then how everything stands. */
export function OverviewPage(): JSX.Element {
  const shown = overview.value
  const isThere = shown !== undefined
  useEffect(() => {
    // The browser has looked for that place before there was anything.
    if (isThere && location.hash === '#mark') document.getElementById('mark')?.scrollIntoView()
  }, [isThere])
  if (shown === undefined) return <Page title="Overview">{null}</Page>
  return (
    <Page title="Overview">
      <Wrong overview={shown} />
      <Jobs />
      <div id="mark" class="stack" tabIndex={-1}>
        {shown.marks.map((mark) => (
          <MarkPanel key={mark.source} mark={mark} past={past.value.marks.get(mark.source)} />
        ))}
      </div>
      <ProjectionTable rows={shown.projections} behind={past.value.behind} />
    </Page>
  )
}

function Wrong({ overview }: { readonly overview: Overview }): JSX.Element {
  const { problems, notes } = overview
  const things = folded(problems).length
  return (
    <section class="panel" aria-label="What is wrong">
      {problems.length === 0 ? (
        <p class="well">Nothing is wrong.</p>
      ) : (
        <>
          <h2>{things === 1 ? 'One thing is wrong' : `${count(things, 'thing')} are wrong`}</h2>
          <Problems problems={problems} />
        </>
      )}
      <Notes overview={overview} notes={notes} />
    </section>
  )
}

function Notes({
  overview,
  notes,
}: {
  readonly overview: Overview
  readonly notes: readonly string[]
}): JSX.Element | null {
  const lost = overview.lost.length > 0
  if (notes.length === 0 && !lost) return null
  return (
    <ul class="muted">
      {notes.map((note) => (
        <li key={note}>{note}</li>
      ))}
      {lost && (
        <li>
          <a href={hrefOf(['consumers'])}>Consumers that have lost events</a>
        </li>
      )}
    </ul>
  )
}
