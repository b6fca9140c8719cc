import type { Ledger } from '../ledger.ts'
import type { Observer } from '../observer.ts'
import type { DemoOptions } from '../options.ts'
import { SLOW_PROJECTION } from '../projections.ts'
import { duration, grouped, plural, table } from '../view/format.ts'
import { oneLine } from '../view/frame.ts'
import type { Paint } from '../view/paint.ts'
import type { Quantiles } from './delays.ts'
import type { JudgedProjection, Verdict } from './verdict.ts'

export interface Told {
  readonly verdict: Verdict
  readonly options: DemoOptions
  readonly ledger: Ledger
  readonly observer: Observer
  readonly isInterrupted: boolean
  readonly allowsPreparedTransactions: boolean
}

/** The verdict for a person. */
export function report(told: Told, paint: Paint): string {
  const { verdict, observer } = told
  const lines = [
    '',
    paint.bold(' What was thrown at it'),
    '',
    ...whatWasThrown(told).map((line) => `   ${line}`),
    '',
    paint.bold(' What came out'),
    '',
    ...projectionTable(verdict.projections, paint).map((line) => `   ${line}`),
    '',
    ...whatItCost(verdict).map((line) => `   ${line}`),
    ...observer.troubles.map((trouble) => paint.bad(`   error: ${oneLine(trouble)}`)),
    '',
    ` ${verdict.passed ? paint.good('✔') : paint.bad('✘')} ${paint.bold(closingSentence(verdict))}`,
    '',
  ]
  return `${lines.join('\n')}\n`
}

function whatWasThrown(told: Told): string[] {
  const { verdict, options, isInterrupted, allowsPreparedTransactions } = told
  const { counts } = told.ledger
  const number = (count: number): string => grouped(count).padStart(9)
  return [
    `${number(verdict.appended)} events appended in ${verdict.seconds} s by ${plural(options.writers, 'writer')}${isInterrupted ? ', until interrupted' : ''}`,
    `${number(verdict.rolledBack)} numbers taken and never committed`,
    `${number(counts.transactions)} transactions: ${grouped(counts.rolledBack)} rolled back, ${grouped(counts.held)} held open for up to 1.5 s`,
    `${number(counts.savepointsRolledBack)} rollbacks to a savepoint inside a transaction`,
    `${number(counts.terminated)} terminations of a session in mid-transaction`,
    allowsPreparedTransactions
      ? `${number(counts.preparedCommitted)} prepared transactions committed later, ${grouped(counts.preparedRolledBack)} rolled back later`
      : `${number(0)} prepared transactions: this server allows none`,
    `${number(1)} unrelated transaction with writes elsewhere, open all along`,
    `${number(1)} repeatable-read reader, open all along`,
  ]
}

function projectionTable(projections: readonly JudgedProjection[], paint: Paint): string[] {
  const rows = table([
    ['projection', 'handled', 'lost', 'duplicated', 'out of order', 'skipped', 'p50', 'p99'],
    ...projections.map(({ name, handled, lost, duplicated, outOfOrder, skipped, delayMs }) => [
      name,
      ...[handled, lost, duplicated, outOfOrder, skipped].map(grouped),
      duration(delayMs.p50 ?? undefined),
      duration(delayMs.p99 ?? undefined),
    ]),
  ])
  return rows.map((row, index) => {
    const projection = projections[index - 1]
    if (!projection) return paint.dim(row)
    return projection.lost + projection.duplicated + projection.outOfOrder > 0 ? paint.bad(row) : row
  })
}

function whatItCost(verdict: Verdict): string[] {
  const { mode, rolledBack, provenEmpty, delayMs, ownDelayMs } = verdict
  const delay = [
    `Delay between commit and handling: ${both(delayMs)}`,
    `  (without "${SLOW_PROJECTION}", which is slow on purpose).`,
  ]
  if (mode === 'stale-threshold') return delay
  const proven = `${grouped(provenEmpty)} of the ${grouped(rolledBack)} numbers never committed were proven empty one by one`
  return [
    ...delay,
    `Once every transaction with a lower number had ended: ${both(ownDelayMs)}.`,
    ...(provenEmpty === BigInt(rolledBack)
      ? [`${proven}.`]
      : [`${proven},`, '  the others all at once, far below a proven bound.']),
  ]
}

function both({ p50, p99 }: Quantiles): string {
  return `p50 ${duration(p50 ?? undefined)}, p99 ${duration(p99 ?? undefined)}`
}

function closingSentence({ mode, passed, projections, appended }: Verdict): string {
  const mostLost = Math.max(...projections.map(({ lost }) => lost))
  if (mode === 'proof') {
    return passed
      ? `All ${grouped(appended)} committed events reached every projection exactly once, in order.`
      : 'Events were lost, duplicated or out of order. This must not happen: please report it.'
  }
  if (!passed)
    return 'The counted skips do not account for what was lost. This must not happen: please report it.'
  return mostLost === 0
    ? 'Nothing was lost this time; in this mode nothing but luck prevents it.'
    : `Up to ${plural(mostLost, 'event')} lost by guessing; the counted skips cover the losses.`
}
