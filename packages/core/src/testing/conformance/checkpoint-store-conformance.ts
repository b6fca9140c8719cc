import { STORE_CAPABILITIES, type StoreCapability } from '../../ports/capabilities.ts'
import { CONTROL_RULES } from './checkpoint-store/control.ts'
import { DAEMON_RULES } from './checkpoint-store/daemons.ts'
import { DEAD_LETTER_RULES } from './checkpoint-store/dead-letters.ts'
import { FAILURE_RULES } from './checkpoint-store/failures.ts'
import type {
  CheckpointStoreCapability,
  CheckpointStoreFixture,
  CheckpointStoreRule,
} from './checkpoint-store/fixture.ts'
import { LATE_EVENT_RULES } from './checkpoint-store/late-events.ts'
import { LEASE_RULES } from './checkpoint-store/leases.ts'
import { LOST_EVENT_RULES } from './checkpoint-store/lost-events.ts'
import { MOVE_RULES } from './checkpoint-store/moves.ts'
import { NODE_RULES } from './checkpoint-store/nodes.ts'
import { OWNER_RULES } from './checkpoint-store/owners.ts'
import { PROGRESS_RULES } from './checkpoint-store/progress.ts'
import { ROLE_RULES } from './checkpoint-store/roles.ts'
import { SHARD_RULES } from './checkpoint-store/shards.ts'
import { SIGNAL_RULES } from './checkpoint-store/signals.ts'
import { SKIP_RULES } from './checkpoint-store/skips.ts'
import { TENURE_RULES } from './checkpoint-store/tenures.ts'
import { TEXT_RULES } from './checkpoint-store/texts.ts'
import { UNIT_RULES } from './checkpoint-store/units.ts'
import { type ConformanceOptions, type ConformanceSuite, conformanceSuite } from './suite.ts'

/** All that there are, for a store that can do everything, or a table of what yours cannot. */
export const CHECKPOINT_STORE_CAPABILITIES: readonly CheckpointStoreCapability[] = [
  ...(Object.keys(STORE_CAPABILITIES) as StoreCapability[]),
  'transactional_effects',
  'locks',
  'stalls',
]

const RULES: readonly CheckpointStoreRule[] = [
  ...MOVE_RULES,
  ...UNIT_RULES,
  ...OWNER_RULES,
  ...TEXT_RULES,
  ...PROGRESS_RULES,
  ...SKIP_RULES,
  ...CONTROL_RULES,
  ...ROLE_RULES,
  ...DEAD_LETTER_RULES,
  ...LATE_EVENT_RULES,
  ...LOST_EVENT_RULES,
  ...TENURE_RULES,
  ...LEASE_RULES,
  ...NODE_RULES,
  ...FAILURE_RULES,
  ...SHARD_RULES,
  ...SIGNAL_RULES,
  ...DAEMON_RULES,
]

/**
 * What `CheckpointStore` promises, as cases for any test runner; see `eventSourceConformance`. Throws
 * `InvalidOptionError` for an option that is not valid, such as an unknown capability.
 */
export function checkpointStoreConformance<Tx>(
  options: ConformanceOptions<CheckpointStoreFixture<Tx>, CheckpointStoreCapability>,
): ConformanceSuite<CheckpointStoreCapability> {
  return conformanceSuite<CheckpointStoreFixture<Tx>, CheckpointStoreCapability>(
    RULES,
    CHECKPOINT_STORE_CAPABILITIES,
    options,
  )
}
