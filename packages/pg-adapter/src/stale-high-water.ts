import {
  denseOrder,
  type HighWaterReading,
  type HighWaterRequest,
  type Holder,
  type OpenedSource,
  passStaleGaps,
  resumeSettled,
  type StaleThreshold,
  startStaleThreshold,
} from '@tidemark/core/adapter'
import { withConnection } from './client.ts'
import { openWriters } from './open-writers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { POSSIBLE_WRITERS, parsePossibleWriters } from './possible-writers.ts'
import { requireReadableInOrder, requireTable } from './proof/conditions.ts'
import { requireComparableWhere } from './proof/event-rows.ts'
import { requireGlobalOrder } from './proof/global-order.ts'
import { type InspectedSequence, inspect } from './proof/inspection.ts'
import { transactUnlessLocked } from './transaction.ts'

/** Stale-threshold mode proves nothing, so another incarnation takes nothing back. */
const UNPROVEN_INCARNATION = 'unproven'

const WINDOW = 1_000

interface Memory {
  readonly threshold: StaleThreshold
}

interface Opened {
  readonly sequence: InspectedSequence | undefined
}

/** Checks what this mode needs of the table. */
export async function openStale(
  options: ResolvedPostgresEventsOptions<unknown>,
  signal: AbortSignal,
): Promise<OpenedSource> {
  const inspection = await inspect(options, signal)
  requireTable(inspection, options)
  await requireGlobalOrder(inspection, options, signal)
  requireReadableInOrder(inspection, options)
  await requireComparableWhere(options, signal)
  const memory: Opened = { sequence: inspection.sequence }
  return { incarnation: UNPROVEN_INCARNATION, memory }
}

/**
 * One poll of stale-threshold mode: what is visible, in one snapshot. Where numbers are taken ahead, a statement before it
 * says which transactions are open: what those have inserted that have ended by then is visible to that snapshot.
 */
export async function readStaleHighWater(
  options: ResolvedPostgresEventsOptions<unknown>,
  thresholdMs: number,
  { previous, opened, stored, signal }: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const before = (previous?.memory as Memory | undefined)?.threshold ?? start(opened.memory as Opened, stored)
  const askedAtMs = performance.now()
  const { head, visible, writers } = await readVisible(options, before.mark, signal)
  const { state, skipped, gaps, waitsFor } = passStaleGaps(
    before,
    {
      head,
      visible,
      open: writers?.map(({ transaction }) => transaction),
      askedAtMs,
      answeredAtMs: performance.now(),
    },
    thresholdMs,
  )
  const heldBy = skipped.length === 0 ? undefined : await openWriters(options, signal)
  return {
    // The row at the mark may have been deleted.
    head: isBelow(head, state.mark) ? state.mark : head,
    settled: state.mark,
    mark: state.mark,
    gaps,
    holders: (writers ?? []).filter(({ transaction }) => waitsFor.includes(transaction)),
    provenEmpty: [],
    skipped: skipped.map((run) => ({ ...run, heldBy })),
    incarnation: UNPROVEN_INCARNATION,
    logPosition: undefined,
    memory: { threshold: state } satisfies Memory,
  }
}

function isBelow(head: bigint | undefined, mark: bigint | undefined): boolean {
  return mark !== undefined && (head === undefined || head < mark)
}

function start({ sequence }: Opened, stored: HighWaterRequest<bigint>['stored'] = []): StaleThreshold {
  const mark = resumeSettled(denseOrder, stored, UNPROVEN_INCARNATION)
  return startStaleThreshold(mark, sequence === undefined ? undefined : sequence.start - 1n)
}

interface Visible {
  readonly head: bigint | undefined
  readonly visible: readonly bigint[]
  /** Who may still insert; `undefined`: nobody is waited for. */
  readonly writers: readonly Holder[] | undefined
}

async function readVisible(
  { pool, sql, isTakenAhead }: ResolvedPostgresEventsOptions<unknown>,
  mark: bigint | undefined,
  signal: AbortSignal,
): Promise<Visible> {
  const results = await withConnection(pool, signal, (client) =>
    transactUnlessLocked(
      client,
      `${isTakenAhead ? `${POSSIBLE_WRITERS};` : ''}
       select (select max(${sql.position}) from ${sql.table})::text as head, array_to_string(array(
         select ${sql.position} from ${sql.table}
         ${mark === undefined ? '' : `where ${sql.position} > ${mark}`}
         order by ${sql.position} limit ${WINDOW}
       ), ',') as visible`,
    ),
  )
  const { head, visible } = results.at(-1)?.rows[0] ?? {}
  return {
    head: typeof head === 'string' ? BigInt(head) : undefined,
    visible: visible ? String(visible).split(',').map(BigInt) : [],
    writers: isTakenAhead ? parsePossibleWriters(results[0]?.rows[0]) : undefined,
  }
}
