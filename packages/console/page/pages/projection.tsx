import type { JSX } from 'preact'
import type { ProjectionAnswer, ProjectionRow } from '../../src/protocol.ts'
import { useAnswer } from '../live/answer.ts'
import { past } from '../live/live.ts'
import { Answered } from '../parts/answered.tsx'
import { AuditTable } from '../parts/audit-table.tsx'
import { nowMs } from '../parts/clock.ts'
import { Fact } from '../parts/fact.tsx'
import { Page } from '../parts/page.tsx'
import { Problems } from '../parts/problems.tsx'
import { VersionActions } from '../parts/projection-actions.tsx'
import { ShardTable } from '../parts/shard-table.tsx'
import { Spark } from '../parts/spark.tsx'
import { State } from '../parts/state.tsx'
import { Ago } from '../parts/time.tsx'
import { shownFromMs } from '../pure/history.ts'
import { hrefOf } from '../pure/routes.ts'
import { skippedWords } from '../pure/skipped.ts'
import { STATE_TONES, STATE_WORDS } from '../pure/states.ts'
import { count, duration, listed, number, perSecond, position } from '../pure/words.ts'

const EVERY_MS = 2_000

export function ProjectionPage({ projection }: { readonly projection: string }): JSX.Element {
  const asked = useAnswer<ProjectionAnswer>('projection', { projection }, EVERY_MS)
  return (
    <Page title={projection}>
      <Answered of={asked.value}>{(answer) => <Found projection={projection} answer={answer} />}</Answered>
    </Page>
  )
}

function Found({
  projection,
  answer: { rows, shards, audit, problems },
}: {
  readonly projection: string
  readonly answer: ProjectionAnswer
}): JSX.Element {
  return (
    <>
      {rows.length === 0 && (
        <p>
          It has no checkpoint any more. <a href={hrefOf([])}>See which projections there are.</a>
        </p>
      )}
      {problems.length > 0 && (
        <section class="panel" aria-label="What is wrong">
          <Problems problems={problems} />
        </section>
      )}
      {rows.map((row) => (
        <Version key={row.name} row={row} rows={rows} />
      ))}
      {shards.length > 0 && <ShardTable rows={rows} shards={shards} />}
      <section class="panel" aria-label="Who has done what">
        <div class="between">
          <h2>Who has done what</h2>
          <a href={hrefOf(['audit'], { projection })}>All of it</a>
        </div>
        <AuditTable entries={audit} />
      </section>
    </>
  )
}

function Version({
  row,
  rows,
}: {
  readonly row: ProjectionRow
  readonly rows: readonly ProjectionRow[]
}): JSX.Element {
  const { name, projection, version, role, state, pausedBy, asked, skipped } = row
  const behind = past.value.behind.get(name) ?? []
  const title = rows.length === 1 ? `Version ${version}` : `Version ${version}, ${ROLES[role]}`
  return (
    <section class="panel" aria-label={title}>
      <div class="between">
        <h2>{title}</h2>
        <State is={state} tone={STATE_TONES[state]} title={STATE_WORDS[state]} />
      </div>
      {pausedBy !== null && (
        <p>
          Paused by {pausedBy.who} {pausedBy.sinceMs > 0 && <Ago atMs={pausedBy.sinceMs} />}: {pausedBy.why}
        </p>
      )}
      {asked !== null && (
        <p>
          {asked.who} has asked for a {asked.operation}
          {asked.position !== null && ` of ${position(asked.position)}`} <Ago atMs={asked.sinceMs} />:{' '}
          {asked.why}. No daemon has done it yet.
        </p>
      )}
      <Progress row={row} />
      <dl class="facts">
        <Fact name="position">{position(row.position)}</Fact>
        <Fact name="behind">{position(row.behind)}</Fact>
        <Fact name="rate">{row.perSecond === null ? '–' : perSecond(row.perSecond)}</Fact>
        <Fact name="time left">{row.leftMs === null ? '–' : duration(row.leftMs)}</Fact>
        <Fact name="changed">
          <Ago atMs={row.changedAtMs} />
        </Fact>
        <Fact name="owner">{row.owners.length === 0 ? '–' : listed(row.owners)}</Fact>
        <Fact name="source">{row.source}</Fact>
        <Fact name="dead letters">
          {row.deadLetters === 0 ? (
            '0'
          ) : (
            <a href={hrefOf(['dead-letters'], { projection })}>{number(row.deadLetters)}</a>
          )}
        </Fact>
        <Fact name="late events">
          {row.lateEvents === 0 ? (
            '0'
          ) : (
            <a href={hrefOf(['skips'], { projection })}>{count(row.lateEvents, 'open one')}</a>
          )}
        </Fact>
        <Fact name="skipped">{skippedWords(skipped)}</Fact>
      </dl>
      <figure>
        <Spark
          history={behind}
          what={`Behind of ${name}`}
          fromMs={shownFromMs([behind], nowMs.value)}
          nowMs={nowMs.value}
          isWide
        />
        <figcaption class="muted">behind, over the last minutes</figcaption>
      </figure>
      <VersionActions row={row} rows={rows} />
    </section>
  )
}

const ROLES: Readonly<Record<ProjectionRow['role'], string>> = {
  live: 'the live one',
  beside: 'beside the live one',
  retired: 'retired',
}

/** Of one that is far behind, as while it is rebuilt. */
function Progress({
  row: { position: at, behind, leftMs, name },
}: {
  readonly row: ProjectionRow
}): JSX.Element | null {
  if (behind === null || behind === '0' || !/^\d+$/.test(at ?? '0')) return null
  const done = Number(at ?? 0)
  const of = done + Number(behind)
  const percent = Math.floor((done / of) * 100)
  return (
    <div>
      <progress max={of} value={done} aria-label={`How far ${name} is`} />
      <p class="muted">
        {number(percent)} % of the way to the mark{leftMs === null ? '' : `, ${duration(leftMs)} left`}
      </p>
    </div>
  )
}
