import type { Holder, LateEvent } from '@tidemark/core/adapter'
import type { ClockReading } from '../append-time.ts'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { ServerIdentity } from '../server/incarnation.ts'
import { parseSnapshot, type Snapshot } from '../server/snapshot.ts'
import { type Inspection, parseInspection } from './inspection.ts'
import { parseLateEvents } from './late-events.ts'
import type { PollRequest } from './poll-sql.ts'
import { windowEndOf } from './poll-window.ts'
import { fail, mayNotRead } from './sequence-conditions.ts'

/** What one poll saw. */
export interface PostgresPoll {
  /** The greatest visible position above `compareAbove`, read *before* `lastHandedOut`. */
  readonly greatestVisible: bigint | undefined
  /** Whether that was looked for. */
  readonly isCompared: boolean
  /** Step 1, `v`. */
  readonly lastHandedOut: bigint
  /** Step 2, `W`. */
  readonly holders: readonly Holder[]
  /** Those that hold the lock of a sequence that filled the column before, and not this one's. */
  readonly formerHolders: readonly Holder[]
  /** Step 3. */
  readonly visible: readonly bigint[]
  /** How far step 3 has looked. */
  readonly windowEnd: bigint | undefined
  /** What is visible now of the watched runs. */
  readonly late: readonly LateEvent[]
  readonly fingerprint: string
  /** Whether partitions changed while step 3 looked them up. What it then read may lack those of a new one. */
  readonly mayLackPartition: boolean
  /** What the catalog said at the end of this poll; where it was asked for, and one statement can tell. */
  readonly inspection: Inspection | undefined
  readonly backendKey: string
  /** Read only from a backend that was not known. */
  readonly identity: ServerIdentity | undefined
  readonly insertLsn: string
  /** What could be seen after all steps; the catalog of `fingerprint` too. */
  readonly snapshot: Snapshot
  readonly isFlushed: boolean
  /** `undefined`: nothing was. */
  readonly along: ReadAlong | undefined
}

/** What was read along with a poll, with a snapshot taken after all of its steps. */
export interface ReadAlong {
  /** The rows of each statement. */
  readonly rows: readonly Record<string, unknown>[][]
  readonly clock: ClockReading
  /** What came over the network, with the poll. */
  readonly bytes: number | undefined
}

type Options = ResolvedPostgresEventsOptions<unknown>

/** The columns of all rows of a message, under their names. */
export type Row = Readonly<Record<string, unknown>>

export function toPoll(
  options: Options,
  row: Row,
  request: PollRequest,
  lastHandedOut: bigint,
  along?: ReadAlong,
): PostgresPoll {
  const visible = row.visible === '' ? [] : String(row.visible).split(',').map(BigInt)
  return {
    greatestVisible: typeof row.greatestVisible === 'string' ? BigInt(row.greatestVisible) : undefined,
    isCompared: request.compareAbove !== undefined,
    lastHandedOut,
    ...toHolders(String(row.holders)),
    visible,
    windowEnd: windowEndOf(request.visibleAbove, visible),
    late: parseLateEvents(row.late),
    fingerprint: String(row.fingerprint),
    mayLackPartition: row.fingerprintBefore !== undefined && row.fingerprintBefore !== row.fingerprint,
    inspection: typeof row.facts === 'string' ? parseInspection(row.facts, options) : undefined,
    backendKey: String(row.backendKey),
    identity: typeof row.identity === 'string' ? (JSON.parse(row.identity) as ServerIdentity) : undefined,
    insertLsn: String(row.insertLsn),
    snapshot: toSnapshot(row),
    isFlushed: row.isFlushed === 'true',
    along,
  }
}

function toSnapshot(row: Row): Snapshot {
  const snapshot = parseSnapshot(String(row.snapshot))
  if (snapshot === undefined) throw new TypeError(`pg_current_snapshot() is ${String(row.snapshot)}`)
  return snapshot
}

interface ListedHolder {
  readonly transaction: string
  readonly pid: number | null
  readonly applicationName: string | null
  readonly startedAt: string | null
  readonly isFormer: boolean
}

/** One lock may be listed twice; who holds both kinds of sequences holds this one. */
function toHolders(json: string): Pick<PostgresPoll, 'holders' | 'formerHolders'> {
  const listed = JSON.parse(json) as ListedHolder[]
  const holders = byTransaction(listed.filter(({ isFormer }) => !isFormer))
  const former = byTransaction(listed.filter(({ isFormer }) => isFormer))
  for (const transaction of holders.keys()) former.delete(transaction)
  return { holders: [...holders.values()], formerHolders: [...former.values()] }
}

function byTransaction(listed: readonly ListedHolder[]): Map<string, Holder> {
  return new Map(
    listed.map(({ transaction, pid, applicationName, startedAt }) => [
      transaction,
      {
        transaction,
        pid: pid ?? undefined,
        applicationName: applicationName ?? undefined,
        startedAt: startedAt === null ? undefined : new Date(startedAt),
      },
    ]),
  )
}

/** Of a message that has read `uncalledSql` too. `undefined`: it is another sequence, or no longer uncalled. */
export function lastHandedOutOfUncalled(row: Row, request: PollRequest): bigint | undefined {
  if (row.lastHandedOut !== null) return BigInt(String(row.lastHandedOut))
  const isStillUncalled =
    isReadable(row, request) && row.isCalled === 'false' && row.uncalledOid === request.sequence.oid
  return isStillUncalled ? BigInt(String(row.uncalledLastValue)) - 1n : undefined
}

/** NULL alone means nothing: 18 answers it for a missing privilege and for a missing oid. */
export function isReadable(row: Row, { inspection, sequence }: PollRequest): boolean {
  if (row.sequenceExists !== 'true') return false
  if (row.mayReadSequence === 'true') return true
  return fail('sequence_privilege', mayNotRead(sequence.name, inspection.role))
}
