import { ago, count, duration, messageOf, utc } from '@tidemark/console/status'
import type { LostEvent, WatchedConsumer, WatchStatus } from '@tidemark/core'
import type { KeptLoss } from '@tidemark/core/adapter'
import type { Line } from '../lines.ts'
import { table } from '../table.ts'
import type { ListFormat } from './list-format.ts'

/** One event that a consumer has lost; pure. */
export function formatLoss(event: LostEvent): readonly Line[] {
  const { consumer, verdict, position, type, passedAt, visibleAt, heldBy } = event
  const what = verdict === 'lost' ? 'has lost' : 'has passed, and perhaps lost,'
  const held = heldBy.length === 0 ? '' : `; it was held by ${holdersOf(heldBy)}`
  return [
    {
      text: `${utc(visibleAt.getTime())}  ${consumer} ${what} the event ${position}${type === undefined ? '' : ` (${type})`}: it was at ${passedAt} before the event was visible${held}`,
      tone: 'bad',
    },
  ]
}

function holdersOf(heldBy: LostEvent['heldBy']): string {
  return heldBy
    .map(({ pid, applicationName, transaction }) => {
      const who = pid === undefined ? `the prepared transaction ${transaction}` : `pid ${pid}`
      return applicationName === undefined ? who : `${who} (${applicationName})`
    })
    .join(', ')
}

/** Those that a watch has kept; pure. */
export function formatLost(
  lost: readonly KeptLoss[],
  { limit, nowMs, columns }: ListFormat,
): readonly Line[] {
  if (lost.length === 0) return ['None is kept. tidemark watch --keep keeps those that are lost from now on.']
  const rows = lost.map(({ consumer, position, type, verdict, passedAt, visibleAtMs, heldBy }) => ({
    cells: [
      consumer,
      position,
      type ?? '?',
      verdict === 'lost' ? 'lost' : 'passed, perhaps lost',
      passedAt,
      ago(visibleAtMs, nowMs),
      holdersOf(heldBy),
    ],
  }))
  return [
    ...table(
      ['consumer', 'event', 'type', 'verdict', 'it was at', 'visible since', 'held by'],
      rows,
      columns,
    ),
    ...(lost.length < limit ? [] : ['', 'There may be more: --limit']),
    '',
    'Nothing brings them to the consumer any more. Let it handle each of them now, by hand: docs/runbook.md, "Consumer loses events".',
  ]
}

interface WatchFormat {
  readonly nowMs: number
  readonly columns: number | undefined
}

/** How each consumer stands; pure. */
export function formatWatched(status: WatchStatus, { nowMs, columns }: WatchFormat): readonly Line[] {
  const { consumers, unknownConsumers, error, looks, looksApartMs } = status
  const rows = consumers.map((of) => ({
    cells: [
      of.consumer,
      of.checkpoint,
      of.lagPositions === undefined ? '?' : String(of.lagPositions),
      of.movedAtMs === undefined ? `not in ${duration(of.ageMs)}` : ago(of.movedAtMs, nowMs),
      of.exposedPositions === undefined ? '?' : String(of.exposedPositions),
      String(of.lost),
      String(of.passed),
      unsureOf(of),
    ],
    ...(of.lost > 0 ? { tone: 'bad' as const } : of.isUnderstood ? {} : { tone: 'warn' as const }),
  }))
  const head = ['consumer', 'checkpoint', 'behind', 'moved', 'exposed', 'lost', 'passed', 'cannot tell']
  const apart = looksApartMs === undefined ? '' : `, ${duration(looksApartMs.mean)} apart`
  return [
    ...(error === undefined
      ? []
      : [{ text: `It cannot look now: ${messageOf(error)}`, tone: 'bad' } as const]),
    ...(consumers.length === 0 ? ['No consumer has a checkpoint yet.'] : table(head, rows, columns)),
    ...(unknownConsumers.length === 0 ? [] : [`Named, and not there: ${unknownConsumers.join(', ')}`]),
    { text: `${count(looks, 'look')}${apart}. What falls between two of them is not seen.`, tone: 'quiet' },
  ]
}

function unsureOf({ isUnderstood, cannotTell, unconfirmed }: WatchedConsumer): string {
  if (!isUnderstood) return 'its checkpoint is no position of this table'
  const unsure = Object.values(cannotTell).reduce((sum, each) => sum + (each ?? 0), 0)
  return [
    ...(unsure === 0 ? [] : [`${unsure} events`]),
    ...(unconfirmed === 0 ? [] : [`${unconfirmed} not confirmed yet`]),
  ].join(', ')
}
