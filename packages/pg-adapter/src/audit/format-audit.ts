import type { CommitAudit } from './answer.ts'
import { duration } from './duration.ts'
import type { Inversions } from './inversions.ts'
import type { Live } from './live.ts'
import type { LeftOut } from './page-sql.ts'
import type { BehindXmin, Past } from './past.ts'

/** An audit as text, for somebody who has never heard of it. */
export function formatAudit({ table, past, live, isReadBehindXmin, cannotTell }: CommitAudit): string {
  const byPosition = live === undefined ? delaysOf(past.inversions) : liveLines(live)
  const behindXmin = behindXminLines(past.behindXmin)
  const readers = isReadBehindXmin ? [behindXmin, byPosition] : [byPosition, behindXmin]
  return [
    `Commit order of ${table}`,
    '',
    ...readRows(past),
    ...readers.filter((lines) => lines.length > 0).flatMap((lines, i) => (i === 0 ? lines : ['', ...lines])),
    ...leftOutLines(past),
    '',
    'What this cannot tell:',
    ...cannotTell.map((sentence) => `- ${sentence}`),
  ].join('\n')
}

function readRows({ rows, firstPosition, lastPosition }: Past): readonly string[] {
  if (rows === 0) return ['The table has no rows.']
  return [`${count(rows, 'row')} read, positions ${firstPosition} to ${lastPosition}.`, '']
}

function delaysOf(inversions: Inversions): readonly string[] {
  const { events, inverted } = inversions
  if (events === 0)
    return ['Of none of them it is known when it was committed, so nothing can be said of delays.']
  if (inverted === 0) {
    return [
      `None of ${count(events, 'event')} was committed after an event with a higher position. No reader has lost one for that reason.`,
    ]
  }
  return [
    `${inverted.toLocaleString('en-US')} of ${count(events, 'event')} ${was(inverted)} committed after an event with a higher position.`,
    'A reader that remembers the highest position it has seen loses such an event if it looks in between.',
    '',
    ...waitLines(inversions, 'none'),
    ...longestLines(inversions, ''),
  ]
}

function liveLines({
  lookedForMs,
  looks,
  longestPauseMs,
  inversions,
  stillMissing,
  notFollowed,
}: Live): readonly string[] {
  const { events, inverted } = inversions
  const seen =
    `New events were watched for ${duration(lookedForMs)}, in ${count(looks, 'look')} with at most ` +
    `${duration(longestPauseMs)} between them. What came and was passed between two looks was not seen.`
  const missing =
    stillMissing === 0
      ? []
      : [`${count(stillMissing, 'position')} did not come: rolled back, or still open at the end.`]
  const given =
    notFollowed === 0n
      ? []
      : [`${count(notFollowed, 'position')} could not be followed: too many were missing at once.`]
  if (events === 0) return [seen, 'None came.', ...missing, ...given]
  if (inverted === 0) {
    return [
      seen,
      `None of ${count(events, 'event')} was missing when a higher position was visible.`,
      ...missing,
      ...given,
    ]
  }
  return [
    seen,
    `${inverted.toLocaleString('en-US')} of ${count(events, 'event')} ${was(inverted)} missing when a higher position was visible, and came later.`,
    'A reader that remembers the highest position it has seen loses such an event if it looks in between.',
    '',
    ...waitLines(inversions, 'none that was seen'),
    ...longestLines(inversions, 'more than '),
    ...missing,
    ...given,
  ]
}

function waitLines({ fixedWaits, longest }: Inversions, none: string): readonly string[] {
  const losing = fixedWaits.filter(({ lost }) => lost > 0)
  const rows = [
    ...losing.map(({ waitMs, lost }) => [waitMs === 0 ? 'no wait' : duration(waitMs), count(lost, 'event')]),
    [`${duration(longest[0]?.delayMs ?? 0)} or more`, none],
  ]
  return [
    'A reader that waits at a gap for a fixed time, and then passes it, would have lost:',
    ...rows.map(([wait = '', lost]) => `  ${wait.padStart(16)}  ${lost}`),
  ]
}

function longestLines({ longest }: Inversions, atLeast: string): readonly string[] {
  return [
    'The longest:',
    ...longest.map(
      ({ position, delayMs, passedBy }) =>
        `  position ${position} came ${atLeast}${duration(delayMs)} after position ${passedBy}`,
    ),
  ]
}

function behindXminLines({ events, atRisk, wereOpen }: BehindXmin): readonly string[] {
  if (events === 0) return []
  const head = 'A reader that reads behind xmin and remembers a position (Emmett 0.42)'
  if (atRisk === 0) return [`${head} could have lost none of ${count(events, 'event')}.`]
  const open =
    wereOpen === undefined
      ? []
      : [
          wereOpen === 0
            ? 'None of them was still open when that older transaction was committed.'
            : `${count(wereOpen, 'of them')} ${was(wereOpen)} still open when that older transaction was committed: a reader that looked then has most likely lost them.`,
        ]
  return [
    `${head} could have lost ${atRisk.toLocaleString('en-US')} of ${count(events, 'event')}: an older transaction has a higher position. This is an upper bound.`,
    ...open,
  ]
}

const LEFT_OUT: Readonly<Record<LeftOut, string>> = {
  placeholder: 'placeholders, which fill the number of an append that failed',
  other_transaction: 'written by another transaction than the one that inserted them',
  marked_rewritten: 'marked as rewritten',
  far_from_event_time: 'committed more than an hour after the time of their event, or without such a time',
  one_transaction: 'in runs of 1,000 rows and more of one transaction: a restore, a backfill or an import',
}

function leftOutLines({ leftOut, withoutTimestamp, rows, inversions }: Past): readonly string[] {
  const reasons = Object.entries(LEFT_OUT) as readonly [LeftOut, string][]
  const lines = reasons.flatMap(([reason, words]) =>
    leftOut[reason] === 0 ? [] : [`- ${words}: ${leftOut[reason].toLocaleString('en-US')}`],
  )
  const unknown =
    withoutTimestamp === 0 || inversions.events === 0
      ? []
      : [`Of ${count(withoutTimestamp, 'row')} the server has no commit timestamp.`]
  if (lines.length === 0) return unknown.length === 0 ? [] : ['', ...unknown]
  return ['', `Left out, of ${count(rows, 'row')}, and not compared with anything:`, ...lines, ...unknown]
}

const was = (howMany: number): string => (howMany === 1 ? 'was' : 'were')

function count(howMany: number | bigint, what: string): string {
  const number = howMany.toLocaleString('en-US')
  if (what.startsWith('of ')) return `${number} ${what}`
  return `${number} ${what}${BigInt(howMany) === 1n ? '' : 's'}`
}
