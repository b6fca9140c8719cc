import {
  emptyTail,
  type Gap,
  type HighWaterReading,
  type Holder,
  type Settlement,
  type SettlementResult,
  watchEmpty,
  withMark,
} from '@tidemark/core/adapter'
import { formatLogPosition } from '../server/log-position.ts'
import type { DetachedMembers } from './attached.ts'
import type { InspectedPoll } from './inspected-poll.ts'
import { type Look, newestRuns } from './late-events.ts'
import { nextComparedAtMs, type PollMemory } from './poll-memory.ts'
import type { PostgresPoll } from './poll-rows.ts'
import type { Claim } from './replacement.ts'

/** A poll that nothing speaks against, and what it goes on from. */
export interface JudgedPoll extends InspectedPoll {
  readonly incarnation: string
  /** As it was before this poll. */
  readonly settlement: Settlement
  readonly watched: readonly Gap<bigint>[]
  readonly look: Look
  readonly comparedAtMs: number | undefined
  readonly detached: DetachedMembers
  /** Whether events may have become visible between mark and settled. */
  readonly looksUpMark: boolean
  readonly pending: readonly Claim[]
}

/**
 * Who holds a former sequence may insert a number of it as long as it lives, if it took its lock before the change: then the
 * first poll behind the change has seen it. Whoever came later uses the old sequence for something else.
 */
export function stillInTheWay({ formerHolders }: PostgresPoll, before: Settlement): readonly Holder[] {
  const isFirstPoll = before.lastHandedOut === undefined
  return formerHolders.filter(({ transaction }) => isFirstPoll || before.holderBounds.has(transaction))
}

/** Up to where the last visible event is looked for, if it is not known. */
export function lookUpMarkAt(
  { settlement: { settled }, markNeedsLookup }: Pick<SettlementResult, 'settlement' | 'markNeedsLookup'>,
  { looksUpMark }: Pick<JudgedPoll, 'looksUpMark'>,
): bigint | undefined {
  return markNeedsLookup || looksUpMark ? settled : undefined
}

/** What followed from a poll. */
interface Concluded extends SettlementResult {
  readonly holders: readonly Holder[]
  /** The last visible event, where it was looked for and there is one. */
  readonly lookedUp: bigint | undefined
  readonly pending: readonly Claim[]
  /** Up to where every projection of this process had handled everything when the poll began. */
  readonly projected: bigint | undefined
}

/** The reading, with what the next poll goes on from. */
export function readingOf(
  judged: JudgedPoll,
  { settlement, provenEmpty, gaps, markNeedsLookup, holders, lookedUp, pending, projected }: Concluded,
  nowMs: number,
): HighWaterReading<bigint> {
  const { inspection, sequence, poll, incarnation, watched, detached } = judged
  const concluded = withMark(settlement, lookedUp)
  // A position is looked for again only where the index finds it.
  const isWatching = inspection.hasIndex
  const tail =
    markNeedsLookup && settlement.settled !== undefined
      ? emptyTail(settlement.settled, lookedUp, sequence.start)
      : []
  const newRuns = isWatching ? [...provenEmpty, ...tail] : []
  return {
    head: poll.lastHandedOut,
    settled: concluded.settled,
    mark: concluded.mark,
    gaps,
    holders,
    provenEmpty,
    skipped: [],
    incarnation,
    logPosition: formatLogPosition(poll.insertLsn, poll.snapshot),
    memory: {
      inspection,
      sequence,
      settlement: concluded,
      watched: isWatching ? newestRuns(watchEmpty(watched, newRuns), inspection) : [],
      look: { atMs: judged.look.atMs, newRuns: judged.look.newRuns + newRuns.length },
      comparedAtMs: nextComparedAtMs(judged.comparedAtMs, poll, nowMs),
      detached,
      handled: { upTo: projected },
      pending,
    } satisfies PollMemory,
  }
}
