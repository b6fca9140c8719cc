import { INSTRUMENTS, type InstrumentName } from '@tidemark/core'
import { describe, expect, test } from 'vitest'
import { ALERTS } from '../../monitoring/src/alerts.ts'
import { panels, rows } from './dashboard-panels.ts'
import { expand, selectorsOf } from './promql.ts'

interface NamedQuery {
  readonly title: string
  readonly query: string
}

const panelQueries: readonly NamedQuery[] = panels.flatMap(({ title, targets }) =>
  (targets ?? []).map(({ expr }) => ({ title: `panel ${title}`, query: expand(expr) })),
)
const alertQueries: readonly NamedQuery[] = ALERTS.map(({ name, expr }) => ({ title: name, query: expr }))
const usedIn = (queries: readonly NamedQuery[]): ReadonlySet<InstrumentName> =>
  new Set(queries.flatMap(({ query }) => selectorsOf(query).flatMap(({ instruments }) => instruments)))

const OF_THE_SCRAPE = ['job']

describe.each([...panelQueries, ...alertQueries])('$title: $query', ({ query }) => {
  const selectors = selectorsOf(query)

  test('is PromQL that selects instruments of the table, each selector exactly one', () => {
    expect(selectors).not.toHaveLength(0)
    for (const { text, instruments } of selectors) expect(instruments, text).toHaveLength(1)
  })

  test('asks only for labels, and values of them, that the table has', () => {
    for (const { text, instruments, labels } of selectors) {
      const [instrument] = instruments
      const known = instrument === undefined ? {} : INSTRUMENTS[instrument].labels
      for (const { name, operator, value } of labels) {
        if (OF_THE_SCRAPE.includes(name)) continue
        expect(known, text).toHaveProperty(name)
        const allowed = known[name]
        if (!Array.isArray(allowed) || value === '') continue
        const alternatives = operator.includes('~') ? value.split('|') : [value]
        for (const alternative of alternatives) expect(allowed, text).toContain(alternative)
      }
    }
  })

  test('finds counters under the names of both backends', () => {
    for (const { instruments } of selectors) {
      const [instrument] = instruments
      if (instrument === undefined || INSTRUMENTS[instrument].kind !== 'counter') continue
      const names = selectors
        .filter((other) => other.instruments[0] === instrument)
        .flatMap((other) => other.names)
      expect(names.some((name) => name.endsWith('_total'))).toBe(true)
      expect(names.some((name) => !name.endsWith('_total'))).toBe(true)
    }
  })

  test('does not add up over replicas what each of them sees of the same store', () => {
    for (const { text, instruments, aggregation } of selectors) {
      const [instrument] = instruments
      if (instrument === undefined) continue
      const { scope, kind } = INSTRUMENTS[instrument]
      if (scope !== 'store' || kind === 'histogram' || aggregation.includes('instance')) continue
      expect(aggregation, text).toMatch(/^(max|min) by/)
    }
  })
})

test.each(Object.entries(INSTRUMENTS))('the table says truly where %s is used', (name, { usedBy }) => {
  const used = [
    ...(usedIn(panelQueries).has(name as InstrumentName) ? ['dashboard'] : []),
    ...(usedIn(alertQueries).has(name as InstrumentName) ? ['alert'] : []),
  ]
  expect(usedBy).toEqual(used.length > 0 ? used : ['exploration'])
})

test('no name of the table ends in another, so that rules find each under any prefix', () => {
  const names = Object.keys(INSTRUMENTS)
  expect(names.filter((name) => names.some((other) => other !== name && other.endsWith(name)))).toEqual([])
})

test.each(panels.filter(({ type }) => type === 'timeseries'))(
  'the lines of $title have a legend, which says whose they are',
  ({ options }) => {
    expect(options?.legend).toMatchObject({ showLegend: true, displayMode: 'list', placement: 'bottom' })
  },
)

test('the dashboard asks its questions top to bottom', () => {
  expect(rows.map(({ title }) => title)).toEqual([
    'Is anything being lost?',
    'Is anything stuck, and who holds it?',
    'How far behind?',
    'Which node has what, where nodes share projections by leases?',
    'Do wrapped subscriptions deliver, and consumer groups keep up?',
    'Do consumers that Tidemark does not run lose events?',
    'How fast?',
    'How does it relate?',
  ])
})

test.each(Object.entries(INSTRUMENTS).filter(([, { buckets }]) => buckets))(
  'no bucket of %s is more than 2.5 times the one below, so that no quantile is far off',
  (_, { buckets = [] }) => {
    const ratios = buckets.slice(1).map((bound, i) => bound / (buckets[i] ?? 0))
    expect(Math.max(...ratios)).toBeLessThanOrEqual(2.5)
  },
)
