import { randomUUID } from 'node:crypto'
import { systemClock } from '../kernel/clock.ts'
import { neverAborted } from '../kernel/deferred.ts'
import { hasCode, InvalidOptionError, OperationPendingError } from '../kernel/errors.ts'
import { requireDeadLetters } from '../ports/capabilities.ts'
import type {
  AnsweredRequest,
  AuditEntry,
  ControlFilter,
  ControlledUnit,
  UnitRequest,
} from '../ports/control.ts'
import type { ListedLate } from '../ports/late-events.ts'
import { isPosition, laterOf, type PositionOrder } from '../ports/position.ts'
import { type Unit, unitName } from '../ports/unit.ts'
import { answerOf } from './answer.ts'
import { choose, describeVersions } from './choice.ts'
import { type DeadLetterOperations, deadLetterOperations } from './dead-letters.ts'
import {
  type Asking,
  type Decide,
  hasSkipped,
  toBe,
  toBeAsked,
  toBeForgotten,
  toBeRetired,
  toBeSkipped,
  toBeWithdrawn,
  toStandAt,
} from './decisions.ts'
import { Evidence, type PassedRun } from './evidence.ts'
import type {
  LateDecisionRequest,
  LateEventsRequest,
  ReprocessRequest,
  SkipsRequest,
} from './evidence-requests.ts'
import {
  type OperationsOptions,
  type ResolvedOperationsOptions,
  resolveOperationsOptions,
} from './options.ts'
import {
  type AuditRequest,
  type MoveRequest,
  type OperationRequest,
  type ResolvedRequest,
  resolveAudit,
  resolveMove,
  resolveRequest,
  resolveSkip,
  resolveUnits,
  type SkipRequest,
  type UnitsRequest,
} from './requests.ts'

/** What an operation has come to. */
export interface Outcome {
  /** `already`: it was so before, and nothing was changed. */
  readonly outcome: 'done' | 'already'
  /**
   * The audit entry of what was done. With `already`, none was written for this call: `undefined`, or, of a request to the node
   * that runs the projection, that of who had asked for it before.
   */
  readonly entry: AuditEntry | undefined
}

/**
 * What operators do to projections, from any process that reaches the checkpoints, whether a daemon runs or not. Each that
 * changes something is one transaction with its audit entry. Asked twice, or by many at once, it is done once; after an error
 * that does not say otherwise, asking again is always right.
 */
export interface Operations<P> {
  /** Every unit that has a checkpoint: where it stands, what is wanted of it, what it has skipped. */
  list(request?: UnitsRequest): Promise<readonly ControlledUnit[]>
  /**
   * When this has resolved, no batch of the projection commits any more, in whatever process, over restarts and deploys, until
   * it is resumed. Waits for the batch at hand. This holds once every daemon is of this version: an earlier one knows no pause.
   */
  pause(request: OperationRequest): Promise<Outcome>
  /** Daemons go on within a second, from the checkpoint as it is then. */
  resume(request: OperationRequest): Promise<Outcome>
  /**
   * Moves the checkpoint of a paused projection. Forward: the events in between are never handled, and counted as skipped
   * (`moved`). Backward: they are handled again, and their dead letters are closed (`replayed`), unless the projection has
   * `effects: 'live_only'`. What handlers have written stays as it is.
   */
  moveTo(request: MoveRequest<P>): Promise<Outcome>
  /**
   * Passes the event at which a projection fails, as if its `onFailure` had answered `'skip'`: a dead letter with who and why,
   * counted as skipped (`apply_error`), with the checkpoint behind it, in one transaction. For a projection that is paused by its
   * own failure, or tries again. The node that runs it does it, within a second; after a start, once it fails there again. The
   * call names the position that was seen to fail: nothing else is skipped. Rejects with `OperationRefusedError` where the
   * projection fails elsewhere, runs, has passed the position, or an operator has paused it. Rejects with
   * `OperationPendingError` after `timeoutMs`: it stays asked for, until it is done or `cancel` withdraws it. Needs `source`.
   */
  skipNext(request: SkipRequest<P>): Promise<Outcome>
  /**
   * Makes that version the live one. The node that runs it does so: at one position of both, it calls `onSwitch` and changes the
   * roles, in one transaction. The version that was live goes on beside it, so that switching back is the same step. It waits
   * until the version has come up to the live one, and stands still for it where it is ahead. Rejects with
   * `OperationRefusedError` where the version is paused or retired, or its handler or `onSwitch` has thrown; nothing was changed
   * then. Rejects with `OperationPendingError` after `timeoutMs`, which says where both stand: it stays asked for, until it is
   * done or `cancel` withdraws it.
   */
  switchTo(request: OperationRequest & { readonly version: number }): Promise<Outcome>
  /**
   * Stops a version that is not live, for good: it stands still as if it were paused, and its row says so. `resume` brings it
   * back beside the live one, from where it stands; `forget` deletes its checkpoint.
   */
  retire(request: OperationRequest): Promise<Outcome>
  /**
   * Deletes the checkpoint of a paused projection, and what it has skipped, and discards its dead letters; the audit stays. For a projection that no daemon has
   * any more: one that still has it begins it anew, from the first event. The live version is kept as long as there is another.
   */
  forget(request: OperationRequest): Promise<Outcome>
  /**
   * The node that runs the projection calls its `reset` and begins it anew from the first event, in one transaction; the batch at
   * hand is finished first. Resolves when that is done; then the events are handled again, and `status()` says how far it is. With
   * no daemon at work, the next one does it when it starts. A paused projection is reset too, and stays paused. What it has
   * skipped before counts no more, and its dead letters are closed (`replayed`), unless it has `effects: 'live_only'`. Rejects with `OperationRefusedError` where it has no `reset`, or that has thrown; nothing was
   * changed then. Rejects with `OperationPendingError` after `timeoutMs`: it stays asked for. Asked again meanwhile, it is the
   * same rebuild; asked after it was done, it is another one.
   */
  rebuild(request: OperationRequest): Promise<Outcome>
  /** Withdraws what was asked of the node that runs the projection and is not done yet; whoever waits for it is told. */
  cancel(request: OperationRequest): Promise<Outcome>
  /** Who has done what, when and why: the newest first. */
  audit(request?: AuditRequest): Promise<readonly AuditEntry[]>
  /** What operators do about events that were given up. */
  readonly deadLetters: DeadLetterOperations
  /**
   * What marks have passed without proof (stale-threshold mode), the newest first: which positions, when, who held them, which
   * projections have passed them since, which events came late, and, with `source`, which are there now. What a policy has
   * given up is not here: that is a dead letter.
   */
  skips(request?: SkipsRequest<P>): Promise<readonly PassedRun[]>
  /** Events that became visible where a mark had passed, the highest position first, and what has become of each. */
  lateEvents(request?: LateEventsRequest<P>): Promise<readonly ListedLate[]>
  /**
   * Late events that are open are handed to their projection's own handler, out of their order, in transactions of their own,
   * by the daemon that runs it: each once, also after a crash. Resolves when all of them are handled or closed, with how many
   * were open, each counted once for each projection. Asked twice, the second waits for the same. What is asked for first has an
   * audit entry, one for each projection. Needs `source`.
   */
  reprocess(request: ReprocessRequest<P>): Promise<number>
  /**
   * Late events that are open are not wanted: nobody is given them any more. Answers how many were open, each counted once for
   * each projection. Who and why are kept with them, and in an audit entry for each projection. Needs `source`.
   */
  discardLateEvents(request: LateDecisionRequest<P>): Promise<number>
}

/**
 * Operations on projections whose checkpoints are in that store.
 *
 * @typeParam P - position
 */
export function createOperations<P = never>(options: OperationsOptions<P>): Operations<P> {
  return new StoreOperations(resolveOperationsOptions(options))
}

class StoreOperations<P> implements Operations<P> {
  readonly deadLetters: DeadLetterOperations
  readonly #evidence: Evidence<P>
  readonly #options: ResolvedOperationsOptions<P>

  constructor(options: ResolvedOperationsOptions<P>) {
    this.#options = options
    this.deadLetters = deadLetterOperations(options.checkpoints, options.control, options.source)
    this.#evidence = new Evidence(options.checkpoints, options.source)
  }

  async skips(request: SkipsRequest<P> = {}): Promise<readonly PassedRun[]> {
    return await this.#evidence.skips(request)
  }

  async lateEvents(request: LateEventsRequest<P> = {}): Promise<readonly ListedLate[]> {
    return await this.#evidence.lateEvents(request)
  }

  async reprocess(request: ReprocessRequest<P>): Promise<number> {
    return await this.#evidence.reprocess(request)
  }

  async discardLateEvents(request: LateDecisionRequest<P>): Promise<number> {
    return await this.#evidence.discard(request)
  }

  async list(request: UnitsRequest = {}): Promise<readonly ControlledUnit[]> {
    const units = await this.#units(resolveUnits(request), neverAborted())
    return [...units].sort(byName)
  }

  async pause(request: OperationRequest): Promise<Outcome> {
    const resolved = resolveRequest(request)
    return await this.#change(resolved, toBe('paused', resolved))
  }

  async resume(request: OperationRequest): Promise<Outcome> {
    const resolved = resolveRequest(request)
    return await this.#change(resolved, toBe('running', resolved))
  }

  async moveTo(request: MoveRequest<P>): Promise<Outcome> {
    const resolved = resolveMove(request)
    const { position, signal } = resolved
    const { name, order } = this.#sourceFor('moveTo')
    if (position !== undefined) requirePosition(order, position)
    const settled = (await this.#options.checkpoints.progress(name, signal))
      .flatMap((stored) => [stored.position, stored.settled])
      .reduce<P | undefined>(
        (furthest, text) => laterOf(order, furthest, text === undefined ? undefined : order.parse(text)),
        undefined,
      )
    return await this.#change(resolved, toStandAt({ order, position, settled }, resolved))
  }

  async skipNext(request: SkipRequest<P>): Promise<Outcome> {
    const resolved = resolveSkip(request)
    const { order } = this.#sourceFor('skipNext')
    const { position } = resolved
    requirePosition(order, position)
    requireDeadLetters('skipNext', this.#options.checkpoints)
    const target = { order, position }
    try {
      return await this.#ask({ operation: 'skip', position: order.format(position) }, resolved, (asked) =>
        toBeSkipped(asked, target),
      )
    } catch (error) {
      if (!hasCode(error, 'TIDEMARK_OPERATION_REFUSED')) throw error
      const { unit } = await this.#unitOf(resolved)
      const entries = await this.audit({ projection: unit.projection })
      const entry = entries.find((each) => hasSkipped(each, unit, target))
      if (entry === undefined) throw error
      return { outcome: 'already', entry }
    }
  }

  #sourceFor(operation: string): NonNullable<OperationsOptions<P>['source']> {
    const { source } = this.#options
    if (source !== undefined) return source
    throw new InvalidOptionError('source', `the EventSource, since ${operation} compares positions`, source)
  }

  async switchTo(request: OperationRequest & { readonly version: number }): Promise<Outcome> {
    const resolved = resolveRequest(request)
    const { projection, version, timeoutMs } = resolved
    if (version === undefined) throw new InvalidOptionError('version', 'the version to switch to', version)
    const { role } = await this.#unitOf(resolved)
    if (role === 'live') return { outcome: 'already', entry: undefined }
    try {
      return await this.#ask({ operation: 'switch' }, resolved)
    } catch (error) {
      if (!hasCode(error, 'TIDEMARK_OPERATION_PENDING')) throw error
      const stand = describeVersions(await this.#units({ projection }, resolved.signal))
      throw new OperationPendingError(unitName({ projection, version }), 'switch', timeoutMs, stand)
    }
  }

  async retire(request: OperationRequest): Promise<Outcome> {
    const resolved = resolveRequest(request)
    return await this.#change(resolved, toBeRetired(resolved))
  }

  async forget(request: OperationRequest): Promise<Outcome> {
    const resolved = resolveRequest(request)
    try {
      const { projection, signal } = resolved
      return await this.#change(resolved, toBeForgotten(resolved, await this.#units({ projection }, signal)))
    } catch (error) {
      if (hasCode(error, 'TIDEMARK_OPERATION_REFUSED') && (await this.#isForgotten(resolved))) {
        return { outcome: 'already', entry: undefined }
      }
      throw error
    }
  }

  async rebuild(request: OperationRequest): Promise<Outcome> {
    return await this.#ask({ operation: 'rebuild' }, resolveRequest(request))
  }

  async cancel(request: OperationRequest): Promise<Outcome> {
    const resolved = resolveRequest(request)
    return await this.#change(resolved, toBeWithdrawn(resolved))
  }

  async audit(request: AuditRequest = {}): Promise<readonly AuditEntry[]> {
    const { control, source } = this.#options
    const filter = { ...resolveAudit(request), ...(source === undefined ? {} : { source: source.name }) }
    return await control.audit(filter, neverAborted())
  }

  async #change(request: ResolvedRequest, decide: Decide): Promise<Outcome> {
    const { unit } = await this.#unitOf(request)
    let isGone = false
    const entry = await this.#options.control.change(
      unit,
      (found) => {
        isGone = found === undefined
        return found && decide(found)
      },
      request,
    )
    // Somebody has forgotten it since it was looked up.
    if (isGone) return await this.#change(request, decide)
    return { outcome: entry === undefined ? 'already' : 'done', entry }
  }

  /** What only a node can do: it is asked, and its audit entry is waited for. */
  async #ask(
    wanted: Pick<UnitRequest, 'operation' | 'position'>,
    request: ResolvedRequest,
    decide: (
      asked: UnitRequest,
      seen: AnsweredRequest | undefined,
    ) => (found: ControlledUnit) => Asking = toBeAsked,
  ): Promise<Outcome> {
    const { control } = this.#options
    const { who, why, timeoutMs, signal } = request
    const sinceMs = systemClock.nowMs()
    const { unit, answered } = await this.#unitOf(request)
    const asking = decide({ id: randomUUID(), ...wanted, who, why }, answered)
    let asked: Asking | undefined
    await control.change(
      unit,
      (found) => {
        asked = found && asking(found)
        return asked?.change
      },
      request,
    )
    // Somebody has forgotten it since it was looked up.
    if (asked === undefined) return await this.#ask(wanted, request, decide)
    const { operation } = wanted
    const leftMs = Math.max(0, sinceMs + timeoutMs - systemClock.nowMs())
    const entry = await answerOf({ control, unit, operation, id: asked.id, timeoutMs, leftMs, signal })
    return { outcome: asked.change === undefined ? 'already' : 'done', entry }
  }

  /** Whether that was the last that was done to it, and it is not there again. */
  async #isForgotten({ projection, version, signal }: ResolvedRequest): Promise<boolean> {
    const isIt = ({ unit }: { readonly unit: Unit }): boolean =>
      version === undefined || unit.version === version
    const units = await this.#units({ projection }, signal)
    const entries = await this.audit({ projection })
    return !units.some(isIt) && entries.find(isIt)?.operation === 'forget'
  }

  /** Throws `OperationRefusedError`, which says what there is, where it is not one. */
  async #unitOf({ projection, version, signal }: ResolvedRequest): Promise<ControlledUnit> {
    const units = await this.#units({}, signal)
    return choose(units, { projection, version, source: this.#options.source?.name })
  }

  async #units(filter: ControlFilter, signal: AbortSignal): Promise<readonly ControlledUnit[]> {
    const { control, source } = this.#options
    return await control.units(
      { ...filter, ...(source === undefined ? {} : { source: source.name }) },
      signal,
    )
  }
}

function requirePosition<P>(order: PositionOrder<P>, position: P): void {
  if (!isPosition(order, position)) {
    throw new InvalidOptionError('position', 'a position of the source', position)
  }
}

function byName({ unit: a }: ControlledUnit, { unit: b }: ControlledUnit): number {
  if (a.projection !== b.projection) return a.projection < b.projection ? -1 : 1
  return a.version - b.version || a.slots.from - b.slots.from
}
