import type { LostEvent, WatchedConsumer, WatchStatus } from '@tidemark/core'
import type { Line } from '../lines.ts'
import { messageOf } from '../message-of.ts'
import { table } from '../table.ts'
import { ago, duration, utc } from '../words.ts'

/** One event that a consumer has lost; pure. */
export function formatLoss(event: LostEvent): readonly Line[] {
  const { consumer, verdict, position, type, passedAt, visibleAt, heldBy } = event
  const what = verdict === 'lost' ? 'has lost' : 'has passed, and perhaps lost,'
  const held =
    heldBy.length === 0
      ? ''
      : `; it was held by ${heldBy.map(({ pid, applicationName, transaction }) => `${pid === undefined ? `the prepared transaction ${transaction}` : `pid ${pid}`}${applicationName === undefined ? '' : ` (${applicationName})`}`).join(', ')}`
  return [
    {
      text: `${utc(visibleAt.getTime())}  ${consumer} ${what} the event ${position}${type === undefined ? '' : ` (${type})`}: it was at ${passedAt} before the event was visible${held}`,
      tone: 'bad',
    },
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
    { text: `${looks} looks${apart}. What falls between two of them is not seen.`, tone: 'quiet' },
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
