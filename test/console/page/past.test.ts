import { describe, expect, test } from 'vitest'
import { type GapSeen, trackGaps } from '../../../packages/console/page/pure/gaps.ts'
import { KEPT_MS } from '../../../packages/console/page/pure/history.ts'
import { pastOf, withOverview } from '../../../packages/console/page/pure/past.ts'
import type { Mark, Overview } from '../../../packages/console/src/protocol.ts'
import { row } from './rows.ts'

function mark(gaps: readonly (readonly [from: number, to: number])[], more: Partial<Mark> = {}): Mark {
  return {
    source: 'events',
    table: 'events',
    unknown: null,
    isProven: true,
    stands: false,
    head: '20',
    settled: '10',
    mark: '9',
    gaps: gaps.map(([from, to]) => ({ from: String(from), to: String(to) })),
    gapsCount: gaps.length,
    holders: [],
    lookCloser: null,
    ...more,
  }
}

const shortly = ({ from, to, openedAtMs, closedAtMs }: GapSeen): readonly (number | undefined)[] => [
  from,
  to,
  openedAtMs,
  closedAtMs,
]

describe('gaps', () => {
  test('open when they are seen first, and close when they are not seen any more', () => {
    const opened = trackGaps([], mark([[11, 12]]), 1_000)
    const closed = trackGaps(opened, mark([]), 3_000)
    expect(opened.map(shortly)).toEqual([[11, 12, 1_000, undefined]])
    expect(closed.map(shortly)).toEqual([[11, 12, 1_000, 3_000]])
  })

  test('that shrink or fall apart are as old as what they were a part of', () => {
    const opened = trackGaps([], mark([[11, 19]]), 1_000)
    const parts = trackGaps(
      opened,
      mark([
        [11, 12],
        [18, 19],
      ]),
      2_000,
    )
    expect(parts.map(shortly)).toEqual([
      [11, 12, 1_000, undefined],
      [18, 19, 1_000, undefined],
    ])
  })

  test('are forgotten some minutes after they have closed', () => {
    const opened = trackGaps([], mark([[11, 12]]), 0)
    const closed = trackGaps(opened, mark([]), 1_000)
    expect(trackGaps(closed, mark([]), KEPT_MS + 1_001)).toEqual([])
  })

  test('stay as they are where a look could not see the mark', () => {
    const opened = trackGaps([], mark([[11, 12]]), 0)
    expect(trackGaps(opened, mark([], { unknown: 'no rights' }), 1_000)).toBe(opened)
  })
})

describe('the past', () => {
  const overview = (atMs: number, behind: string): Overview => ({
    atMs,
    healthy: true,
    problems: [],
    notes: [],
    marks: [mark([])],
    projections: [row('orders', { behind })],
    watched: [],
    lost: [],
    letters: { open: 0, oldestAtMs: null },
    lateEvents: 0,
    nodes: { alive: 0, gone: 0 },
    hidden: [],
  })
  const remembered = {
    atMs: [1_000, 5_000],
    marks: [{ source: 'events', head: ['15', '16'], settled: ['9', null], mark: ['9', '9'], gaps: [0, 0] }],
    projections: [{ name: 'orders', behind: [4, null] }],
  }

  test('begins with what the server remembers, and goes on with each look', () => {
    const past = withOverview(pastOf(remembered), overview(9_000, '2'))
    expect(past.marks.get('events')?.head.map(({ value }) => value)).toEqual([15, 16, 20])
    expect(past.marks.get('events')?.settled.map(({ value }) => value)).toEqual([9, 10])
    expect(past.behind.get('orders')?.map(({ value }) => value)).toEqual([4, 2])
  })

  test('of a server that was started again stays what this page has seen', () => {
    const before = withOverview(pastOf(remembered), overview(9_000, '2'))
    const empty = { atMs: [], marks: [], projections: [] }
    expect(
      pastOf(empty, before)
        .behind.get('orders')
        ?.map(({ value }) => value),
    ).toEqual([4, 2])
  })

  test('is not kept of a projection that is gone', () => {
    const past = withOverview(pastOf(remembered), { ...overview(9_000, '2'), projections: [] })
    expect([...past.behind.keys()]).toEqual([])
  })
})
