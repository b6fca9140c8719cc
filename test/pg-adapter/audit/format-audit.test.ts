import { type CommitAudit, formatAudit } from '@tidemark/pg-adapter'
import { expect, test } from 'vitest'
import { PastCounts } from '../../../packages/pg-adapter/src/audit/past.ts'

/** Positions from 12 down; 3 is committed 14.2 s after 9, 5 two seconds after it. */
const COMMITTED_S: Readonly<Record<number, number>> = { 12: 9, 9: 1, 5: 3, 3: 15.2 }

function audit(more: Partial<CommitAudit> = {}): CommitAudit {
  const counts = new PastCounts({ waitsMs: [0, 3_000, 60_000], hasTimestamps: true, hasEventTimes: false })
  for (let position = 12; position > 0; position--) {
    counts.add({
      position: String(position),
      transaction: position === 12 ? 4 : position,
      committedAtUs: (COMMITTED_S[position] ?? 0) * 1_000_000,
      leftOut: position === 1 ? 'placeholder' : undefined,
    })
  }
  const past = counts.result()
  return {
    table: '"public"."events"',
    measured: 'commit_timestamps',
    past,
    live: undefined,
    isReadBehindXmin: false,
    cannotTell: ['This.'],
    ...more,
  }
}

test('an audit reads as what was read, what was lost with which wait, what could be lost, and what is not known', () => {
  expect(formatAudit(audit())).toBe(`Commit order of "public"."events"

12 rows read, positions 1 to 12.

3 of 11 events were committed after an event with a higher position.
A reader that remembers the highest position it has seen loses such an event if it looks in between.

A reader that waits at a gap for a fixed time, and then passes it, would have lost:
           no wait  3 events
               3 s  1 event
    15.2 s or more  none
The longest:
  position 3 came 15.2 s after position 11
  position 5 came 3 s after position 11
  position 9 came 1 s after position 11

A reader that reads behind xmin and remembers a position (Emmett 0.42) could have lost 7 of 11 events: an older transaction has a higher position. This is an upper bound.
None of them was still open when that older transaction was committed.

Left out, of 12 rows, and not compared with anything:
- placeholders, which fill the number of an append that failed: 1

What this cannot tell:
- This.`)
})

test('of a table whose own readers read behind xmin, such as that of Emmett, it begins with them', () => {
  const lines = formatAudit(audit({ isReadBehindXmin: true })).split('\n')
  expect(lines.slice(3, 8)).toEqual([
    '',
    'A reader that reads behind xmin and remembers a position (Emmett 0.42) could have lost 7 of 11 events: an older transaction has a higher position. This is an upper bound.',
    'None of them was still open when that older transaction was committed.',
    '',
    '3 of 11 events were committed after an event with a higher position.',
  ])
  expect([...lines].sort()).toEqual(formatAudit(audit()).split('\n').sort())
})

test('without commit timestamps it reads as what was seen', () => {
  const { inversions } = audit().past
  const live = {
    lookedForMs: 60_000,
    looks: 2_400,
    longestPauseMs: 31,
    inversions,
    stillMissing: 2,
    notFollowed: 0n,
  }
  expect(formatAudit(audit({ measured: 'live', live }))).toMatch(`
New events were watched for 1 min, in 2,400 looks with at most 31 ms between them. What came and was passed between two looks was not seen.
3 of 11 events were missing when a higher position was visible, and came later.
A reader that remembers the highest position it has seen loses such an event if it looks in between.

A reader that waits at a gap for a fixed time, and then passes it, would have lost:
           no wait  3 events
               3 s  1 event
    15.2 s or more  none that was seen
The longest:
  position 3 came more than 15.2 s after position 11
  position 5 came more than 3 s after position 11
  position 9 came more than 1 s after position 11
2 positions did not come: rolled back, or still open at the end.
`)
})

test('an empty table, and one that is in order, are told as such', () => {
  const counts = new PastCounts({ waitsMs: [0], hasTimestamps: true, hasEventTimes: false })
  expect(formatAudit(audit({ past: counts.result() }))).toMatch('The table has no rows.')
  counts.add({ position: '1', transaction: 3, committedAtUs: 1, leftOut: undefined })
  expect(formatAudit(audit({ past: counts.result() }))).toMatch(
    'None of 1 event was committed after an event with a higher position.',
  )
})
