import type { WatchStatus } from '@tidemark/core'
import { unitName, versionName } from '@tidemark/core/adapter'
import type { LostTotal, Overview, ProjectionRow, Shard, WatchedConsumer } from '../protocol.ts'
import { messageOf } from '../status/message-of.ts'
import type { About } from '../status/problem.ts'
import { behindOf, type ProjectionRow as FoundRow } from '../status/projection-row.ts'
import type { Snapshot } from '../status/snapshot.ts'
import type { StatusAbout } from '../status/status.ts'
import { markOf } from './marks.ts'
import { decisionOf, requestOf, textOf, textsOf } from './wire.ts'

/** What else the overview is made of. */
export interface Beside {
  readonly watches: readonly WatchStatus[]
  readonly rateOf: (name: string) => number | undefined
  readonly withStatements: boolean
}

const NOTHING: About = { source: '', projection: null, version: null }

/** Pure, as all of these. */
export function overviewOf(snapshot: Snapshot, status: StatusAbout, beside: Beside): Overview {
  const { atMs, sources, letters, hidden } = snapshot
  const nodes = sources.flatMap((source) => source.nodes?.nodes ?? [])
  const oldest = letters.map(({ oldestAtMs }) => oldestAtMs)
  const owners = ownersOf(snapshot)
  return {
    atMs,
    healthy: status.healthy,
    problems: status.problems.map((problem, n) => ({ ...problem, about: status.abouts[n] ?? NOTHING })),
    notes: status.notes,
    marks: sources.map((source) => markOf(source, beside.withStatements)),
    projections: status.projections.map((row) => rowOf(row, snapshot, owners, beside)),
    watched: beside.watches.flatMap(watchedOf),
    lost: sources.flatMap(({ source, lost }) =>
      lost.map(({ consumer, verdict, events }): LostTotal => ({ source, consumer, verdict, events })),
    ),
    letters: {
      open: letters.reduce((sum, { open }) => sum + open, 0),
      oldestAtMs: oldest.length === 0 ? null : Math.min(...oldest),
    },
    lateEvents: sources.flatMap(({ late }) => late).reduce((sum, { open }) => sum + open, 0),
    nodes: {
      alive: nodes.filter(({ isAlive }) => isAlive).length,
      gone: nodes.filter(({ isAlive }) => !isAlive).length,
    },
    hidden,
  }
}

function rowOf(
  row: FoundRow,
  snapshot: Snapshot,
  owners: ReadonlyMap<string, string>,
  { rateOf }: Beside,
): ProjectionRow {
  const { behind, pausedBy } = row
  const name = versionName(row)
  const perSecond = rateOf(name) ?? null
  const isOnItsWay = behind !== null && behind > 0n && perSecond !== null && perSecond > 0
  const units = snapshot.units.filter(
    ({ unit }) => unit.projection === row.projection && unit.version === row.version,
  )
  return {
    name,
    projection: row.projection,
    version: row.version,
    role: row.role,
    source: row.source,
    shards: row.shards,
    state: row.state,
    position: row.position,
    behind: textOf(behind),
    perSecond,
    leftMs: isOnItsWay ? Math.round((Number(behind) / perSecond) * 1_000) : null,
    changedAtMs: row.changedAtMs,
    owners: [...new Set(units.flatMap(({ unit }) => owners.get(unitName(unit)) ?? []))],
    pausedBy: pausedBy === null ? null : { who: pausedBy.who, why: pausedBy.why, sinceMs: pausedBy.sinceMs },
    asked: requestOf(units.find(({ asked }) => asked !== undefined)?.asked),
    deadLetters: row.deadLetters,
    lateEvents: row.lateEvents,
    skipped: textsOf(row.skipped),
  }
}

export function shardsOf(projection: string, snapshot: Snapshot): readonly Shard[] {
  const owners = ownersOf(snapshot)
  return snapshot.units
    .filter(({ unit }) => unit.projection === projection)
    .map((unit): Shard => {
      const { version, slots } = unit.unit
      const name = unitName(unit.unit)
      const mark = snapshot.sources.find(({ source }) => source === unit.source)?.mark
      return {
        name,
        version,
        slots: { from: slots.from, to: slots.to },
        role: unit.role,
        desired: unit.desired,
        decision: decisionOf(unit.decision),
        position: unit.position ?? null,
        behind: textOf(behindOf(unit, mark)),
        furthest: unit.furthest ?? null,
        changedAtMs: unit.changedAtMs ?? null,
        owner: owners.get(name) ?? null,
        asked: requestOf(unit.asked),
        isRetryAsked: unit.isRetryAsked,
        isBegun: unit.isBegun ?? null,
        skipped: textsOf(unit.skipped),
      }
    })
    .toSorted((a, b) => a.version - b.version || a.slots.from - b.slots.from)
}

/** The node that has a unit, by the names of both. */
function ownersOf({ sources }: Snapshot): ReadonlyMap<string, string> {
  const alive = sources.flatMap(({ nodes }) => nodes?.nodes ?? []).filter(({ isAlive }) => isAlive)
  return new Map(alive.flatMap(({ name, units }) => units.map((unit) => [unitName(unit), name] as const)))
}

function watchedOf(status: WatchStatus): readonly WatchedConsumer[] {
  const { source, state, error } = status
  return status.consumers.map((of) => ({
    source,
    state,
    error: error === undefined ? null : messageOf(error),
    consumer: of.consumer,
    checkpoint: of.checkpoint,
    isUnderstood: of.isUnderstood,
    lagPositions: textOf(of.lagPositions),
    lagMs: of.lagMs ?? null,
    ageMs: Math.round(of.ageMs),
    exposedPositions: textOf(of.exposedPositions),
    unconfirmed: of.unconfirmed,
    lost: of.lost,
    passed: of.passed,
  }))
}
