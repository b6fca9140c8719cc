import type { JSX } from 'preact'
import type { Holder, Mark } from '../../src/protocol.ts'
import { EMPTY_PAST, type MarkPast } from '../pure/past.ts'
import { count, duration, number, position } from '../pure/words.ts'
import { nowMs } from './clock.ts'
import { gapWords, MarkPicture } from './mark-picture.tsx'
import { State } from './state.tsx'

/** How far it is safe to read, and who is in the way. */
export function MarkPanel({
  mark,
  past = EMPTY_PAST,
}: {
  readonly mark: Mark
  readonly past: MarkPast | undefined
}): JSX.Element {
  return (
    <section class="panel mark" aria-label={`The mark of ${mark.source}`}>
      <div class="between">
        <h2>The mark of {mark.source}</h2>
        {mark.stands ? (
          <State is="stands" tone="bad" />
        ) : (
          mark.unknown === null && <State is="not held up" tone="good" />
        )}
      </div>
      {mark.unknown === null ? <Known mark={mark} past={past} /> : <p>It is not known: {mark.unknown}</p>}
    </section>
  )
}

function Known({ mark, past }: { readonly mark: Mark; readonly past: MarkPast }): JSX.Element {
  const { head, settled, mark: at, holders, isProven, lookCloser, gapsCount } = mark
  return (
    <>
      <dl class="legend">
        <div class="of-head">
          <dt title="the highest position that was handed out">head</dt>
          <dd>{position(head)}</dd>
        </div>
        <div class="of-settled">
          <dt title="up to here each position is visible, or proven empty">settled</dt>
          <dd>{position(settled)}</dd>
        </div>
        <div class="of-mark">
          <dt title="the last event up to settled: so far projections may read">mark</dt>
          <dd>{position(at)}</dd>
        </div>
        <div class="of-gaps">
          <dt title="positions that were handed out and may still become events">gaps</dt>
          <dd>{number(gapsCount)}</dd>
        </div>
      </dl>
      {!isProven && <p class="muted">Numbers of this table are taken ahead, so nothing is proven.</p>}
      <MarkPicture past={past} nowMs={nowMs.value} source={mark.source} />
      <Gaps mark={mark} past={past} />
      {holders.length > 0 && (
        <section class="stack" aria-label="Who may still fill a gap">
          <h3>
            Who may still fill {gapsCount === 1 ? 'this gap' : 'these gaps'}: as soon as{' '}
            {holders.length === 1 ? 'it has' : 'they have'} ended, by COMMIT or ROLLBACK, the mark goes on.
            Nothing is lost.
          </h3>
          <ul class="gaps">
            {holders.map((holder) => (
              <HolderItem key={holder.transaction} holder={holder} />
            ))}
          </ul>
          {lookCloser !== null && <Sql what="To look closer" sql={lookCloser} />}
        </section>
      )}
    </>
  )
}

const MOST_LISTED = 5

function Gaps({ mark, past }: { readonly mark: Mark; readonly past: MarkPast }): JSX.Element {
  if (mark.gapsCount === 0)
    return <p class="muted">No gap is open: each position up to settled is visible or proven empty.</p>
  const open = past.gaps.filter(({ closedAtMs }) => closedAtMs === undefined).slice(0, MOST_LISTED)
  const more = mark.gapsCount - open.length
  return (
    <section class="stack" aria-label="Open gaps">
      <h3>{count(mark.gapsCount, 'gap')} open</h3>
      <ul class="gaps">
        {open.map((gap) => (
          <li key={gap.from}>{gapWords({ ...gap, holders: [] }, nowMs.value)}</li>
        ))}
        {more > 0 && <li class="muted">and {count(more, 'other')}</li>}
      </ul>
    </section>
  )
}

function HolderItem({ holder }: { readonly holder: Holder }): JSX.Element {
  const { name, role, address, state, openForMs, isAgeLeast, waitsFor, blockedBy, lastStatement, endedBy } =
    holder
  const age =
    openForMs === null
      ? 'open for a time that this role may not see'
      : `open for ${isAgeLeast ? 'at least ' : ''}${duration(openForMs)}`
  const from = [role === null ? '' : `as ${role}`, address === null ? '' : `from ${address}`]
  return (
    <li class="stack">
      <p>
        <strong>{name}</strong> {[...from, age, state].filter(Boolean).join(', ')}
        {waitsFor !== null && `; waits for ${waitsFor}`}
        {blockedBy.length > 0 && `; blocked by pid ${blockedBy.join(', ')}`}
      </p>
      {lastStatement !== null && (
        <p>
          last statement: <code>{lastStatement}</code>
        </p>
      )}
      {endedBy !== null && (
        <Sql
          what="Ask its owner to commit or roll back. To end it, which rolls back what it has written"
          sql={endedBy}
        />
      )}
    </li>
  )
}

function Sql({ what, sql }: { readonly what: string; readonly sql: string }): JSX.Element {
  return (
    <div>
      <p class="muted">{what}:</p>
      <pre>{sql}</pre>
    </div>
  )
}
