import { unitName } from '@tidemark/core/adapter'
import type { LateEvent, Operations, PassedRun } from '@tidemark/core/operations'
import { HttpError } from '../http/http-error.ts'
import type { ResolvedConsoleOptions } from '../options.ts'
import type { LateAnswer, LateEventAt, LateState, SkipsAnswer } from '../protocol.ts'
import { isNumbered } from '../status/events-of.ts'
import { operatedSource } from '../status/operated-source.ts'
import type { Query } from './query.ts'

const LATE_STATES: readonly LateState[] = [
  'open',
  'in_order',
  'on_late_event',
  'reprocessed',
  'discarded',
  'not_wanted',
]

export async function skipsAnswer(options: ResolvedConsoleOptions, query: Query): Promise<SkipsAnswer> {
  const limit = query.limit()
  const projection = query.text('projection')
  const of = { limit, ...(projection === undefined ? {} : { projection }) }
  const source = query.text('source')
  const skips =
    source === undefined
      ? await options.operations.skips(of)
      : await (await numbered(options, source)).skips({ ...of, ...upTo(query) })
  return { skips: skips.map(skipOf), more: skips.length === limit }
}

function skipOf(run: PassedRun): SkipsAnswer['skips'][number] {
  const { source, from, to, count, recordedAtMs, heldBy, passedBy, late, thereNow } = run
  return {
    source,
    from,
    to,
    count: String(count),
    recordedAtMs,
    heldBy:
      heldBy?.map(({ pid, applicationName }) => ({
        pid: pid ?? null,
        applicationName: applicationName ?? null,
      })) ?? null,
    passedBy: passedBy.map(({ unit, reason }) => ({ unit: unitName(unit), reason })),
    late: late.map(eventAt),
    thereNow: thereNow?.map(eventAt) ?? null,
  }
}

export async function lateAnswer(options: ResolvedConsoleOptions, query: Query): Promise<LateAnswer> {
  const limit = query.limit()
  const projection = query.text('projection')
  const state = query.oneOf('state', LATE_STATES, 'open')
  const of = {
    limit,
    ...(projection === undefined ? {} : { projection }),
    ...(state === undefined ? {} : { state }),
  }
  const source = query.text('source')
  const late =
    source === undefined
      ? await options.operations.lateEvents(of)
      : await (await numbered(options, source)).lateEvents({ ...of, ...upTo(query) })
  return {
    late: late.map((event) => ({
      source: event.source,
      ...eventAt(event),
      passed: event.passed,
      passedAtMs: event.passedAtMs ?? null,
      foundAtMs: event.foundAtMs,
      units: event.units.map(({ unit, decision, failures, error, closedAtMs, ...each }) => ({
        unit: unitName(unit),
        projection: unit.projection,
        version: unit.version,
        state: each.state,
        decision: decision === undefined ? null : { who: decision.who, why: decision.why },
        failures,
        error: error ?? null,
        closedAtMs: closedAtMs ?? null,
      })),
    })),
    more: late.length === limit,
  }
}

const eventAt = ({ position, type }: LateEvent): LateEventAt => ({ position, type: type ?? null })

function upTo(query: Query): { readonly to?: bigint } {
  const to = query.digits('to')
  return to === undefined ? {} : { to: BigInt(to) }
}

/** Operations that take positions, of a source that checkpoints are of. */
export async function numbered(options: ResolvedConsoleOptions, source: string): Promise<Operations<bigint>> {
  const units = (await options.operations.list()).filter((unit) => unit.source === source)
  if (units.length === 0) {
    throw new HttpError(404, 'NO_SUCH_SOURCE', `No checkpoint is of a source ${JSON.stringify(source)}.`)
  }
  if (!isNumbered(units)) {
    throw new HttpError(
      409,
      'NO_NUMBERS',
      `The positions of ${JSON.stringify(source)} are no numbers of a table.`,
      [
        'The console compares none of these: call createOperations({ checkpoints, source }) with the source of the daemon.',
      ],
    )
  }
  return operatedSource(options, options.checkpoints, source).operations
}
