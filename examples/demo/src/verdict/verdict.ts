import type { Daemon } from '@tidemark/core'
import type pg from 'pg'
import type { DemoDatabase } from '../database.ts'
import type { Ledger } from '../ledger.ts'
import type { Observer } from '../observer.ts'
import type { DemoOptions } from '../options.ts'
import { SLOW_PROJECTION } from '../projections.ts'
import { totalOf } from '../view/snapshot.ts'
import { type Compared, compareProjections, countCommitted } from './comparison.ts'
import { type Delays, delaysOf, type Quantiles, quantilesOf } from './delays.ts'

/** What came out, compared with what was committed. */
export interface Verdict {
  readonly mode: DemoOptions['mode']
  readonly postgres: string
  readonly seconds: number
  readonly appended: number
  readonly rolledBack: number
  readonly projections: readonly JudgedProjection[]
  /** Between commit and handling, over all projections but the one that is slow on purpose. */
  readonly delayMs: Quantiles
  /** The part of it that remains once every transaction below had ended. */
  readonly ownDelayMs: Quantiles
  readonly provenEmpty: bigint
  readonly passed: boolean
}

export interface JudgedProjection extends Compared {
  readonly skipped: bigint
  readonly delayMs: Quantiles
}

export interface Evidence {
  readonly options: DemoOptions
  readonly seconds: number
  readonly database: DemoDatabase
  readonly pool: pg.Pool
  readonly daemon: Daemon<bigint>
  readonly ledger: Ledger
  readonly observer: Observer
}

export async function judge(evidence: Evidence): Promise<Verdict> {
  const { options, seconds, database, pool, daemon, ledger, observer } = evidence
  const committed = await countCommitted(pool, database.schema)
  const compared = await compareProjections(pool, database.schema)
  const skips = new Map(daemon.status().projections.map(({ name, skipped }) => [name, totalOf(skipped)]))
  const delays = new Map<string, Delays>()
  for (const [name, handledAt] of observer.handledAt) delays.set(name, delaysOf(handledAt, ledger))
  const projections = compared.map((projection) => ({
    ...projection,
    skipped: skips.get(projection.name) ?? 0n,
    delayMs: quantilesOf(delays.get(projection.name)?.sinceCommit ?? []),
  }))
  const prompt = [...delays].filter(([name]) => name !== SLOW_PROJECTION).map(([, delay]) => delay)
  return {
    mode: options.mode,
    postgres: database.version,
    seconds: Math.round(seconds * 10) / 10,
    ...committed,
    projections,
    delayMs: quantilesOf(prompt.flatMap(({ sinceCommit }) => sinceCommit)),
    ownDelayMs: quantilesOf(prompt.flatMap(({ sinceSettled }) => sinceSettled)),
    provenEmpty: observer.provenEmpty,
    passed: projections.every((projection) => hasPassed(projection, options.mode)),
  }
}

function hasPassed(projection: JudgedProjection, mode: DemoOptions['mode']): boolean {
  const { lost, duplicated, outOfOrder, skipped } = projection
  const isAccountedFor = mode === 'proof' ? lost === 0 : skipped >= BigInt(lost)
  return isAccountedFor && duplicated === 0 && outOfOrder === 0
}

/** The object of `--json`. */
export function toJson(verdict: Verdict): string {
  const { mode, postgres, seconds, appended, rolledBack, projections, delayMs, provenEmpty } = verdict
  return JSON.stringify({
    mode,
    postgres,
    seconds,
    appended,
    rolledBack,
    projections: projections.map(({ name, handled, lost, duplicated, outOfOrder, skipped }) => ({
      name,
      handled,
      lost,
      duplicated,
      outOfOrder,
      skipped: Number(skipped),
    })),
    delayMs,
    provenEmpty: Number(provenEmpty),
  })
}
