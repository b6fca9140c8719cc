import type {
  AdvanceRequest,
  Checkpoint,
  CheckpointStore,
  StoredEvidence,
} from '../../../ports/checkpoint-store.ts'
import { expectEqual, within } from '../expectations.ts'
import type { Closable, Rule } from '../suite.ts'

/** What a checkpoint store can do beyond the port's base. */
export type CheckpointStoreCapability =
  /** What `work` writes through `tx` and the checkpoint are one transaction: `write`, `written`. */
  | 'transactional_effects'
  /** A checkpoint is locked before `work` runs, so that the loser of two owners does no work. */
  | 'locks'
  /** Settled positions and log positions are remembered, with checkpoints and alone (`saveSettled`). */
  | 'stores_evidence'
  /** `recordSkips`, for sources that pass gaps without proof. Their positions are integers. */
  | 'counts_skips'
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
export const EVIDENCE: StoredEvidence = {
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

/** `count` owners of the same checkpoints, of which each has read that of `projection`. */
export async function owners<Tx>(
  fixture: CheckpointStoreFixture<Tx>,
  projection = 'all',
): Promise<readonly [CheckpointStore<Tx>, CheckpointStore<Tx>]> {
  const pair = [await owner(fixture), await owner(fixture)] as const
  for (const store of pair) await store.read(projection, SOURCE, never())
  return pair
}

export function move(
  from: string | undefined,
  to: string,
  more: Partial<AdvanceRequest> = {},
): AdvanceRequest {
  return {
    projection: 'all',
    source: SOURCE,
    from,
    to,
    evidence: EVIDENCE,
    startedAtHead: undefined,
    signal: new AbortController().signal,
    ...more,
  }
}

export async function noWork(): Promise<void> {}

export async function expectPosition<Tx>(
  store: CheckpointStore<Tx>,
  position: string | undefined,
  claim: string,
  projection = 'all',
): Promise<Checkpoint> {
  const checkpoint = await within(store.read(projection, SOURCE, never()), 'reading a checkpoint')
  expectEqual(checkpoint.position, position, claim)
  return checkpoint
}

/** A signal that never fires. */
export function never(): AbortSignal {
  return new AbortController().signal
}
