import { LOST_VERDICTS } from '../ports/lost-events.ts'
import { SKIP_REASONS } from '../ports/stored-unit.ts'
import { ACKNOWLEDGE_ACTIONS } from '../subscription/status.ts'
import { CONSUMER, type Instrument, OUTCOMES, PROJECTION, SOURCE } from './instrument.ts'

export type CounterName =
  | 'skipped_events'
  | 'late_events'
  | 'processed_events'
  | 'proven_empty_positions'
  | 'gaps_closed'
  | 'handler_errors'
  | 'checkpoint_conflicts'
  | 'lease_grants'
  | 'polls'
  | 'telemetry_errors'
  | 'delivered_events'
  | 'acknowledged_events'
  | 'subscription_drops'
  | 'consumer_lost_events'

export const COUNTERS: Readonly<Record<CounterName, Instrument>> = {
  skipped_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    // What an operator passes on purpose is no loss.
    labels: { ...PROJECTION, reason: SKIP_REASONS.filter((reason) => reason !== 'moved') },
    help: 'Positions that a projection passed without proof, or events that it passed without handling them. Data may be lost.',
    usedBy: ['dashboard', 'alert'],
  },
  late_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Events that became visible where a projection had passed without them. It has missed them until they are handled.',
    usedBy: ['dashboard', 'alert'],
  },
  processed_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Events handled and checkpointed; of a wrapped subscription, events whose consumer came back for the next, or whose handler resolved.',
    usedBy: ['dashboard', 'alert'],
  },
  proven_empty_positions: {
    kind: 'counter',
    unit: '{position}',
    scope: 'store',
    aggregator: 'max',
    labels: SOURCE,
    help: 'Positions proven never to hold an event: rolled back, or lost in a crash. Not a loss.',
    usedBy: ['dashboard'],
  },
  gaps_closed: {
    kind: 'counter',
    unit: '{gap}',
    scope: 'store',
    aggregator: 'max',
    labels: { ...SOURCE, outcome: OUTCOMES },
    help: 'Gaps that the mark has passed, by how.',
    usedBy: ['dashboard'],
  },
  handler_errors: {
    kind: 'counter',
    unit: '{error}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, action: ['retry', 'pause', 'skip'] },
    help: 'Failures of handlers and mappings, by what followed. Each halving of a batch is a retry.',
    usedBy: ['dashboard'],
  },
  checkpoint_conflicts: {
    kind: 'counter',
    unit: '{conflict}',
    scope: 'process',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Times that another owner held or had moved the checkpoint. A few at a deploy are normal.',
    usedBy: ['dashboard', 'alert'],
  },
  lease_grants: {
    kind: 'counter',
    unit: '{grant}',
    scope: 'process',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Times that this node was given a projection by lease. Many without a deploy: nodes come and go, or one is held up.',
    usedBy: ['dashboard'],
  },
  polls: {
    kind: 'counter',
    unit: '{poll}',
    scope: 'store',
    aggregator: 'max',
    labels: { ...SOURCE, outcome: ['moved', 'unchanged', 'failed'] },
    help: 'Polls of the store.',
    usedBy: ['dashboard', 'alert'],
  },
  telemetry_errors: {
    kind: 'counter',
    unit: '{error}',
    scope: 'process',
    aggregator: 'sum',
    labels: {},
    help: 'Errors thrown by telemetry itself; the work went on.',
    usedBy: ['dashboard'],
  },
  delivered_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: PROJECTION,
    help: 'Events that a wrapped subscription handed over, processed or not.',
    usedBy: ['dashboard'],
  },
  acknowledged_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, action: ACKNOWLEDGE_ACTIONS },
    help: 'Events of a wrapped persistent subscription, by what its consumer said of them: ack, or the action of the nack.',
    usedBy: ['dashboard'],
  },
  subscription_drops: {
    kind: 'counter',
    unit: '{drop}',
    scope: 'projection',
    aggregator: 'sum',
    labels: { ...PROJECTION, reason: 'named by the source' },
    help: 'Wrapped subscriptions that ended though nobody unsubscribed, by the type of the error; `silent_end` is one that came without an error.',
    usedBy: ['dashboard', 'alert'],
  },
  consumer_lost_events: {
    kind: 'counter',
    unit: '{event}',
    scope: 'store',
    aggregator: 'max',
    labels: { ...CONSUMER, verdict: LOST_VERDICTS },
    help: 'Events that became visible after a watched consumer had passed them: a lower bound. Events that a handler under monitorHandler was never given: all of them. `passed`: nobody has said whether it handles their types.',
    usedBy: ['dashboard', 'alert'],
  },
}
