import { grouped, plural, table } from '../view/format.ts'
import type { Paint } from '../view/paint.ts'
import type { WatchDemoOptions } from './options.ts'
import type { Judged } from './verdict.ts'

export interface Told {
  readonly options: WatchDemoOptions
  readonly postgres: string
  readonly seconds: number
  readonly isInterrupted: boolean
  readonly consumers: readonly Judged[]
  /** Positions that the query of docs/watch.md names as lost by Emmett 0.42. */
  readonly namedByTheQuery: readonly number[]
  readonly looksApartMs: number
  /** Where the server keeps commit timestamps. */
  readonly audited: Audited | undefined
  /** What `/metrics` says at the end. */
  readonly metrics: string
  readonly troubles: readonly string[]
}

export interface Audited {
  /** Events of the loops' table that were committed after a higher position. */
  readonly inverted: number
  /** Those of them that a reader loses that waits 1 s for each gap. */
  readonly lostByWaiting: number
}

/** The verdict for a person. */
export function report(told: Told, paint: Paint): string {
  const { consumers, troubles, seconds, postgres, isInterrupted, options } = told
  const handlers = options.handlerMs === 0 ? '' : `, ${options.handlerMs} ms a batch`
  const lines = [
    '',
    paint.bold(' What three consumers that Tidemark does not run have lost'),
    ` PostgreSQL ${postgres}, ${seconds} s of writers${isInterrupted ? ', until interrupted' : ''}${handlers}`,
    '',
    ...consumerTable(consumers, paint).map((line) => `   ${line}`),
    '',
    ...legend(told).map((line) => `   ${line}`),
    '',
    ...auditLines(told).map((line) => `   ${line}`),
    paint.bold(' The same in /metrics'),
    '',
    ...metricLines(told.metrics).map((line) => `   ${line}`),
    '',
    ...troubles.map((trouble) => paint.bad(`   error: ${trouble}`)),
    paint.bold(' Where to look next'),
    '',
    '   docs/watch.md         such a watch beside your own consumer: ten lines, nothing is written',
    '   docs/from-emmett.md   the same handlers under Tidemark, and the lost events handled once',
    '   pnpm demo             Tidemark itself under writers like these',
    '',
    ` ${falselyAccused(told) === 0 ? paint.good('✔') : paint.bad('✘')} ${paint.bold(closingSentence(told))}`,
    '',
  ]
  return `${lines.join('\n')}\n`
}

export function falselyAccused({ consumers }: Told): number {
  return consumers.reduce((sum, each) => sum + each.falselyAccused + each.falselyByMonitor, 0)
}

function consumerTable(consumers: readonly Judged[], paint: Paint): string[] {
  const rows = table([
    [
      'consumer',
      'events',
      'handled',
      'lost unseen',
      'proven',
      'lost otherwise',
      'by monitor',
      'accused falsely',
    ],
    ...consumers.map((each) => [
      each.name,
      ...[
        each.committed,
        each.handled,
        each.lostToVisibility,
        each.provenLost,
        each.lostOtherwise,
        each.toldByMonitor,
        each.falselyAccused + each.falselyByMonitor,
      ].map(grouped),
    ]),
  ])
  return rows.map((row, index) => {
    const consumer = consumers[index - 1]
    if (!consumer) return paint.dim(row)
    return consumer.falselyAccused + consumer.falselyByMonitor > 0 ? paint.bad(row) : row
  })
}

function legend({ consumers, namedByTheQuery, looksApartMs }: Told): string[] {
  const unseen = consumers.reduce((sum, { lostToVisibility }) => sum + lostToVisibility, 0)
  const proven = consumers.reduce((sum, { provenLost }) => sum + provenLost, 0)
  const share = unseen === 0 ? '' : `: ${Math.round((100 * proven) / unseen)} %`
  return [
    'lost unseen      committed after the consumer had read past their position. Nobody told it.',
    `proven           those of them that the watch has told, each by its position${share}.`,
    `                 The others came and went between two looks, which were ${looksApartMs.toFixed(0)} ms apart.`,
    'lost otherwise   the consumer could see them, and left them out. A watch of checkpoints cannot tell.',
    `                 For Emmett 0.42 a query over its table names them all (docs/watch.md): ${grouped(namedByTheQuery.length)}.`,
    'by monitor       of all that were lost, those that monitorHandler around the handler has told.',
    'accused falsely  told by the watch or a monitor, and not lost. This must be 0.',
  ]
}

function auditLines({ audited }: Told): string[] {
  if (audited === undefined) return []
  return [
    `auditCommits tells of the past, from commit timestamps: of the loops' table ${plural(audited.inverted, 'event')} came`,
    `after a higher position, and a reader that waits 1 s for each gap loses ${grouped(audited.lostByWaiting)} of them.`,
    '',
  ]
}

function metricLines(metrics: string): string[] {
  return metrics.split('\n').filter((line) => line.startsWith('martend_async_daemon_consumer_lost_events{'))
}

function closingSentence(told: Told): string {
  const proven = told.consumers.reduce((sum, { provenLost }) => sum + provenLost, 0)
  const falsely = falselyAccused(told)
  return falsely === 0
    ? `${plural(proven, 'lost event')} proven, none called lost that was not.`
    : `${plural(falsely, 'event')} called lost that ${falsely === 1 ? 'was' : 'were'} not. This must not happen: please report it.`
}

/** The object of `--json`. */
export function toJson(told: Told): string {
  const { options, postgres, seconds, consumers, namedByTheQuery, audited, looksApartMs, troubles } = told
  const { seed, handlerMs, trackCommitTimestamp } = options
  return JSON.stringify({
    postgres,
    trackCommitTimestamp,
    seed,
    handlerMs,
    seconds,
    looksApartMs: Math.round(looksApartMs * 10) / 10,
    consumers,
    namedByTheQuery: namedByTheQuery.length,
    audited,
    falselyAccused: falselyAccused(told),
    troubles,
  })
}
