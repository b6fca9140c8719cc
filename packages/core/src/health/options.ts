import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0, withoutUndefined } from '../kernel/validation.ts'

export interface HealthOptions {
  /**
   * How old the oldest event that waits may be before its projection is called `lagging`. It stays ready.
   * - Raising it: a backlog that is worked off within that time is never told of.
   * - Lowering it: shorter backlogs are told of too; below `pollIntervalMs`, any event after a quiet time is one.
   * - Change it when: your readers need newer read models than that, or never look so closely.
   * @default 10000
   */
  readonly laggingAfterMs?: number
  /**
   * How long a checkpoint may stand still while events wait, or polls may fail, before that counts as standing still: the
   * projection is called `stalled`, and the process is not ready. A batch that takes longer cannot be told from one that hangs.
   * - Raising it: a process that does nothing is called ready for longer.
   * - Lowering it: slow batches, and short outages of the database, make the process unready.
   * - Change it when: batches of yours take longer than a minute, or an outage must be told of sooner.
   * @default 60000
   */
  readonly stalledAfterMs?: number
}

export type ResolvedHealthOptions = Required<HealthOptions>

/**
 * laggingAfterMs: ten times the longest wait between two polls. stalledAfterMs: longer than a failover of the database, so that
 * it does not make every process unready at once.
 */
export const HEALTH_DEFAULTS: ResolvedHealthOptions = Object.freeze({
  laggingAfterMs: 10_000,
  stalledAfterMs: 60_000,
})

const HEALTH_OPTIONS: Readonly<Record<keyof HealthOptions, true>> = {
  laggingAfterMs: true,
  stalledAfterMs: true,
}

export function resolveHealthOptions(options: HealthOptions): ResolvedHealthOptions {
  requireKnownOptions(options, HEALTH_OPTIONS)
  const resolved = { ...HEALTH_DEFAULTS, ...withoutUndefined(options) }
  requireAbove0('laggingAfterMs', resolved.laggingAfterMs)
  requireAbove0('stalledAfterMs', resolved.stalledAfterMs)
  return resolved
}
