import { OperationRefusedError } from '../kernel/errors.ts'
import {
  type AnsweredRequest,
  type AuditEntry,
  type ControlledUnit,
  type DesiredState,
  type OperationName,
  type PendingRequest,
  UNKNOWN_DECISION,
  type UnitChange,
  type UnitRequest,
} from '../ports/control.ts'
import { furthestAsLive } from '../ports/furthest.ts'
import { isReached, type PositionOrder } from '../ports/position.ts'
import type { Role, SkipTotals } from '../ports/stored-unit.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'
import { requireNoneLeft } from './choice.ts'

/** Who asks for something, and why. */
export interface Asker {
  readonly who: string
  readonly why: string
}

/** `undefined`: it is so already. */
export type Decide = (found: ControlledUnit) => UnitChange | undefined

/** Pure, as all that follow: decided on the row as it stands, with nobody else changing it. */
export function toBe(desired: DesiredState, asker: Asker): Decide {
  const operation: OperationName = desired === 'paused' ? 'pause' : 'resume'
  return (found) => {
    if (found.desired === desired) return undefined
    // A retired one is back beside the live one.
    const role = found.role === 'live' ? 'live' : 'beside'
    return { operation, ...asker, to: { ...found, desired, role: desired === 'paused' ? found.role : role } }
  }
}

/** Stands still until it is forgotten, or resumed. What readers use does not. */
export function toBeRetired(asker: Asker): Decide {
  return (found) => {
    const { role, unit, asked } = found
    if (role === 'retired') return undefined
    if (asked !== undefined) throw isPending(unit, asked)
    if (role === 'live') {
      throw new OperationRefusedError(
        unitName(unit),
        'it is the live version, which readers use; switch to another version first',
      )
    }
    return { operation: 'retire', ...asker, to: { ...found, role: 'retired', desired: 'paused' } }
  }
}

export interface Target<P> {
  readonly order: PositionOrder<P>
  readonly position: P | undefined
  /** How far the source was proven, as far as the store remembers. */
  readonly settled: P | undefined
}

/** Only a paused unit is moved: it stays where it was put, so that whoever asks twice has moved it once. */
export function toStandAt<P>({ order, position, settled }: Target<P>, asker: Asker): Decide {
  const to = position === undefined ? undefined : order.format(position)
  return (found) => {
    requirePaused(found, 'is moved')
    if (found.position === to) return undefined
    if (!isReached(order, position, settled)) {
      const furthest = settled === undefined ? 'nothing is' : `the furthest is ${order.format(settled)}`
      throw new OperationRefusedError(
        unitName(found.unit),
        `${to} is not known to be settled (${furthest}), and events may still appear below it`,
      )
    }
    const from = found.position === undefined ? undefined : order.parse(found.position)
    const skipped = withMoved(order, found.skipped, from, position)
    const isBack = isReached(order, position, from)
    const furthest = isBack ? furthestAsLive(order, found) : found.furthest
    const change = { operation: 'move', ...asker, to: { ...found, position: to, skipped, furthest } } as const
    // What is for readers once is not handled again.
    if (!isBack || found.effects !== 'always') return change
    const why = `the checkpoint was moved back to ${to ?? 'before the first event'}: ${asker.why}`
    return {
      ...change,
      closes: {
        isMeant: ({ firstPosition }) => !isReached(order, order.parse(firstPosition), position),
        closing: { as: 'replayed', who: asker.who, why },
      },
    }
  }
}

/** What a move forward leaves out is counted, where the positions of the source are numbers without holes. */
function withMoved<P>(
  order: PositionOrder<P>,
  skipped: SkipTotals,
  from: P | undefined,
  to: P | undefined,
): SkipTotals {
  if (to === undefined || order.distance === undefined || isReached(order, to, from)) return skipped
  // Dense positions are integers, of which a sequence hands out 1 first.
  const count = order.distance(from ?? order.parse('0'), to)
  return { ...skipped, moved: (skipped.moved ?? 0n) + count }
}

/** What a daemon still has would begin anew: a unit is paused first, so that nobody forgets one by a slip. */
export function toBeForgotten(asker: Asker, versions: readonly ControlledUnit[]): Decide {
  return (found) => {
    requireNoneLeft(versions, found)
    requirePaused(found, 'is forgotten')
    const closing = {
      as: 'discarded',
      who: asker.who,
      why: `the projection was forgotten: ${asker.why}`,
    } as const
    return { operation: 'forget', ...asker, to: undefined, closes: { isMeant: () => true, closing } }
  }
}

/** Throws `OperationRefusedError`. */
export function requirePaused(found: ControlledUnit, what: string): void {
  if (found.desired !== 'paused') throw notPaused(found, what)
}

function notPaused({ unit, position }: ControlledUnit, what: string): OperationRefusedError {
  return new OperationRefusedError(
    unitName(unit),
    `it runs, at ${position ?? 'no position yet'}; pause it before it ${what}`,
  )
}

export function isPending(unit: Unit, { operation, who, why }: PendingRequest): OperationRefusedError {
  return new OperationRefusedError(
    unitName(unit),
    `a ${operation} is pending, which ${who} has asked for (${why}); wait until it is done, or cancel it`,
  )
}

/** The request that is waited for, and what is changed for it. */
export interface Asking {
  readonly id: string
  readonly change: UnitChange | undefined
}

/** `seen`: what had ended when it was begun to ask. What has ended since then was asked for at the same time. */
export function toBeAsked(
  request: UnitRequest,
  seen: AnsweredRequest | undefined,
): (found: ControlledUnit) => Asking {
  return ({ unit, role, desired, asked, answered }) => {
    if (asked !== undefined && asked.operation !== request.operation) {
      throw isPending(unit, asked)
    }
    if (asked !== undefined) return { id: asked.id, change: undefined }
    if (request.operation === 'switch') requireFollowing(unit, role, desired)
    const isSame = answered?.operation === request.operation
    if (isSame && answered.id !== seen?.id) return { id: answered.id, change: undefined }
    return { id: request.id, change: { ask: request } }
  }
}

/** What has passed is not skipped again, whoever asks late; nor what would be handled later. */
export function toBeSkipped<P>(
  request: UnitRequest,
  { order, position }: Pick<Target<P>, 'order' | 'position'>,
): (found: ControlledUnit) => Asking {
  return (found) => {
    const { unit, asked, desired, decision } = found
    const at = found.position
    if (asked !== undefined && (asked.operation !== 'skip' || asked.position !== request.position)) {
      throw isPending(unit, asked)
    }
    if (asked !== undefined) return { id: asked.id, change: undefined }
    if (isReached(order, position, at === undefined ? undefined : order.parse(at))) {
      throw new OperationRefusedError(
        unitName(unit),
        `${request.position} has passed, its checkpoint is ${at}`,
      )
    }
    if (desired === 'paused') {
      const { who, why } = decision ?? UNKNOWN_DECISION
      throw new OperationRefusedError(
        unitName(unit),
        `${who} has paused it (${why}); resume it, or move it over ${request.position} by moveTo`,
      )
    }
    return { id: request.id, change: { ask: request } }
  }
}

/** Whether it was that entry which has passed the position. */
export function hasSkipped<P>(
  { unit, operation, refused, before, after }: AuditEntry,
  of: Unit,
  { order, position }: { readonly order: PositionOrder<P>; readonly position: P },
): boolean {
  if (operation !== 'skip' || refused !== undefined || unitKey(unit) !== unitKey(of)) return false
  const [from, to] = [before.position, after?.position].map((at) =>
    at === undefined ? undefined : order.parse(at),
  )
  return isReached(order, position, to) && !isReached(order, position, from)
}

function requireFollowing(unit: Unit, role: Role, desired: DesiredState): void {
  if (desired === 'running') return
  const state = role === 'retired' ? 'retired' : 'paused'
  throw new OperationRefusedError(
    unitName(unit),
    `it is ${state}; resume it before it becomes the live version`,
  )
}

/** Nothing is asked of the unit any more. */
export function toBeWithdrawn(asker: Asker): Decide {
  return (found) => {
    const { asked } = found
    if (asked === undefined) return undefined
    const { id, operation } = asked
    return { operation: 'cancel', ...asker, to: found, ends: { id, operation } }
  }
}
