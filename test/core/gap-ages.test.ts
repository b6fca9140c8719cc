import type { Holder } from '@tidemark/core'
import { denseOrder } from '@tidemark/core/adapter'
import { expect, test } from 'vitest'
import { ageGaps, type GapAges, NO_GAPS } from '../../packages/core/src/high-water/gap-ages.ts'
import { reading } from './rig.ts'

const holder: Holder = { transaction: '3/17', pid: 4711, applicationName: 'importer', startedAt: undefined }
const gap = (from: bigint, to: bigint = from) => ({ from, to })

test('a gap is as old as the first poll that saw it, and knows who holds it up', () => {
  const seen = reading({ head: 6n, settled: 4n, gaps: [gap(5n)], holders: [holder] })
  const first = ageGaps(denseOrder, NO_GAPS, seen, 100)
  const second = ageGaps(denseOrder, first, seen, 150)
  expect(second.open).toEqual([{ from: 5n, to: 5n, firstSeenMs: 100, holders: [holder] }])
  expect(second.closed).toEqual([])
})

test('a gap that was filled in part keeps its age', () => {
  const first = ageGaps(denseOrder, NO_GAPS, reading({ head: 9n, settled: 4n, gaps: [gap(5n, 8n)] }), 100)
  const split = reading({ head: 9n, settled: 5n, gaps: [gap(6n), gap(8n)] })
  expect(ageGaps(denseOrder, first, split, 150).open.map((open) => open.firstSeenMs)).toEqual([100, 100])
})

test('numbers taken after an old gap that they adjoin are not as old as it', () => {
  // Two bulk writers take turns: 1-10, then 11-20 while the first commits, and so on. No gap lives longer than 20 ms,
  // but each one overlaps the one before: the mark was called stale on a store without any old transaction.
  let known: GapAges<bigint> = NO_GAPS
  for (let turn = 0; turn < 500; turn++) {
    const now = turn * 10
    const settled = BigInt(Math.max(0, turn - 1) * 10)
    const head = BigInt((turn + 1) * 10)
    const { closed, ...ages } = ageGaps(
      denseOrder,
      known,
      reading({ head, settled, gaps: [gap(settled + 1n, head)] }),
      now,
    )
    known = ages
    expect(now - (known.open[0]?.firstSeenMs ?? 0)).toBeLessThanOrEqual(20)
  }
})

test('a gap tells how it closed and how long it had been open', () => {
  const open = reading({ head: 12n, settled: 4n, gaps: [gap(5n), gap(7n), gap(9n)], holders: [holder] })
  const known = ageGaps(denseOrder, NO_GAPS, open, 100)
  const after = reading({
    head: 12n,
    settled: 12n,
    provenEmpty: [gap(7n)],
    skipped: [{ stored: 8n, current: 10n, count: 1n }],
  })
  expect(ageGaps(denseOrder, known, after, 350).closed).toEqual([
    { gap: gap(5n), outcome: 'filled', openForMs: 250, holders: [holder] },
    { gap: gap(7n), outcome: 'proven_empty', openForMs: 250, holders: [holder] },
    { gap: gap(9n), outcome: 'skipped', openForMs: 250, holders: [holder] },
  ])
})

test('a gap that is filled above one still open is closed as well', () => {
  const known = ageGaps(
    denseOrder,
    NO_GAPS,
    reading({ head: 9n, settled: 4n, gaps: [gap(5n), gap(8n)] }),
    100,
  )
  const { open, closed } = ageGaps(
    denseOrder,
    known,
    reading({ head: 9n, settled: 4n, gaps: [gap(5n)] }),
    200,
  )
  expect(open.map(({ from }) => from)).toEqual([5n])
  expect(closed).toMatchObject([{ gap: gap(8n), outcome: 'filled', openForMs: 100 }])
})

test('of a gap that settled has passed in part, that part is closed', () => {
  const known = ageGaps(denseOrder, NO_GAPS, reading({ head: 9n, settled: 4n, gaps: [gap(5n, 9n)] }), 100)
  const { closed } = ageGaps(denseOrder, known, reading({ head: 9n, settled: 6n, gaps: [gap(7n, 9n)] }), 200)
  expect(closed).toMatchObject([{ gap: gap(5n, 6n), openForMs: 100 }])
})

test('behind a transaction that stays open for days its age stays exact and memory bounded', () => {
  let known: GapAges<bigint> = NO_GAPS
  for (let poll = 0; poll < 5_000; poll++) {
    const head = BigInt(poll) + 10n
    const { closed, ...ages } = ageGaps(
      denseOrder,
      known,
      reading({ head, settled: 4n, gaps: [gap(5n)] }),
      poll * 50,
    )
    known = ages
  }
  expect(known.open[0]?.firstSeenMs).toBe(0)
  expect(known.heads.length).toBeLessThanOrEqual(129)
})
