import { AGREEMENT_RULES } from './event-source/agreement.ts'
import { CHANGE_RULES } from './event-source/changes.ts'
import type { EventSourceCapability, EventSourceFixture, EventSourceRule } from './event-source/fixture.ts'
import { OPEN_TRANSACTION_RULES } from './event-source/open-transactions.ts'
import { PAGE_RULES } from './event-source/pages.ts'
import { POLL_RULES } from './event-source/polls.ts'
import { POSITION_RULES } from './event-source/positions.ts'
import { SIGNAL_RULES } from './event-source/signals.ts'
import { type ConformanceOptions, type ConformanceSuite, conformanceSuite } from './suite.ts'

/** All that there are, for a store that can do everything, or a table of what yours cannot. */
export const EVENT_SOURCE_CAPABILITIES: readonly EventSourceCapability[] = [
  'dense_positions',
  'type_filter',
  'append_times',
  'wake_ups',
  'open_transactions',
  'deletes',
  'stalls',
  'incarnations',
  'rewinds',
]

const RULES: readonly EventSourceRule[] = [
  ...POSITION_RULES,
  ...POLL_RULES,
  ...PAGE_RULES,
  ...SIGNAL_RULES,
  ...OPEN_TRANSACTION_RULES,
  ...CHANGE_RULES,
  ...AGREEMENT_RULES,
]

/**
 * What `EventSource` promises, as cases for any test runner.
 *
 * ```ts
 * const { cases, leftOut } = eventSourceConformance({ make, capabilities: ['type_filter'] })
 * for (const { name, run } of cases) test(name, run)
 * for (const { name, needs } of leftOut) test.skip(`${name} (${needs})`)
 * ```
 *
 * Throws `InvalidOptionError` for an option that is not valid, such as an unknown capability.
 */
export function eventSourceConformance<P, E>(
  options: ConformanceOptions<EventSourceFixture<P, E>, EventSourceCapability>,
): ConformanceSuite<EventSourceCapability> {
  return conformanceSuite<EventSourceFixture<P, E>, EventSourceCapability>(
    RULES,
    EVENT_SOURCE_CAPABILITIES,
    options,
  )
}
