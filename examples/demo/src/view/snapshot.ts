import type { Daemon, Holder, ProjectionState, SkipTotals } from '@tidemark/core'
import type { DemoDatabase } from '../database.ts'
import type { Ledger } from '../ledger.ts'
import type { Observer } from '../observer.ts'
import type { DemoOptions } from '../options.ts'
import { Rates } from './rates.ts'

/** What the view shows at one moment. */
export interface Snapshot {
  readonly mode: DemoOptions['mode']
  readonly phase: string
  readonly elapsedSeconds: number
  readonly appended: number
  readonly appendedPerSecond: number
  readonly undone: number
  readonly head: bigint | undefined
  readonly settled: bigint | undefined
  readonly mark: bigint | undefined
  readonly gaps: readonly { readonly from: bigint; readonly to: bigint; readonly openForMs: number }[]
  /** The longest open first. */
  readonly holders: readonly { readonly name: string; readonly openForMs: number | undefined }[]
  readonly projections: readonly ProjectionSnapshot[]
  readonly troubles: readonly string[]
  readonly troubleCount: number
}

interface ProjectionSnapshot {
  readonly name: string
  readonly state: ProjectionState
  readonly position: bigint | undefined
  readonly lag: bigint | undefined
  readonly handled: number
  readonly perSecond: number
  readonly skipped: bigint
}

export interface Watched {
  readonly mode: DemoOptions['mode']
  readonly daemon: Daemon<bigint>
  readonly database: Pick<DemoDatabase, 'roleOf'>
  readonly ledger: Ledger
  readonly observer: Observer
}

/** Takes a snapshot each time it is called; rates are those since some calls before. */
export function snapshots({
  mode,
  daemon,
  database,
  ledger,
  observer,
}: Watched): (phase: string) => Snapshot {
  const startedMs = performance.now()
  const rates = new Rates()
  return (phase) => {
    const { highWater, projections } = daemon.status()
    const nowMs = performance.now()
    return {
      mode,
      phase,
      elapsedSeconds: (nowMs - startedMs) / 1_000,
      appended: ledger.appended,
      appendedPerSecond: rates.perSecond('appended', ledger.appended, nowMs),
      undone: ledger.undone,
      head: highWater.head,
      settled: highWater.settled,
      mark: highWater.mark,
      gaps: highWater.gaps,
      holders: highWater.holders
        .map((holder) => ({ name: nameOf(holder, database), openForMs: ageOf(holder) }))
        .toSorted((a, b) => (b.openForMs ?? 0) - (a.openForMs ?? 0)),
      projections: projections.map(({ name, state, position, lagPositions, skipped }) => {
        const handled = observer.handled.get(name) ?? 0
        return {
          name,
          state,
          position,
          lag: lagPositions,
          handled,
          perSecond: rates.perSecond(name, handled, nowMs),
          skipped: totalOf(skipped),
        }
      }),
      troubles: observer.troubles,
      troubleCount: observer.troubleCount,
    }
  }
}

export function totalOf(skipped: SkipTotals | undefined): bigint {
  return Object.values(skipped ?? {}).reduce((sum, count) => sum + count, 0n)
}

function nameOf({ pid, applicationName }: Holder, { roleOf }: Pick<DemoDatabase, 'roleOf'>): string {
  if (pid === undefined) return 'a prepared transaction'
  return roleOf(applicationName ?? '') ?? `process ${pid}`
}

function ageOf({ startedAt }: Holder): number | undefined {
  return startedAt === undefined ? undefined : Math.max(0, Date.now() - startedAt.getTime())
}
