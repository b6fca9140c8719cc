import { SKIP_REASONS, type SkipReason, type SkipTotals } from '@tidemark/core'
import { type SlotRange, type Unit, versionName } from '@tidemark/core/adapter'
import type { ListedUnit, UnitFailure } from '@tidemark/core/operations'
import type { Mark } from './mark.ts'
import type { Snapshot, SourceSnapshot } from './snapshot.ts'

/** How long a projection may stand behind the mark before it is told. Batches may take that long. */
const STANDS_AFTER_MS = 10_000

/**
 * - `follows`: it has handled everything up to the mark
 * - `works`: it is behind, and moves
 * - `fails`: it is behind, and fails at what comes next: it is paused by that, or has failed there for a while
 * - `stands`: it is behind, and has not moved for a while
 * - `replays`: it handles again what was handled before
 * - `paused`: an operator has paused it
 * - `retired`: a version that stands still for good
 * - `unknown`: the mark is not known
 */
export type StatusState =
  | 'follows'
  | 'works'
  | 'fails'
  | 'stands'
  | 'replays'
  | 'paused'
  | 'retired'
  | 'unknown'

/** A version of a projection. */
export interface ProjectionRow {
  readonly projection: string
  readonly version: number
  readonly role: ListedUnit['role']
  readonly source: string
  readonly shards: number
  readonly state: StatusState
  /** Of several shards the least. `null`: it has handled nothing yet. */
  readonly position: string | null
  /** Positions up to the mark; of several shards those of the last one. `null`: not known. */
  readonly behind: bigint | null
  /** When a batch or an operator has last changed it. */
  readonly changedAtMs: number | null
  readonly pausedBy: { readonly who: string; readonly why: string; readonly sinceMs: number } | null
  /** What a node is asked to do and has not done. */
  readonly asked: {
    readonly operation: string
    readonly who: string
    readonly why: string
    readonly sinceMs: number
  } | null
  /** What failed last where it stands; of several shards, the first that fails. */
  readonly failure: (Omit<UnitFailure, 'unit'> & { readonly slots: SlotRange }) | null
  readonly deadLetters: number
  readonly lateEvents: number
  readonly skipped: SkipTotals
}

/** The units of one version, with what is known of their source. */
export interface Version {
  readonly units: readonly [ListedUnit, ...ListedUnit[]]
  readonly source: SourceSnapshot | undefined
}

/** Pure, as all that follow. */
export function versionsOf({ units, sources }: Snapshot): readonly Version[] {
  const versions = new Map<string, [ListedUnit, ...ListedUnit[]]>()
  for (const unit of units) {
    const name = versionName(unit.unit)
    const known = versions.get(name)
    if (known === undefined) versions.set(name, [unit])
    else known.push(unit)
  }
  return [...versions.values()].map((of) => ({
    units: of,
    source: sources.find(({ source }) => source === of[0].source),
  }))
}

export function rowOf(version: Version, snapshot: Snapshot): ProjectionRow {
  const { units } = version
  const [first] = units
  const { projection, version: number } = first.unit
  const isOfIt = (of: Pick<Unit, 'projection' | 'version'>): boolean =>
    of.projection === projection && of.version === number
  const changed = units.flatMap(({ changedAtMs }) => changedAtMs ?? [])
  const asked = units.find((unit) => unit.asked !== undefined)?.asked
  const paused = units.find(({ desired }) => desired === 'paused')
  const behind = units.map((unit) => behindOf(unit, version.source?.mark))
  const failure = units.find((unit) => unit.failure !== undefined)?.failure
  return {
    projection,
    version: number,
    role: first.role,
    source: first.source,
    shards: units.length,
    state: stateOf(version, behind, snapshot.atMs),
    position: leastOf(units),
    behind: behind.some((each) => each === null)
      ? null
      : behind.reduce<bigint>((most, each) => (each !== null && each > most ? each : most), 0n),
    changedAtMs: changed.length === 0 ? null : Math.max(...changed),
    pausedBy: first.role === 'retired' || paused?.decision === undefined ? null : { ...paused.decision },
    asked:
      asked === undefined
        ? null
        : { operation: asked.operation, who: asked.who, why: asked.why, sinceMs: asked.sinceMs },
    failure: failure === undefined ? null : shownFailure(failure),
    deadLetters: snapshot.letters.filter(isOfIt).reduce((sum, { open }) => sum + open, 0),
    lateEvents: (version.source?.late ?? [])
      .filter(({ unit }) => isOfIt(unit))
      .reduce((sum, { open }) => sum + open, 0),
    skipped: addedUp(units),
  }
}

function shownFailure({ unit, ...failure }: UnitFailure): ProjectionRow['failure'] {
  return { slots: unit.slots, ...failure }
}

/** Positions up to the mark; `null`: not known. */
export function behindOf({ position }: ListedUnit, mark: Mark | undefined): bigint | null {
  if (mark === undefined) return null
  const upTo = mark.isProven ? mark.mark : mark.head
  // Nothing was ever handed out, or nothing is known to be settled yet.
  if (upTo === undefined) return mark.head === undefined ? 0n : null
  const at = BigInt(position ?? 0)
  return upTo > at ? upTo - at : 0n
}

function stateOf({ units }: Version, behind: readonly (bigint | null)[], nowMs: number): StatusState {
  const [first] = units
  if (first.role === 'retired') return 'retired'
  if (units.some(({ desired }) => desired === 'paused')) return 'paused'
  if (units.some((unit, n) => isFailing(unit, behind[n] ?? null, nowMs))) return 'fails'
  if (behind.some((each) => each === null)) return 'unknown'
  if (units.some((unit, n) => isStandingStill(unit, behind[n] ?? null, nowMs))) return 'stands'
  if (units.some(isReplaying)) return 'replays'
  return behind.every((each) => each === 0n) ? 'follows' : 'works'
}

/** Nothing waits for it where nothing is behind. What passes by itself is gone before anybody has read of it. */
export function isFailing({ failure }: ListedUnit, behind: bigint | null, nowMs: number): boolean {
  if (failure === undefined || behind === 0n) return false
  return failure.isPaused || nowMs - failure.sinceMs > STANDS_AFTER_MS
}

export function isStandingStill({ changedAtMs }: ListedUnit, behind: bigint | null, nowMs: number): boolean {
  return behind !== null && behind > 0n && changedAtMs !== undefined && nowMs - changedAtMs > STANDS_AFTER_MS
}

const isReplaying = ({ position, furthest }: ListedUnit): boolean =>
  furthest !== undefined && /^\d+$/.test(furthest) && BigInt(position ?? 0) < BigInt(furthest)

function leastOf(units: readonly ListedUnit[]): string | null {
  const positions = units.map(({ position }) => position)
  if (positions.includes(undefined)) return null
  const isNumber = positions.every((position) => position !== undefined && /^\d+$/.test(position))
  if (!isNumber) return positions[0] ?? null
  return positions
    .map((position) => BigInt(position ?? 0))
    .reduce(lesser)
    .toString()
}

/** Every shard passes the same positions; what one has given up is its own. */
function addedUp(units: readonly ListedUnit[]): SkipTotals {
  const total: Partial<Record<SkipReason, bigint>> = {}
  for (const reason of SKIP_REASONS) {
    const counts = units.flatMap(({ skipped }) => skipped[reason] ?? [])
    if (counts.length === 0) continue
    total[reason] =
      reason === 'apply_error' ? counts.reduce((sum, each) => sum + each, 0n) : counts.reduce(greater)
  }
  return total
}

const lesser = (a: bigint, b: bigint): bigint => (isLess(a, b) ? a : b)
const greater = (a: bigint, b: bigint): bigint => (isLess(a, b) ? b : a)
const isLess = (a: bigint, b: bigint): boolean => a < b
