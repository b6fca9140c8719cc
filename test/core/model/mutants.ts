import type { Faults } from './faults.ts'
import type { Harm } from './judge.ts'
import type { SourceChange } from './mutate.ts'

export interface Mutant {
  /** The condition that is dropped. */
  readonly name: string
  /** What comes of it. */
  readonly harm: Harm
  readonly changes?: readonly SourceChange[]
  readonly faults?: Faults
}

const settlement = (replace: string, by: string): SourceChange => ({ file: 'settlement', replace, by })

const poll = (replace: string, by: string): SourceChange => ({ file: 'lifecycle-poll', replace, by })

const BOUNDED = 'boundHolders(previous, poll.holders)'
const RECOVERED = 'bounds.set(holder, previous.bound)'
const NEW = 'bounds.set(holder, previous.lastHandedOut)'
const PROVEN = 'const proven = greater(previous.settled, bound)'
const MARK = 'const mark = greater(previous.mark, lastAtOrBelow(poll.visible, settled))'
const FACTS = '[server.systemIdentifier, server.timeline, server.statsReset, server.postmasterStart]'
const withoutStartTime: SourceChange = {
  file: 'incarnation',
  replace: FACTS,
  by: '[server.systemIdentifier, server.timeline, server.statsReset]',
}

/** The proof, or the agent that polls, with one of its conditions dropped, which the model must notice. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'steps 1 and 2 are swapped',
    harm: 'lost',
    faults: { order: ['holders', 'lastHandedOut', 'visible'] },
  },
  {
    name: 'step 3 is taken before step 2',
    harm: 'proven empty but not empty',
    faults: { order: ['lastHandedOut', 'visible', 'holders'] },
  },
  {
    name: 'a new holder is bounded by the v of the poll that found it',
    harm: 'lost',
    changes: [
      settlement(BOUNDED, 'boundHolders({ ...previous, lastHandedOut: poll.lastHandedOut }, poll.holders)'),
    ],
  },
  {
    name: 'a recovered prepared holder is bounded by the v of the poll that found it',
    harm: 'lost',
    changes: [settlement(BOUNDED, 'boundHolders({ ...previous, bound: poll.lastHandedOut }, poll.holders)')],
  },
  {
    name: 'a recovered prepared holder is bounded by the previous v',
    harm: 'lost',
    changes: [settlement(RECOVERED, NEW)],
  },
  {
    name: 'the bound of a known holder moves with the polls',
    harm: 'lost',
    changes: [settlement('previous.holderBounds.get(holder))', 'previous.lastHandedOut)')],
  },
  {
    name: 'v is read without the lock, up to 32 too high',
    harm: 'lost',
    faults: { readsUnlocked: true },
  },
  {
    name: 'the incarnation is ignored',
    harm: 'lost',
    changes: [{ file: 'incarnation', replace: FACTS, by: '[]' }],
    faults: { ignoresLogPosition: true },
  },
  {
    name: 'the start time is left out of the identity',
    harm: 'lost',
    changes: [withoutStartTime],
  },
  {
    name: 'the start time is left out of the identity, and a recovered prepared holder is a new one',
    harm: 'lost',
    changes: [withoutStartTime, settlement(RECOVERED, NEW)],
  },
  {
    name: 'the reset of the statistics is left out of the identity',
    harm: 'lost',
    changes: [
      {
        file: 'incarnation',
        replace: FACTS,
        by: '[server.systemIdentifier, server.timeline, server.postmasterStart]',
      },
    ],
  },
  {
    name: 'a fact that may not be read is equal to itself',
    harm: 'lost',
    changes: [{ file: 'incarnation', replace: 'fact ?? `', by: 'fact ?? `unknown` ?? `' }],
  },
  {
    name: 'a mark is used across an incarnation',
    harm: 'lost',
    faults: { keepsMark: true },
  },
  {
    name: 'a page is used across an incarnation',
    harm: 'projected but not committed',
    faults: { keepsPages: true },
  },
  {
    name: 'the settled position of another incarnation is resumed from',
    harm: 'lost',
    changes: [{ file: 'resume', replace: 'if (progress.incarnation === incarnation) ', by: '' }],
  },
  {
    name: 'stored progress is read before a crash, and resumed from after it',
    harm: 'lost',
    changes: [
      poll(
        'if (run === undefined) return {',
        'if (run === undefined) return stored === undefined ? RECALL : {',
      ),
      poll('goOn(standing, standing.poll, stored)', 'goOn(standing, { ...standing.poll, stored }, stored)'),
      poll(
        '{ ...standing.poll, run: { opened: source, sharesLog } })',
        '{ ...standing.poll, run: { opened: source, sharesLog } }, standing.poll.stored)',
      ),
    ],
  },
  {
    name: 'what was learned is kept where another incarnation is seen',
    harm: 'not settled at rest',
    changes: [poll('goOn({ ...standing, known: undefined }, anew)', 'goOn(standing, anew)')],
  },
  {
    name: 'polls of a new incarnation go on from the newest reading of the one before',
    harm: 'not settled at rest',
    changes: [
      poll('const previous = known?.reading', 'const previous = (known ?? { reading: newest }).reading'),
    ],
  },
  {
    name: 'the mark rests on an empty tail',
    harm: 'mark never seen visible',
    changes: [settlement(MARK, 'const mark = settled')],
  },
  {
    name: 'a checkpoint rests on an empty tail',
    harm: 'checkpoint never seen visible',
    faults: { checkpointsSettled: true },
  },
  {
    name: 'the floor of a holder is taken as 0',
    harm: 'lost',
    changes: [settlement(NEW, 'bounds.set(holder, previous.lastHandedOut ?? 0n)')],
  },
  {
    name: 'settled begins at 0',
    harm: 'lost',
    changes: [
      settlement('return { settled, mark: undefined', 'return { settled: settled ?? 0n, mark: undefined'),
    ],
  },
  {
    name: 'positions beyond a full window are proven empty',
    harm: 'proven empty but not empty',
    changes: [
      settlement(
        'missingRuns(previous.settled, lesser(bound, poll.windowEnd)',
        'missingRuns(previous.settled, bound',
      ),
    ],
  },
  {
    name: 'the mark is not looked up behind a full window',
    harm: 'lost',
    changes: [
      settlement(
        'const markNeedsLookup = settled !== undefined && (mark === undefined || !windowCovers)',
        'const markNeedsLookup = windowCovers && false',
      ),
    ],
  },
  {
    name: 'settled stops at the last visible event',
    harm: 'not settled at rest',
    changes: [
      settlement(PROVEN, 'const proven = greater(previous.settled, lastAtOrBelow(poll.visible, bound))'),
    ],
  },
  {
    name: 'settled moves backwards',
    harm: 'moved backwards',
    changes: [settlement(PROVEN, 'const proven = bound')],
  },
  {
    name: 'the mark moves backwards',
    harm: 'moved backwards',
    changes: [settlement(MARK, 'const mark = lastAtOrBelow(poll.visible, settled)')],
  },
  {
    name: 'checkpoints elsewhere do not wait for events committed asynchronously to be durable',
    harm: 'projected but not committed',
    faults: { doesNotWaitForDurability: true },
  },
]
