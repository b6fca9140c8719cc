import type { StoreCapability } from '../../../ports/capabilities.ts'
import type { AdvanceRequest, CheckpointStore, FirstStart } from '../../../ports/checkpoint-store.ts'
import type { DeadLetters } from '../../../ports/dead-letters.ts'
import type { Evidence } from '../../../ports/event-source.ts'
import type { LateEvents } from '../../../ports/late-events.ts'
import type { LostEvents } from '../../../ports/lost-events.ts'
import type { SettledMemory } from '../../../ports/settled-memory.ts'
import type { SkipLedger } from '../../../ports/skip-ledger.ts'
import type { StoredUnit } from '../../../ports/stored-unit.ts'
import { type Unit, wholeUnit } from '../../../ports/unit.ts'
import { expectEqual, within } from '../expectations.ts'
import { type Closable, needed, type Rule } from '../suite.ts'

/** What a checkpoint store can do beyond the port's base: with its optional parts, and with what the fixture adds. */
export type CheckpointStoreCapability =
  | StoreCapability
  /** What `work` writes through `tx` and the checkpoint are one transaction: `write`, `written`. */
  | 'transactional_effects'
  /** A checkpoint is locked before `work` runs, so that the loser of two owners does no work. */
  | 'locks'
  /** The store can be made not to answer: `stall`. */
  | 'stalls'

/**
 * One fresh, empty store, and what the suite does to it.
 *
 * @typeParam Tx - what a handler gets to make its effects part of the checkpoint's transaction
 */
export interface CheckpointStoreFixture<Tx> extends Closable {
  /** The store under test, not prepared; each call as another process over the same checkpoints has it. */
  readonly open: () => CheckpointStore<Tx>
  /** For `transactional_effects`: writes a text through the transaction. */
  readonly write?: (tx: Tx, text: string) => Promise<void>
  /** For `transactional_effects`: every text that was written and committed, in any order. */
  readonly written?: () => Promise<readonly string[]>
  /** For `stalls`: from now on the store answers nothing, until the returned function is called. */
  readonly stall?: () => Promise<() => Promise<void>>
}

export interface CheckpointStoreRule
  extends Omit<Rule<CheckpointStoreFixture<unknown>, CheckpointStoreCapability>, 'check'> {
  check<Tx>(
    fixture: CheckpointStoreFixture<Tx>,
    capabilities: readonly CheckpointStoreCapability[],
  ): Promise<void>
}

export const CONFLICT = 'TIDEMARK_CHECKPOINT_CONFLICT'
export const SOURCE = 'events'
/** Of no store: `sharesLogWith` it is false. */
export const EVIDENCE: Evidence<string> = {
  incarnation: 'a run of a store',
  settled: '900',
  logPosition: 'L/77',
}

/** An owner whose store is prepared, as the daemon does first. */
export async function owner<Tx>(fixture: CheckpointStoreFixture<Tx>): Promise<CheckpointStore<Tx>> {
  const store = fixture.open()
  await store.prepare?.(never())
  return store
}

/** The unit that cases are about where nothing else is said. */
export const ALL: Unit = wholeUnit('all')
/** A first start in an empty store. */
export const FIRST: FirstStart = { source: SOURCE, head: undefined }

/** Two owners of the same checkpoints, of which each has opened that of `ALL`. */
export async function owners<Tx>(
  fixture: CheckpointStoreFixture<Tx>,
): Promise<readonly [CheckpointStore<Tx>, CheckpointStore<Tx>]> {
  const pair = [await owner(fixture), await owner(fixture)] as const
  for (const store of pair) await store.open(ALL, FIRST, never())
  return pair
}

export function settledOf<Tx>(store: CheckpointStore<Tx>): SettledMemory {
  return needed(store.settled, 'settled', 'remembers_settled')
}

export function skipsOf<Tx>(store: CheckpointStore<Tx>): SkipLedger {
  return needed(store.skips, 'skips', 'counts_skips')
}

export function deadLettersOf<Tx>(store: CheckpointStore<Tx>): DeadLetters<Tx> {
  return needed(store.deadLetters, 'deadLetters', 'keeps_dead_letters')
}

export function lateEventsOf<Tx>(store: CheckpointStore<Tx>): LateEvents<Tx> {
  return needed(store.lateEvents, 'lateEvents', 'keeps_late_events')
}

export function lostEventsOf<Tx>(store: CheckpointStore<Tx>): LostEvents {
  return needed(store.lostEvents, 'lostEvents', 'keeps_lost_events')
}

export function move(
  from: string | undefined,
  to: string,
  more: Partial<AdvanceRequest> = {},
): AdvanceRequest {
  return {
    unit: ALL,
    source: SOURCE,
    from,
    to,
    evidence: EVIDENCE,
    signal: new AbortController().signal,
    ...more,
  }
}

export async function noWork(): Promise<void> {}

export async function expectPosition<Tx>(
  store: CheckpointStore<Tx>,
  position: string | undefined,
  claim: string,
  unit: Unit = ALL,
): Promise<StoredUnit | undefined> {
  const stored = await within(store.read(unit, never()), 'reading a checkpoint')
  expectEqual(stored?.position, position, claim)
  return stored
}

/** A signal that never fires. */
export function never(): AbortSignal {
  return new AbortController().signal
}
