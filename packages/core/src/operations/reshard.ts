import { systemClock } from '../kernel/clock.ts'
import { neverAborted } from '../kernel/deferred.ts'
import { OperationRefusedError } from '../kernel/errors.ts'
import { lookRepeatedly } from '../kernel/repeated-look.ts'
import type { AuditEntry, ControlledUnit, Gathering, OperatorControl, Resharding } from '../ports/control.ts'
import type { PositionOrder } from '../ports/position.ts'
import { bySlots } from '../ports/slot.ts'
import { type Unit, versionName } from '../ports/unit.ts'
import { requireOnlyVersion } from './choice.ts'
import type { NewShards } from './new-shards.ts'
import type { ResolvedRequest } from './requests.ts'
import { describeApart, toBeResharded } from './resharding.ts'

type Version = Pick<Unit, 'projection' | 'version'>

interface Resharder<P> {
  readonly control: Pick<OperatorControl, 'units'> & Required<Pick<OperatorControl, 'reshard' | 'holdBounds'>>
  /** `undefined`: it is not known how positions are compared. */
  readonly order: PositionOrder<P> | undefined
}

const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 250
/** So long shards stand still after whoever has asked was killed. */
const BOUND_MS = 5_000
const HOLD_EVERY_MS = 1_000

/**
 * Cuts a version into other shards. Rows are replaced by one transaction that has locked all of them, and only where those of one new
 * shard stand at one position: that alone keeps events from being missed or handled twice. Where they stand apart, a transaction before
 * it bounds them: none passes the furthest, and those behind come up to it. The bounds hold for some seconds, by the clock of the store,
 * and for longer as long as this waits. Nothing rests on them: where one is not heeded, or is over too soon, the shards do not meet, and
 * stay as they are. So whatever ends this in between has changed nothing.
 */
export async function reshardVersion<P>(
  { control, order }: Resharder<P>,
  version: Version,
  wanted: NewShards,
  request: ResolvedRequest,
): Promise<readonly AuditEntry[]> {
  const { timeoutMs, signal } = request
  const untilMs = systemClock.nowMs() + timeoutMs
  const over = new AbortController()
  let isGathering = false
  let holding: Promise<void> | undefined
  try {
    for (;;) {
      const leftMs = Math.max(1, untilMs - systemClock.nowMs())
      const decide = toBeResharded(wanted, request, { order, forMs: BOUND_MS })
      let change: Resharding | Gathering | undefined
      const deciding = (found: readonly ControlledUnit[], versions: readonly number[]) => {
        // Not before: another one may begin until the rows are locked.
        requireOnlyVersion(version.projection, versions)
        change = decide(found)
        // Whether its answer comes back or not.
        isGathering ||= isGather(change)
        return change
      }
      const entries = await control.reshard(version, deciding, { timeoutMs: leftMs, signal })
      if (!isGather(change)) {
        // Rows that were made of those have no bounds.
        isGathering &&= change === undefined
        return entries
      }
      holding ??= hold(control, version, over.signal)
      await untilTogether({ control, order }, version, wanted, { timeoutMs, untilMs, signal })
    }
  } finally {
    over.abort()
    await holding
    if (isGathering) await letGo(control, version)
  }
}

/** Until the signal fires. One time that fails is made good by the next: the bounds hold for several. */
async function hold(
  control: Resharder<never>['control'],
  version: Version,
  over: AbortSignal,
): Promise<void> {
  const look = () => control.holdBounds(version, BOUND_MS, over)
  await lookRepeatedly({ look, everyMs: HOLD_EVERY_MS, clock: systemClock, warn: () => {} }, over)
}

function isGather(change: Resharding | Gathering | undefined): change is Gathering {
  return change !== undefined && 'bounds' in change
}

/** Resolves once they have met, or nothing binds them any more. Locks nothing: whoever comes up is not held up by who waits for it. */
async function untilTogether<P>(
  { control, order }: Resharder<P>,
  version: Version,
  wanted: NewShards,
  {
    timeoutMs,
    untilMs,
    signal,
  }: Pick<ResolvedRequest, 'timeoutMs' | 'signal'> & { readonly untilMs: number },
): Promise<void> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
    const units = await control.units({ projection: version.projection }, signal)
    const found = units
      .filter(({ unit }) => unit.version === version.version)
      .toSorted((a, b) => bySlots(a.unit.slots, b.unit.slots))
    const apart = describeApart(wanted, found, order)
    if (apart === undefined) return
    if (systemClock.nowMs() >= untilMs) {
      throw new OperationRefusedError(
        versionName(version),
        `what is to be one shard has not come together within ${timeoutMs} ms: ${apart}. Those behind have to come up to the furthest, ` +
          'which waits for them: see that they are worked on, and give it a longer timeoutMs where they are far behind',
      )
    }
    // Somebody has let them go, or has replaced them.
    if (found.every(({ bound }) => bound === undefined)) return
    await systemClock.sleep(pauseMs, signal)
    signal.throwIfAborted()
  }
}

/** What cannot be told ends by itself. */
async function letGo(control: Resharder<never>['control'], version: Version): Promise<void> {
  await control.holdBounds(version, 0, neverAborted()).catch(() => {})
}
