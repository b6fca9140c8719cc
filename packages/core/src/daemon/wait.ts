import type { HighWaterAgent } from '../high-water/agent.ts'
import type { Clock } from '../kernel/clock.ts'
import { untilAborted, whenAborted } from '../kernel/deferred.ts'
import {
  InvalidOptionError,
  messageOf,
  ProjectionPausedError,
  WaitFailedError,
  WaitTimeoutError,
} from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireAbove0 } from '../kernel/validation.ts'
import type { Decision } from '../ports/control.ts'
import type { HighWaterReading } from '../ports/event-source.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Role } from '../ports/stored-unit.ts'
import type { Unit } from '../ports/unit.ts'
import { type DealtTo, type LeaseStatus, type ProjectionState, whereDealt } from '../projection/status.ts'

export interface WaitUntilProjectedOptions<P> {
  /**
   * The position that is to be projected.
   * - Change it when: you know which one you wait for, as after an append. Then nobody else's events are waited for.
   * @default what the store has handed out when this is called
   */
  readonly upTo?: P
  /**
   * Names of the projections that are waited for. Of several versions of one name it is the live one; where this daemon runs
   * none that is live, it is the one that is beside.
   * - Change it when: you read what only some of them write: the slowest of all is then not waited for.
   * @default every projection
   */
  readonly projections?: readonly string[]
  /**
   * Ends the wait, which rejects with the signal's reason.
   * - Change it when: who asked may go away meanwhile, as the client of a request.
   * @default none
   */
  readonly signal?: AbortSignal
  /**
   * How long to wait before it rejects with a `WaitTimeoutError`.
   * - Raising it: whoever waits is kept for longer behind a projection that has stopped.
   * - Lowering it: more waits end before their event was handled.
   * - Change it when: somebody waits for the answer, as in a request.
   * @default no limit
   */
  readonly timeoutMs?: number
}

const WAIT_OPTIONS: Readonly<Record<keyof WaitUntilProjectedOptions<unknown>, true>> = {
  upTo: true,
  projections: true,
  signal: true,
  timeoutMs: true,
}

/** A projection, as far as a wait looks at it. */
interface Awaited<P> {
  readonly name: string
  readonly unit: Unit
  readonly state: ProjectionState
  readonly dealtTo: DealtTo | undefined
  readonly lease: LeaseStatus | undefined
  readonly shown: {
    readonly error: unknown
    readonly pausedBy: Decision | undefined
    readonly role: Role | undefined
  }
  /** How far it has seen of that incarnation. */
  cursorIn(incarnation: string): P | undefined
  hurry(): void
}

interface WaitParts<P> {
  /** They change with the shards of projections. */
  readonly units: () => readonly Awaited<P>[]
  readonly agent: HighWaterAgent<P>
  readonly order: PositionOrder<P>
  readonly clock: Clock
  /** Resolves at the next change of a projection. */
  readonly nextChange: () => Promise<void>
}

/** See `Daemon.waitUntilProjected`. */
export async function waitUntilProjected<P>(
  parts: WaitParts<P>,
  options: WaitUntilProjectedOptions<P>,
): Promise<void> {
  requireKnownOptions(options, WAIT_OPTIONS)
  const { upTo, timeoutMs, signal } = options
  const units = (): readonly Awaited<P>[] => select(parts.units(), options.projections)
  const asked = units()
  if (timeoutMs !== undefined) requireAbove0('timeoutMs', timeoutMs)
  signal?.throwIfAborted()
  for (const unit of asked) unit.hurry()
  const over = new AbortController()
  const given = whenAborted(signal)
  void given.promise.then(() => over.abort(signal?.reason))
  if (timeoutMs !== undefined) {
    void parts.clock.sleep(timeoutMs, over.signal).then(() => {
      over.abort(new WaitTimeoutError(`not projected within ${timeoutMs} ms: ${describe(units())}`))
    })
  }
  try {
    const chosen = { ...parts, units }
    await Promise.race([untilProjected(chosen, upTo, over.signal), untilFailed(chosen, over.signal)])
  } finally {
    over.abort()
    given.dispose()
  }
}

async function untilProjected<P>(
  parts: WaitParts<P>,
  upTo: P | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { agent } = parts
  let asked = upTo === undefined ? await agent.freshReading({ signal }) : undefined
  const first = upTo ?? asked?.head
  // So that polls hurry until then. Why they do not come that far, `untilFailed` tells.
  if (first !== undefined) agent.waitFor(first, { signal }).catch(() => {})
  for (;;) {
    signal.throwIfAborted()
    const now = agent.reading
    // Positions that another incarnation has handed out may never be handed out again.
    if (asked && now && now.incarnation !== asked.incarnation) asked = now
    if (now && isProjected(parts, upTo ?? asked?.head, now)) return
    await nextChange(parts, signal)
  }
}

function isProjected<P>(
  { units, order }: WaitParts<P>,
  target: P | undefined,
  { settled, mark, incarnation }: HighWaterReading<P>,
): boolean {
  if (!isReached(order, target, settled)) return false
  // The last visible event at or below the target: a rolled-back tail is never projected.
  const goal = isReached(order, target, mark) ? target : mark
  return servingUnits(units()).every((unit) => isReached(order, goal, unit.cursorIn(incarnation)))
}

async function untilFailed<P>(parts: WaitParts<P>, signal: AbortSignal): Promise<never> {
  for (;;) {
    signal.throwIfAborted()
    requireRunning(parts)
    await nextChange(parts, signal)
  }
}

function requireRunning<P>({ agent, units }: WaitParts<P>): void {
  const highWater = agent.status()
  if (highWater.state === 'halted') {
    throw new WaitFailedError(`polling is halted: ${messageOf(highWater.error)}`, { cause: highWater.error })
  }
  for (const { name, state, shown } of servingUnits(units())) {
    if (state !== 'paused' && state !== 'stopped') continue
    const { error, pausedBy } = shown
    if (state === 'paused' && pausedBy !== undefined) {
      const cause = new ProjectionPausedError(name, pausedBy)
      throw new WaitFailedError(cause.message, { cause })
    }
    const why = error === undefined ? '' : `: ${messageOf(error)}`
    throw new WaitFailedError(`projection "${name}" is ${state}${why}`, { cause: error })
  }
}

function nextChange<P>({ agent, nextChange }: WaitParts<P>, signal: AbortSignal): Promise<void> {
  return untilAborted(Promise.race([nextChange(), agent.nextChange()]), signal)
}

function select<P>(
  units: readonly Awaited<P>[],
  names: readonly string[] | undefined,
): readonly Awaited<P>[] {
  if (names === undefined) return units
  return names.flatMap((name) => {
    const ofName = units.filter(({ unit }) => unit.projection === name)
    if (ofName.length === 0) {
      throw new InvalidOptionError('projections', 'names of projections of this daemon', name)
    }
    return ofName
  })
}

/** Of each name the version that its readers use, or what comes next to it. Roles change while somebody waits. */
function servingUnits<P>(units: readonly Awaited<P>[]): readonly Awaited<P>[] {
  return units.filter((one) =>
    units.every((other) => other.unit.projection !== one.unit.projection || rankOf(other) >= rankOf(one)),
  )
}

/** One whose checkpoint was not read yet may be live. */
const rankOf = ({ shown: { role = 'live' } }: Awaited<unknown>): number => RANKS[role]
const RANKS: Readonly<Record<Role, number>> = { live: 0, beside: 1, retired: 2 }

function describe<P>(units: readonly Awaited<P>[]): string {
  return servingUnits(units)
    .map(({ name, state, shown, dealtTo, lease }) => {
      const why = state === 'retrying' ? ` (${messageOf(shown.error)})` : ''
      const elsewhere = whereDealt(dealtTo, lease)
      return `"${name}" is ${state}${why}${elsewhere === undefined ? '' : `, ${elsewhere}`}`
    })
    .join(', ')
}
