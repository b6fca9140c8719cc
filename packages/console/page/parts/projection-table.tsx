import { useSignal } from '@preact/signals'
import type { JSX } from 'preact'
import type { ProjectionRow, ProjectionState } from '../../src/protocol.ts'
import { type History, shownFromMs } from '../pure/history.ts'
import { hrefOf } from '../pure/routes.ts'
import { type Column, type Order, type RowFilter, STATES, shownRows } from '../pure/rows.ts'
import { STATE_TONES, STATE_WORDS } from '../pure/states.ts'
import { count, duration, listed, number, perSecond, position } from '../pure/words.ts'
import { nowMs } from './clock.ts'
import { Spark } from './spark.tsx'
import { State } from './state.tsx'
import { Ago } from './time.tsx'

/** More are shown on demand: so many are drawn again at each look without anybody noticing. */
const SHOWN_FIRST = 100

export function ProjectionTable({
  rows,
  behind,
}: {
  readonly rows: readonly ProjectionRow[]
  readonly behind: ReadonlyMap<string, History>
}): JSX.Element {
  const filter = useSignal<RowFilter>({ text: '', state: '' })
  const order = useSignal<Order>({ by: 'state', isDescending: false })
  const isWhole = useSignal(false)
  const found = shownRows(rows, filter.value, order.value)
  const shown = isWhole.value ? found : found.slice(0, SHOWN_FIRST)
  const fromMs = shownFromMs(behind.values(), nowMs.value)
  const sortBy = (by: Column): void => {
    const isDescending = order.value.by === by ? !order.value.isDescending : DESCENDS_FIRST.has(by)
    order.value = { by, isDescending }
  }
  return (
    <section class="panel" aria-label="Projections">
      <div class="between">
        <h2>Projections</h2>
        <Filter filter={filter.value} onChange={(to) => (filter.value = to)} />
      </div>
      <p class="muted" aria-live="polite">
        {found.length === rows.length
          ? count(rows.length, 'projection')
          : `${number(found.length)} of ${count(rows.length, 'projection')}`}
      </p>
      <table class="blocks">
        <thead>
          <tr>
            <Sorted by="name" order={order.value} onSort={sortBy}>
              projection
            </Sorted>
            <Sorted by="state" order={order.value} onSort={sortBy}>
              state
            </Sorted>
            <th scope="col" class="number">
              position
            </th>
            <Sorted by="behind" order={order.value} onSort={sortBy} isNumber>
              behind
            </Sorted>
            <th scope="col">last minutes</th>
            <Sorted by="rate" order={order.value} onSort={sortBy} isNumber>
              rate
            </Sorted>
            <th scope="col">owner</th>
            <Sorted by="changed" order={order.value} onSort={sortBy}>
              changed
            </Sorted>
            <Sorted by="dead letters" order={order.value} onSort={sortBy} isNumber>
              dead letters
            </Sorted>
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <Row
              key={`${row.source} ${row.name}`}
              row={row}
              behind={behind.get(row.name) ?? []}
              fromMs={fromMs}
            />
          ))}
        </tbody>
      </table>
      {found.length > shown.length && (
        <div>
          <button type="button" onClick={() => (isWhole.value = true)}>
            Show all {number(found.length)}
          </button>
        </div>
      )}
    </section>
  )
}

const DESCENDS_FIRST: ReadonlySet<Column> = new Set(['behind', 'rate', 'dead letters', 'changed'])

function Sorted({
  by,
  order,
  onSort,
  isNumber = false,
  children,
}: {
  readonly by: Column
  readonly order: Order
  readonly onSort: (by: Column) => void
  readonly isNumber?: boolean
  readonly children: string
}): JSX.Element {
  const sorted = order.by !== by ? 'none' : order.isDescending ? 'descending' : 'ascending'
  return (
    <th scope="col" class={isNumber ? 'number' : ''} aria-sort={sorted}>
      <button type="button" onClick={() => onSort(by)}>
        {children}
      </button>
    </th>
  )
}

function Filter({
  filter,
  onChange,
}: {
  readonly filter: RowFilter
  readonly onChange: (to: RowFilter) => void
}): JSX.Element {
  return (
    <search class="row">
      <label class="beside">
        <span>name, owner or source</span>
        <input
          type="search"
          value={filter.text}
          onInput={({ currentTarget }) => onChange({ ...filter, text: currentTarget.value })}
        />
      </label>
      <label class="beside">
        <span>state</span>
        <select
          value={filter.state}
          onChange={({ currentTarget }) =>
            onChange({ ...filter, state: currentTarget.value as ProjectionState | '' })
          }
        >
          <option value="">any</option>
          {STATES.map((state) => (
            <option key={state} value={state}>
              {state}
            </option>
          ))}
        </select>
      </label>
    </search>
  )
}

function Row({
  row,
  behind,
  fromMs,
}: {
  readonly row: ProjectionRow
  readonly behind: History
  readonly fromMs: number
}): JSX.Element {
  const { name, projection, state, leftMs, owners, shards, role } = row
  const left = leftMs === null ? '' : ` · ${duration(leftMs)} left`
  return (
    <tr>
      <th scope="row" data-name="projection">
        <span>
          <a href={hrefOf(['projections', projection])}>{name}</a>
          {role === 'beside' && <span class="muted"> beside the live one</span>}
          {shards > 1 && <span class="muted"> {count(shards, 'shard')}</span>}
        </span>
      </th>
      <td data-name="state">
        <span>
          <State is={state} tone={STATE_TONES[state]} title={STATE_WORDS[state]} />
        </span>
      </td>
      <td data-name="position" class="number">
        {position(row.position)}
      </td>
      <td data-name="behind" class="number">
        <span>
          {position(row.behind)}
          <span class="muted">{left}</span>
        </span>
      </td>
      <td data-name="last minutes">
        <Spark history={behind} what={`Behind of ${name}`} fromMs={fromMs} nowMs={nowMs.value} />
      </td>
      <td data-name="rate" class="number">
        {row.perSecond === null ? '–' : perSecond(row.perSecond)}
      </td>
      <td data-name="owner">{owners.length === 0 ? '–' : listed(owners)}</td>
      <td data-name="changed">
        <Ago atMs={row.changedAtMs} />
      </td>
      <td data-name="dead letters" class="number">
        {row.deadLetters === 0 ? (
          '0'
        ) : (
          <a href={hrefOf(['dead-letters'], { projection })}>{number(row.deadLetters)}</a>
        )}
      </td>
    </tr>
  )
}
