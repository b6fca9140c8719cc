import { neverAborted } from '../kernel/deferred.ts'
import { InvalidOptionError } from '../kernel/errors.ts'
import { requireKnownOptions } from '../kernel/known-options.ts'
import { requireInteger, requireName, requireTimerMs } from '../kernel/validation.ts'
import { SLOTS } from '../ports/slot.ts'
import type { SlotRange } from '../ports/unit.ts'

/** What every operation that changes something is told. */
export interface OperationRequest {
  /** The projection's name. */
  readonly projection: string
  /**
   * Which version of it.
   * - Change it when: several versions have a checkpoint; then it has to be given.
   * @default the only one that there is
   */
  readonly version?: number
  /** Who asks: a name that the people who read the audit know. At most 255 characters. */
  readonly who: string
  /** Why: it is shown to whoever looks at the projection, and kept in the audit. At most 2,000 characters. */
  readonly why: string
  /**
   * How long to wait for the batch at hand before this rejects with a `CheckpointBusyError`.
   * - Raising it: a batch that takes long is waited for.
   * - Lowering it: whoever asks hears sooner that a batch goes on.
   * - Change it when: batches of the projection take longer.
   * @unit ms
   * @default 30000
   */
  readonly timeoutMs?: number
  /**
   * Ends the call, which rejects with the signal's reason. What was asked for may have been done by then: ask again.
   * - Change it when: who asked may go away meanwhile.
   * @default none
   */
  readonly signal?: AbortSignal
}

export interface MoveRequest<P> extends OperationRequest {
  /** The last position that counts as processed; the event after it is the next one. `undefined`: before the first event. */
  readonly position: P | undefined
}

export interface ReshardRequest extends OperationRequest {
  /** How many shards there are to be. From 1 to 1,024. */
  readonly shards: number
}

export interface ShardRequest extends OperationRequest {
  /** The slots of one shard, both ends included, as `list` and `status()` have them. */
  readonly slots: SlotRange
}

export interface SkipRequest<P> extends OperationRequest {
  /** Where the event is: the `firstPosition` of the failure that was seen. What fails elsewhere by now is not skipped. */
  readonly position: P
}

export interface UnitsRequest {
  /**
   * The projection that is wanted.
   * - Change it when: one projection is looked at.
   * @default every projection
   */
  readonly projection?: string
}

export interface AuditRequest {
  /**
   * The projection whose entries are wanted.
   * - Change it when: one projection is looked at.
   * @default every projection
   */
  readonly projection?: string
  /**
   * Entries with a smaller id, as the last one of a page has.
   * - Change it when: the next page is wanted.
   * @default the newest
   */
  readonly before?: bigint
  /**
   * How many entries at most, up to 1,000.
   * - Raising it: fewer calls for a long history; each answer is larger.
   * - Lowering it: smaller answers.
   * - Change it when: a page of yours shows more or fewer.
   * @unit entries
   * @default 100
   */
  readonly limit?: number
}

const OPERATION_REQUEST: Readonly<Record<keyof OperationRequest, true>> = {
  projection: true,
  version: true,
  who: true,
  why: true,
  timeoutMs: true,
  signal: true,
}
const POSITION_REQUEST: Readonly<Record<keyof MoveRequest<unknown> | keyof SkipRequest<unknown>, true>> = {
  ...OPERATION_REQUEST,
  position: true,
}
const RESHARD_REQUEST: Readonly<Record<keyof ReshardRequest, true>> = { ...OPERATION_REQUEST, shards: true }
const SHARD_REQUEST: Readonly<Record<keyof ShardRequest, true>> = { ...OPERATION_REQUEST, slots: true }
const UNITS_REQUEST: Readonly<Record<keyof UnitsRequest, true>> = { projection: true }
const AUDIT_REQUEST: Readonly<Record<keyof AuditRequest, true>> = {
  projection: true,
  before: true,
  limit: true,
}

const LONGEST_REASON = 2_000
const DEFAULT_TIMEOUT_MS = 30_000
const DEFAULT_LIMIT = 100
const MOST_ENTRIES = 1_000

export interface ResolvedRequest extends Required<Omit<OperationRequest, 'version'>> {
  readonly version: number | undefined
}

export function resolveRequest(request: OperationRequest): ResolvedRequest {
  requireKnownOptions(request, OPERATION_REQUEST)
  return checked(request)
}

export function resolveMove<P>(
  request: MoveRequest<P>,
): ResolvedRequest & { readonly position: P | undefined } {
  requireKnownOptions(request, POSITION_REQUEST)
  // A slip must not begin a projection anew.
  if (!('position' in request)) {
    throw new InvalidOptionError('position', 'a position, or undefined for before the first event', 'nothing')
  }
  return { ...checked(request), position: request.position }
}

export function resolveReshard(request: ReshardRequest): ResolvedRequest & { readonly shards: number } {
  requireKnownOptions(request, RESHARD_REQUEST)
  const { shards } = request
  requireInteger('shards', shards, 1)
  if (shards > SLOTS) throw new InvalidOptionError('shards', `at most ${SLOTS}`, shards)
  return { ...checked(request), shards }
}

export function resolveShard(request: ShardRequest): ResolvedRequest & { readonly slots: SlotRange } {
  requireKnownOptions(request, SHARD_REQUEST)
  const { from, to } = request.slots ?? {}
  requireInteger('slots.from', from, 0)
  requireInteger('slots.to', to, from)
  if (to >= SLOTS) throw new InvalidOptionError('slots.to', `at most ${SLOTS - 1}`, to)
  return { ...checked(request), slots: { from, to } }
}

export function resolveSkip<P>(request: SkipRequest<P>): ResolvedRequest & { readonly position: P } {
  requireKnownOptions(request, POSITION_REQUEST)
  return { ...checked(request), position: request.position }
}

function checked(request: OperationRequest): ResolvedRequest {
  const { projection, version, who, why } = request
  requireName('projection', projection)
  requireAsker(request)
  if (version !== undefined) requireInteger('version', version, 1)
  return { projection, version, who, why, ...resolveWait(request) }
}

/** How long to wait. */
export function resolveWait({
  timeoutMs = DEFAULT_TIMEOUT_MS,
  signal = neverAborted(),
}: Pick<OperationRequest, 'timeoutMs' | 'signal'>): {
  readonly timeoutMs: number
  readonly signal: AbortSignal
} {
  requireTimerMs('timeoutMs', timeoutMs, 1)
  if (!(signal instanceof AbortSignal)) throw new InvalidOptionError('signal', 'an AbortSignal', signal)
  return { timeoutMs, signal }
}

export function requireAsker({ who, why }: Pick<OperationRequest, 'who' | 'why'>): void {
  requireName('who', who)
  if (typeof why !== 'string' || why.trim() === '' || why.length > LONGEST_REASON || why.includes('\0')) {
    const expected = `a reason, of at most ${LONGEST_REASON} characters, none of them NUL`
    throw new InvalidOptionError('why', expected, typeof why === 'string' ? why.slice(0, 100) : why)
  }
}

/** Of a page. */
export function requireLimit(limit: number = DEFAULT_LIMIT): number {
  requireInteger('limit', limit, 1)
  if (limit > MOST_ENTRIES) throw new InvalidOptionError('limit', `at most ${MOST_ENTRIES}`, limit)
  return limit
}

export function resolveUnits(request: UnitsRequest): UnitsRequest {
  requireKnownOptions(request, UNITS_REQUEST)
  const { projection } = request
  if (projection === undefined) return {}
  requireName('projection', projection)
  return { projection }
}

export function resolveAudit(request: AuditRequest): AuditRequest & { readonly limit: number } {
  requireKnownOptions(request, AUDIT_REQUEST)
  const { projection, before } = request
  if (projection !== undefined) requireName('projection', projection)
  if (before !== undefined && typeof before !== 'bigint') {
    throw new InvalidOptionError('before', 'the id of an entry, a bigint', before)
  }
  return {
    limit: requireLimit(request.limit),
    ...(projection === undefined ? {} : { projection }),
    ...(before === undefined ? {} : { before }),
  }
}
