import { type Settlement, type StoredProgress, StoreRewoundError, unitName } from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import { parseIncarnation } from './incarnation.ts'
import { lsnOf, parseLsn } from './log-position.ts'

/** How far the sequence and the server's log had come when it was looked. */
interface SeenNumbers {
  readonly lastHandedOut: bigint
  readonly insertLsn: string
}

/**
 * Numbers that come back within one incarnation: `setval` backwards, or a server whose log went back (a machine
 * restored to a snapshot). What was settled would be handed out again, so this is for the operator to decide.
 */
export function requireNotRewound(
  { sql }: Pick<ResolvedPostgresEventsOptions<unknown>, 'sql'>,
  before: Settlement | undefined,
  previousLogPosition: string | undefined,
  { lastHandedOut, insertLsn }: SeenNumbers,
  toDecide: string,
): void {
  const previousLsn = lsnOf(previousLogPosition)
  if (before?.lastHandedOut !== undefined && lastHandedOut < before.lastHandedOut) {
    throw new StoreRewoundError(
      `the sequence of ${sql.table} went back from ${before.lastHandedOut} to ${lastHandedOut} (setval?); numbers up to ` +
        `${before.settled} are settled and would not be read again. ${toDecide}`,
    )
  }
  if (previousLsn !== undefined && parseLsn(insertLsn) < parseLsn(previousLsn)) {
    throw new StoreRewoundError(
      `the server's log went back from ${previousLsn} to ${insertLsn} (a snapshot restored?). ${toDecide}`,
    )
  }
}

/** The same for stored progress from before this process or this incarnation. */
export function requireStoredConsistent(
  stored: readonly StoredProgress<bigint>[],
  found: {
    readonly incarnation: string
    readonly poll: SeenNumbers
    /** Whether progress lies in the events' own log, which a failover keeps consistent with them. */
    readonly isShared: boolean
    readonly toDecide: string
  },
): void {
  const rewound = (what: string): never => {
    throw new StoreRewoundError(`${what}. ${found.toDecide}`)
  }
  const now = parseIncarnation(found.incarnation)
  const { lastHandedOut, insertLsn } = found.poll
  for (const progress of stored) {
    const of =
      progress.unit === undefined ? 'the settled position' : `the checkpoint of "${unitName(progress.unit)}"`
    if (progress.position !== undefined) requireHandedOut(of, progress.position, found.poll, found.toDecide)
    const then = progress.incarnation === undefined ? undefined : parseIncarnation(progress.incarnation)
    if (then === undefined || now === undefined) continue
    if (then.systemIdentifier !== now.systemIdentifier) {
      rewound(
        `${of} is of server ${then.systemIdentifier}, but this is server ${now.systemIdentifier}: after a dump and ` +
          'restore, pg_upgrade or a switch by logical replication the events are the same, and nothing is lost; on a ' +
          'wrong server they are not',
      )
    }
    if (!found.isShared && then.timeline !== now.timeline) {
      rewound(
        `${of} is of timeline ${then.timeline}, but this is timeline ${now.timeline}: after a failover or restore, ` +
          'events that were processed may be gone, and their numbers come back',
      )
    }
    // A settled position alone is saved without a look at the server: it may be of a run that has crashed meanwhile.
    const isWitness = progress.unit !== undefined || progress.incarnation === found.incarnation
    const lsn = lsnOf(progress.logPosition)
    if (isWitness && lsn !== undefined && parseLsn(insertLsn) < parseLsn(lsn)) {
      rewound(`${of} was written at log position ${lsn}, but the server stands at ${insertLsn}`)
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

/** The sequence has handed out what was passed. */
export function requireHandedOut(
  of: string,
  position: bigint,
  { lastHandedOut }: Pick<SeenNumbers, 'lastHandedOut'>,
  toDecide: string,
): void {
  if (lastHandedOut >= position) return
  throw new StoreRewoundError(
    `${of} stands at ${position}, but the sequence has only handed out numbers up to ${lastHandedOut}. ${toDecide}`,
  )
}

/** How each such message ends. */
export function halted(toDecide: string | undefined): string {
  return `Tidemark halts here. ${toDecide ?? NO_STORE}`
}

const NO_STORE =
  'Find out which events were processed that the store no longer has; then set whatever remembers your position to one that ' +
  'still holds, and restart'
