import { isReached, type PositionOrder } from '../ports/position.ts'
import { byVersion, type UnitStatus } from '../projection/status.ts'
import type { JudgedUnit } from './judge-projection.ts'
import type { ProjectionHealth, ProjectionHealthStatus } from './verdict.ts'

/** Of several shards the health of the projection is that of the first of these. */
const RANKS: Readonly<Record<ProjectionHealthStatus, number>> = {
  failed: 0,
  paused: 1,
  stalled: 2,
  stopped: 3,
  starting: 4,
  lagging: 5,
  replaying: 6,
  ok: 7,
  standby: 8,
}

/** One entry for each version of a projection: of one in shards that of its worst, at the position of the least. Pure. */
export function wholeProjections<P>(
  order: PositionOrder<P>,
  units: readonly JudgedUnit<P>[],
): readonly ProjectionHealth[] {
  return byVersion(units, ({ status }) => status).map((shards) => {
    const [first, ...others] = shards
    if (others.length === 0) return first.health
    const worst = others.reduce((so, next) => (rankOf(next) < rankOf(so) ? next : so), first)
    const least = others.reduce(
      (so, next) => (isReached(order, positionOf(so), positionOf(next)) ? so : next),
      first,
    )
    const { from, to } = worst.status.slots
    const lags = shards.map(({ health }) => health.lagMs)
    return {
      ...worst.health,
      why: `its shard of the slots ${from}-${to}: ${worst.health.why}`,
      position: least.health.position,
      lagMs: lags.includes(undefined) ? undefined : Math.max(...lags.filter((lag) => lag !== undefined)),
    }
  })
}

function rankOf({ health }: Pick<JudgedUnit<unknown>, 'health'>): number {
  return RANKS[health.status]
}

function positionOf<P>({ status }: { readonly status: Pick<UnitStatus<P>, 'position'> }): P | undefined {
  return status.position
}
