import { type Settlement, type StoredProgress, StoreRewoundError } from '@tidemark/core'
import type { PostgresPoll } from './high-water.ts'
import { parseIncarnation } from './incarnation.ts'
import { parseLsn } from './lsn.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'

/**
 * Numbers that come back within one incarnation: `setval` backwards, or a server whose log went back (a machine
 * restored to a snapshot). What was settled would be handed out again, so this is for the operator to decide.
 */
export function requireNotRewound(
  { sql }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  before: Settlement | undefined,
  previousLsn: string | undefined,
  { lastHandedOut, insertLsn }: Pick<PostgresPoll, 'lastHandedOut' | 'insertLsn'>,
): void {
  if (before?.lastHandedOut !== undefined && lastHandedOut < before.lastHandedOut) {
    throw new StoreRewoundError(
      `the sequence of ${sql.table} went back from ${before.lastHandedOut} to ${lastHandedOut} (setval?); numbers up to ` +
        `${before.settled} are settled and would not be read again. ${DECIDE}`,
    )
  }
  if (previousLsn !== undefined && parseLsn(insertLsn) < parseLsn(previousLsn)) {
    throw new StoreRewoundError(
      `the server's log went back from ${previousLsn} to ${insertLsn} (a snapshot restored?). ${DECIDE}`,
    )
  }
}

/** The same for stored progress from before this process or this incarnation. */
export function requireStoredConsistent(
  stored: readonly StoredProgress<bigint>[],
  found: {
    readonly incarnation: string
    readonly poll: Pick<PostgresPoll, 'lastHandedOut' | 'insertLsn'>
    /** Whether progress lies in the events' own log, which a failover keeps consistent with them. */
    readonly isShared: boolean
  },
): void {
  const now = parseIncarnation(found.incarnation)
  const { lastHandedOut, insertLsn } = found.poll
  for (const progress of stored) {
    const of =
      progress.projection === undefined
        ? 'the settled position'
        : `the checkpoint of "${progress.projection}"`
    if (progress.position !== undefined && lastHandedOut < progress.position) {
      rewound(
        `${of} stands at ${progress.position}, but the sequence has only handed out numbers up to ${lastHandedOut}`,
      )
    }
    const then = progress.incarnation === undefined ? undefined : parseIncarnation(progress.incarnation)
    if (then === undefined || now === undefined) continue
    if (then.systemIdentifier !== now.systemIdentifier) {
      rewound(`${of} is of server ${then.systemIdentifier}, but this is server ${now.systemIdentifier}`)
    }
    if (!found.isShared && then.timeline !== now.timeline) {
      rewound(
        `${of} is of timeline ${then.timeline}, but this is timeline ${now.timeline}: after a failover or restore, ` +
          'events that were processed may be gone, and their numbers come back',
      )
    }
    // A settled position alone is saved without a look at the server: it may be of a run that has crashed meanwhile.
    const isWitness = progress.projection !== undefined || progress.incarnation === found.incarnation
    if (
      isWitness &&
      progress.logPosition !== undefined &&
      parseLsn(insertLsn) < parseLsn(progress.logPosition)
    ) {
      rewound(
        `${of} was written at log position ${progress.logPosition}, but the server stands at ${insertLsn}`,
      )
    }
    if (
      progress.incarnation === found.incarnation &&
      progress.settled !== undefined &&
      lastHandedOut < progress.settled
    ) {
      rewound(`${of} has settled ${progress.settled}, but the sequence stands at ${lastHandedOut}`)
    }
  }
}

function rewound(what: string): never {
  throw new StoreRewoundError(`${what}. ${DECIDE}`)
}

const DECIDE =
  'Tidemark halts here. Find out which events were processed that the store no longer has; then set each checkpoint to a ' +
  'position that still holds (or delete its row, to project anew), set settled, incarnation and log_position to NULL, ' +
  'empty the settled table, and restart'
