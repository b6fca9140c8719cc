import { randomUUID } from 'node:crypto'
import { systemClock } from '../kernel/clock.ts'
import { neverAborted } from '../kernel/deferred.ts'
import {
  hasCode,
  InvalidOptionError,
  OperationPendingError,
  OperationRefusedError,
  UnsupportedByStoreError,
} from '../kernel/errors.ts'
import { requireDeadLetters } from '../ports/capabilities.ts'
import type {
  AnsweredRequest,
  AuditEntry,
  ControlFilter,
  ControlledUnit,
  UnitRequest,
} from '../ports/control.ts'
import type { UnitFailure } from '../ports/failures.ts'
import type { ListedLate } from '../ports/late-events.ts'
import { isPosition, laterOf, type PositionOrder } from '../ports/position.ts'
import { type Unit, unitKey, unitName } from '../ports/unit.ts'
import { answerOf } from './answer.ts'
import { choose, describeVersions, requireOneShard } from './choice.ts'
import { type DeadLetterOperations, deadLetterOperations } from './dead-letters.ts'
import {
  type Asking,
  type Decide,
  hasSkipped,
  requirePaused,
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
import { halvesOf, joinedTo, type NewShards, ofNumber } from './new-shards.ts'
import { type NodeOperations, nodeOperations } from './nodes.ts'
import {
  type OperationsOptions,
  type ResolvedOperationsOptions,
  resolveOperationsOptions,
} from './options.ts'
import {
  type AuditRequest,
  type MoveRequest,
  type OperationRequest,
  type ReshardRequest,
  type ResolvedRequest,
  resolveAudit,
  resolveMove,
  resolveRequest,
  resolveReshard,
  resolveShard,
  resolveSkip,
  resolveUnits,
  type ShardRequest,
  type SkipRequest,
  type UnitsRequest,
} from './requests.ts'
import { reshardVersion } from './reshard.ts'

/** What an operation has come to. */
export interface Outcome {
  /** `already`: it was so before, and nothing was changed. */
  readonly outcome: 'done' | 'already'
  /**
   * The audit entry of what was done. With `already`, none was written for this call: `undefined`, or, of a request to the node
   * that runs the projection, that of who had asked for it before. Each shard of a projection
   * has its own: this is that of the last one.
   */
  readonly entry: AuditEntry | undefined
}

/** A unit, with what fails there. */
export interface ListedUnit extends ControlledUnit {
  /**
   * What failed last where the unit stands, as its node has told within the last seconds; `undefined` where nothing has failed since
   * it came there, or the store keeps none.
   */
  readonly failure: UnitFailure | undefined
}

/**
 * What operators do to projections, from any process that reaches the checkpoints, whether a daemon runs or not. Each that
 * changes something is one transaction with its audit entry. Asked twice, or by many at once, it is done once; after an error
 * that does not say otherwise, asking again is always right.
 */
export interface Operations<P> {
  /** Every unit that has a checkpoint: where it stands, what is wanted of it, what it has skipped, what fails there. */
  list(request?: UnitsRequest): Promise<readonly ListedUnit[]>
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
   * hand is finished first. Of a projection in shards that is the node with the first of them; all of them begin anew in that transaction, which waits for their batches. Resolves when that is done; then the events are handled again, and `status()` says how far it is. With
   * no daemon at work, the next one does it when it starts. A paused projection is reset too, and stays paused. What it has
   * skipped before counts no more, and its dead letters are closed (`replayed`), unless it has `effects: 'live_only'`. Rejects with `OperationRefusedError` where it has no `reset`, or that has thrown; nothing was
   * changed then. Rejects with `OperationPendingError` after `timeoutMs`: it stays asked for. Asked again meanwhile, it is the
   * same rebuild; asked after it was done, it is another one.
   */
  rebuild(request: OperationRequest): Promise<Outcome>
  /**
   * Cuts a projection into another number of shards, while its daemons run: they notice it, at once where events come and within a
   * second else. Each new shard goes on from where those stand whose slots it has. The rows are replaced in one transaction, which
   * waits for the batches at hand. Those that become one have to stand at one position: where they stand apart, the furthest wait, up
   * to `timeoutMs`, until those behind have come up to them; that needs `source`. So do those that were moved back from different
   * positions, until all have come up to the furthest of these. Then, or where the call is ended before, all is as it was: it rejects
   * with `OperationRefusedError`. So it does where dead letters of a shard that is cut are open, or late events are, where shards that
   * become one are paused apart, and where the projection has several versions.
   */
  reshard(request: ReshardRequest): Promise<Outcome>
  /**
   * Cuts the shard that has these slots into two halves, as `reshard` does; the others stay as they are. Rejects with `OperationRefusedError`
   * where there is no such shard.
   */
  split(request: ShardRequest): Promise<Outcome>
  /**
   * Makes one shard with these slots of all that have them, as `reshard` does; the others stay as they are. Rejects with
   * `OperationRefusedError` where no shard begins, or none ends, with them.
   */
  merge(request: ShardRequest): Promise<Outcome>
  /** Withdraws what was asked of the node that runs the projection and is not done yet; whoever waits for it is told. */
  cancel(request: OperationRequest): Promise<Outcome>
  /** Who has done what, when and why: the newest first. */
  audit(request?: AuditRequest): Promise<readonly AuditEntry[]>
  /** What operators do about events that were given up. */
  readonly deadLetters: DeadLetterOperations
  /** What operators do to nodes that share projections by leases. */
  readonly nodes: NodeOperations
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
  readonly nodes: NodeOperations
  readonly #evidence: Evidence<P>
  readonly #options: ResolvedOperationsOptions<P>

  constructor(options: ResolvedOperationsOptions<P>) {
    this.#options = options
    this.deadLetters = deadLetterOperations(options.checkpoints, options.control, options.source)
    this.nodes = nodeOperations(options.checkpoints, options.source?.name)
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

  async list(request: UnitsRequest = {}): Promise<readonly ListedUnit[]> {
    const filter = resolveUnits(request)
    const units = await this.#units(filter, neverAborted())
    const failures = (await this.#options.checkpoints.failures?.list(filter, neverAborted())) ?? []
    const byUnit = new Map(failures.map((failure) => [unitKey(failure.unit), failure]))
    return units
      .map((unit) => {
        const failure = byUnit.get(unitKey(unit.unit))
        // It may have moved since.
        return { ...unit, failure: failure?.position === unit.position ? failure : undefined }
      })
      .sort(byName)
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
    const shards = await this.#shardsOf(resolved)
    // Before the first of them is moved.
    if (shards.length > 1) for (const shard of shards) requirePaused(shard, 'is moved')
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
    let refused: unknown
    // Of several shards nobody but the node that runs it knows whether it fails there.
    for (const shard of await this.#shardsOf(resolved)) {
      try {
        return await this.#skipIn(shard, resolved, { order, position })
      } catch (error) {
        if (!hasCode(error, 'TIDEMARK_OPERATION_REFUSED')) throw error
        refused ??= error
      }
    }
    throw refused
  }

  async #skipIn(
    { unit }: ControlledUnit,
    request: ResolvedRequest,
    target: { readonly order: PositionOrder<P>; readonly position: P },
  ): Promise<Outcome> {
    const position = target.order.format(target.position)
    try {
      return await this.#ask({ operation: 'skip', position }, { ...request, unit }, (asked) =>
        toBeSkipped(asked, target),
      )
    } catch (error) {
      if (!hasCode(error, 'TIDEMARK_OPERATION_REFUSED')) throw error
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
    const instead = 'give what is to take its place another name'
    const { unit, role } = requireOneShard(await this.#shardsOf(resolved), 'switch', instead)
    const [live, ...others] = (await this.#units({ projection }, resolved.signal)).filter(
      (each) => each.role === 'live',
    )
    if (live !== undefined) requireOneShard([live, ...others], 'switch', instead)
    if (role === 'live') return { outcome: 'already', entry: undefined }
    try {
      return await this.#ask({ operation: 'switch' }, { ...resolved, unit })
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
    const resolved = resolveRequest(request)
    // The node that runs the first shard resets all of them.
    const [{ unit }] = await this.#shardsOf(resolved)
    return await this.#ask({ operation: 'rebuild' }, { ...resolved, unit })
  }

  async reshard(request: ReshardRequest): Promise<Outcome> {
    const resolved = resolveReshard(request)
    return await this.#reshard(resolved, ofNumber(resolved.shards))
  }

  async split(request: ShardRequest): Promise<Outcome> {
    const resolved = resolveShard(request)
    const { from, to } = resolved.slots
    if (from === to)
      throw new InvalidOptionError('slots', 'more than one slot, of which each half has one', from)
    return await this.#reshard(resolved, halvesOf(resolved.slots))
  }

  async merge(request: ShardRequest): Promise<Outcome> {
    const resolved = resolveShard(request)
    return await this.#reshard(resolved, joinedTo(resolved.slots))
  }

  async #reshard(resolved: ResolvedRequest, wanted: NewShards): Promise<Outcome> {
    const { control, checkpoints, source } = this.#options
    const { units, reshard, holdBounds } = control
    if (reshard === undefined || holdBounds === undefined) throw cannotReshard(checkpoints.name)
    const [{ unit }] = await this.#shardsOf(resolved)
    const resharder = {
      control: {
        units: units.bind(control),
        reshard: reshard.bind(control),
        holdBounds: holdBounds.bind(control),
      },
      order: source?.order,
    }
    const entry = (await reshardVersion(resharder, unit, wanted, resolved)).at(-1)
    return { outcome: entry === undefined ? 'already' : 'done', entry }
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

  /** One shard after another, each in a transaction of its own; asked again, it is done for those that are left. */
  async #change(request: ResolvedRequest, decide: Decide): Promise<Outcome> {
    const untilMs = systemClock.nowMs() + request.timeoutMs
    let last: AuditEntry | undefined
    for (const [index, { unit }] of (await this.#shardsOf(request)).entries()) {
      let isGone = false
      const timeoutMs = index === 0 ? request.timeoutMs : Math.max(1, untilMs - systemClock.nowMs())
      const entry = await this.#options.control.change(
        unit,
        (found) => {
          isGone = found === undefined
          return found && decide(found)
        },
        { ...request, timeoutMs },
      )
      // Somebody has forgotten it since it was looked up.
      if (isGone) return await this.#change(request, decide)
      last = entry ?? last
    }
    return { outcome: last === undefined ? 'already' : 'done', entry: last }
  }

  /** What only a node can do: it is asked, and its audit entry is waited for. */
  async #ask(
    wanted: Pick<UnitRequest, 'operation' | 'position'>,
    request: ResolvedRequest & Pick<ControlledUnit, 'unit'>,
    decide: (
      asked: UnitRequest,
      seen: AnsweredRequest | undefined,
    ) => (found: ControlledUnit) => Asking = toBeAsked,
  ): Promise<Outcome> {
    const { control } = this.#options
    const { who, why, timeoutMs, signal } = request
    const sinceMs = systemClock.nowMs()
    const shards = await this.#shardsOf(request)
    const found = shards.find((shard) => unitKey(shard.unit) === unitKey(request.unit))
    if (found === undefined) {
      throw new OperationRefusedError(
        unitName(request.unit),
        'it is stored in other shards by now; ask again',
      )
    }
    const { unit, answered } = found
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

  /** Of one version. Throws `OperationRefusedError`, which says what there is, where it is not one. */
  async #shardsOf({
    projection,
    version,
    signal,
  }: ResolvedRequest): Promise<readonly [ControlledUnit, ...ControlledUnit[]]> {
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

function cannotReshard(store: string): UnsupportedByStoreError {
  return new UnsupportedByStoreError(
    'checkpoints',
    store,
    'control.reshard',
    'the checkpoints of all shards are replaced there in one transaction',
    'keep the checkpoints in postgresCheckpoints',
  )
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
