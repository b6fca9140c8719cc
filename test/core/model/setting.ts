import { OPERATIONS, type Operation } from './operations.ts'
import type { Random } from './random.ts'
import type { WorldSetting } from './world.ts'

export interface Setting extends WorldSetting {
  readonly steps: number
  /** How often each operation is drawn; each history leaves some out and does others more often. */
  readonly weights: Readonly<Record<Operation, number>>
}

export function drawSetting(random: Random): Setting {
  const checkpointsElsewhere = random.chance(0.5)
  const unseenRestarts = random.chance(0.15)
  return {
    start: random.pick([1, 1, 0, -1, -7, -40]) ?? 1,
    logAhead: random.pick([0, 1, 3, 8, 32]) ?? 32,
    window: 1 + random.below(random.chance(0.5) ? 3 : 20),
    page: 1 + random.below(5),
    beginsWithoutWindow: random.chance(0.5),
    checkpointsElsewhere,
    ownsCheckpoints: !checkpointsElsewhere,
    savesSettled: random.chance(0.65),
    pooled: random.chance(0.4),
    unseenRestarts,
    unreadableFact: !unseenRestarts && random.chance(0.08),
    asynchronous: random.pick([0, 0.3, 1, 1]) ?? 0,
    projections: random.chance(0.3) ? 2 : 1,
    steps: 100 + random.below(300),
    weights: drawWeights(random, checkpointsElsewhere || unseenRestarts),
  }
}

/** Each of them flushes the log, whatever commits do. */
const FLUSHING: readonly Operation[] = [
  'flush',
  'checkpoint',
  'prepare',
  'finishPrepared',
  'restart',
  'restartWithCopy',
]

function drawWeights(random: Random, withoutCopies: boolean): Record<Operation, number> {
  const weights = {} as Record<Operation, number>
  for (const operation of Object.keys(OPERATIONS) as Operation[]) {
    const { weight, optional } = OPERATIONS[operation]
    weights[operation] = optional && random.chance(0.35) ? 0 : weight * 0.25 * 12 ** random.next()
  }
  // A crash then takes back much.
  if (random.chance(0.3)) for (const operation of FLUSHING) weights[operation] *= 0.1
  // A copy put back under checkpoints kept elsewhere is for the operator to decide; an unseen one no daemon can see.
  if (withoutCopies) weights.restoreCopy = 0
  return weights
}
