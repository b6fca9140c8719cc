import type { HighWaterStatus } from '../high-water/status.ts'
import type { ClusterStatus } from '../ownership/status.ts'
import { PLACES_OUTSIDE_LOG } from '../ports/consumer-checkpoints.ts'
import { LOST_VERDICTS, type LostVerdict } from '../ports/lost-events.ts'
import { MARK_SKIP_REASONS } from '../ports/stored-unit.ts'
import type { ConsumerGroup } from '../ports/subscription-source.ts'
import { versionName } from '../ports/unit.ts'
import {
  isDealtElsewhere,
  PROJECTION_STATES,
  type ProjectionStatus,
  type ShardStatus,
} from '../projection/status.ts'
import { SUBSCRIPTION_STATES, type SubscriptionStatus } from '../subscription/status.ts'
import type { WatchedConsumer } from '../watch/status.ts'
import type { GaugeName } from './gauges.ts'
import type { GaugeReading, Labels } from './metrics.ts'

const MS_PER_SECOND = 1_000

/** What the gauges of a store show now. What is unknown is left out. */
export function storeGauges<P>(
  source: string,
  status: HighWaterStatus<P>,
  toNumber: ((position: P) => number) | undefined,
): readonly GaugeReading[] {
  const { head, settled, mark, gaps, holders, lastPollAtMs } = status
  const isPolled = lastPollAtMs !== undefined
  const oldestGapMs = Math.max(0, ...gaps.map(({ openForMs }) => openForMs))
  const gauge = readingsWith({ source })
  return [
    ...gauge('high_water_mark', approximate(mark, toNumber)),
    ...gauge('settled_position', approximate(settled, toNumber)),
    ...gauge('store_head', approximate(head, toNumber)),
    ...gauge('high_water_mark_stale', status.state === 'idle' ? undefined : Number(status.stale)),
    ...gauge('open_gaps', isPolled ? gaps.length : undefined),
    ...gauge('gap_holders', isPolled ? (gaps.length === 0 ? 0 : holders.length) : undefined),
    ...gauge('oldest_gap_age_seconds', isPolled ? seconds(oldestGapMs) : undefined),
    ...gauge('last_successful_poll_timestamp_seconds', seconds(lastPollAtMs)),
  ]
}

/** What the gauges of this node's leases show now. */
export function leaseGauges(
  source: string,
  { id, units, renewedForMs }: Pick<ClusterStatus, 'id' | 'units' | 'renewedForMs'>,
): readonly GaugeReading[] {
  const gauge = readingsWith({ source })
  return [
    ...gauge('leased_units', units.filter(({ node }) => node === id).length),
    ...gauge('lease_renewal_age_seconds', seconds(renewedForMs)),
  ]
}

/**
 * What the gauges of a projection show now. A standby only shows that it is one: the owner exports the rest.
 * That one may be away for long where it is dealt to another node: then its lag is shown here too. Of a projection in shards,
 * each shard shows its state and how far it is, since they may be worked on in different processes.
 */
export function projectionGauges<P>(
  status: ProjectionStatus<P>,
  toNumber: ((position: P) => number) | undefined,
): readonly GaugeReading[] {
  const { name, version, role, replay, skipped, shards } = status
  const labels = { projection_name: versionName({ projection: name, version }) }
  const gauge = readingsWith(labels)
  const standing =
    shards === undefined
      ? standingGauges(status, toNumber, labels)
      : shards.flatMap((shard) => {
          const { from, to } = shard.slots
          return standingGauges(shard, toNumber, { ...labels, shard: `${from}-${to}` })
        })
  const beside = gauge('projection_beside', role === undefined ? undefined : Number(role !== 'live'))
  if (status.state === 'standby')
    return isDealtElsewhere(status.dealtTo) ? [...standing, ...beside] : standing
  return [
    ...standing,
    ...beside,
    ...gauge('replay_events_per_second', replay?.eventsPerSecond),
    ...gauge('replay_seconds_left', replay?.secondsLeft),
    ...(skipped === undefined
      ? []
      : MARK_SKIP_REASONS.flatMap((reason) =>
          gauge('skipped_events_recorded', Number(skipped[reason] ?? 0n), { reason }),
        )),
  ]
}

function standingGauges<P>(
  { state, dealtTo, position, lagPositions, lagMs }: Omit<ShardStatus<P>, 'slots'>,
  toNumber: ((position: P) => number) | undefined,
  labels: Labels,
): readonly GaugeReading[] {
  const gauge = readingsWith(labels)
  const states = PROJECTION_STATES.flatMap((each) =>
    gauge('projection_state', Number(each === state), { state: each }),
  )
  if (state === 'standby' && !isDealtElsewhere(dealtTo)) return states
  return [
    ...states,
    ...gauge('projection_position', approximate(position, toNumber)),
    ...gauge('projection_lag_positions', lagPositions === undefined ? undefined : Number(lagPositions)),
    ...gauge('projection_lag_seconds', seconds(lagMs)),
  ]
}

/** What the gauges of a projection's dead letters show now; nothing of a standby, or before they were read. */
export function letterGauges(
  { name, version, state }: Pick<ProjectionStatus<unknown>, 'name' | 'version' | 'state'>,
  counts: { readonly open: number; readonly oldestAtMs: number } | undefined,
  nowMs: number,
): readonly GaugeReading[] {
  if (counts === undefined || state === 'standby') return []
  const gauge = readingsWith({ projection_name: versionName({ projection: name, version }) })
  // The clock of the store may be ahead.
  const ageMs = counts.open === 0 ? 0 : Math.max(0, nowMs - counts.oldestAtMs)
  return [
    ...gauge('dead_letters_open', counts.open),
    ...gauge('oldest_dead_letter_age_seconds', ageMs / MS_PER_SECOND),
  ]
}

/** What the gauges of a wrapped subscription show now. */
export function subscriptionGauges<P>(
  { projection, state, position, lagPositions, lagMs, isStalled, group }: SubscriptionStatus<P>,
  toNumber: ((position: P) => number) | undefined,
): readonly GaugeReading[] {
  const gauge = readingsWith({ projection_name: projection })
  return [
    ...SUBSCRIPTION_STATES.flatMap((each) =>
      gauge('projection_state', Number(each === state), { state: each }),
    ),
    ...gauge('projection_position', approximate(position, toNumber)),
    ...gauge('projection_lag_positions', lagPositions === undefined ? undefined : Number(lagPositions)),
    ...gauge('projection_lag_seconds', seconds(lagMs)),
    ...gauge('subscription_stalled', isStalled === undefined ? undefined : Number(isStalled)),
    ...(group === undefined ? [] : groupGauges(projection, group)),
  ]
}

function groupGauges<P>(
  projection: string,
  { parked, outstanding, consumers }: ConsumerGroup<P>,
): readonly GaugeReading[] {
  const gauge = readingsWith({ projection_name: projection })
  const own = consumers.filter(({ isOwn }) => isOwn)
  return [
    ...gauge('parked_messages', Number(parked)),
    ...gauge('outstanding_messages', outstanding),
    ...gauge('group_consumers', consumers.length),
    ...gauge(
      'consumer_messages_in_hand',
      own.length === 0 ? undefined : own.reduce((sum, { inFlight }) => sum + inFlight, 0),
    ),
  ]
}

/** What the gauges of a watched consumer show now. */
export function consumerGauges({
  consumer,
  exposedPositions,
  lagPositions,
  lagMs,
  ageMs,
  parked,
  place,
}: Pick<WatchedConsumer, 'consumer' | 'exposedPositions' | 'lagPositions'> &
  Partial<Pick<WatchedConsumer, 'lagMs' | 'ageMs' | 'parked' | 'place'>>): readonly GaugeReading[] {
  const gauge = readingsWith({ consumer })
  return [
    ...gauge('consumer_exposed_positions', toNumber(exposedPositions)),
    ...gauge('consumer_lag_positions', toNumber(lagPositions)),
    ...gauge('consumer_lag_seconds', seconds(lagMs)),
    ...gauge('consumer_checkpoint_age_seconds', seconds(ageMs)),
    ...gauge('consumer_parked_events', toNumber(parked)),
    ...PLACES_OUTSIDE_LOG.flatMap((outside) =>
      gauge('consumer_checkpoint_outside_log', place === undefined ? undefined : Number(place === outside), {
        place: outside,
      }),
    ),
  ]
}

/** What the ledger of a watch has of a consumer; nothing where there is none. */
export function recordedGauges(
  consumer: string,
  totalOf: (verdict: LostVerdict) => number | undefined,
): readonly GaugeReading[] {
  const gauge = readingsWith({ consumer })
  return LOST_VERDICTS.flatMap((verdict) =>
    gauge('consumer_lost_events_recorded', totalOf(verdict), { verdict }),
  )
}

function readingsWith(
  common: Labels,
): (gauge: GaugeName, value: number | undefined, own?: Labels) => readonly GaugeReading[] {
  return (gauge, value, own) => (value === undefined ? [] : [{ gauge, value, labels: { ...common, ...own } }])
}

function approximate<P>(
  position: P | undefined,
  toNumber: ((position: P) => number) | undefined,
): number | undefined {
  return position === undefined ? undefined : toNumber?.(position)
}

function toNumber(count: bigint | undefined): number | undefined {
  return count === undefined ? undefined : Number(count)
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / MS_PER_SECOND
}
