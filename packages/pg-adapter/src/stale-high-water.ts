import {
  denseOrder,
  type HighWaterReading,
  type HighWaterRequest,
  type OpenedSource,
  passStaleGaps,
  resumeSettled,
  type StaleThreshold,
  startStaleThreshold,
} from '@tidemark/core/adapter'
import { withConnection } from './client.ts'
import { openWriters } from './open-writers.ts'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { requireReadableInOrder, requireTable } from './proof/conditions.ts'
import { requireComparableWhere } from './proof/event-rows.ts'
import { requireGlobalOrder } from './proof/global-order.ts'
import { inspect } from './proof/inspection.ts'
import { transactUnlessLocked } from './transaction.ts'

/** Stale-threshold mode proves nothing, so another incarnation takes nothing back. */
const UNPROVEN_INCARNATION = 'unproven'

const WINDOW = 1_000

interface Memory {
  readonly threshold: StaleThreshold
}

interface Opened {
  readonly sequenceStart: bigint | undefined
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
  const memory: Opened = { sequenceStart: inspection.sequence?.start }
  return { incarnation: UNPROVEN_INCARNATION, memory }
}

/** One poll of stale-threshold mode: the visible positions alone, in one statement and one snapshot. */
export async function readStaleHighWater(
  options: ResolvedPostgresEventsOptions<unknown>,
  thresholdMs: number,
  { previous, opened, stored, signal }: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const before = (previous?.memory as Memory | undefined)?.threshold ?? start(opened.memory as Opened, stored)
  const nowMs = performance.now()
  const { head, visible } = await readVisible(options, before.mark, signal)
  const { state, skipped, gaps } = passStaleGaps(before, { head, visible, nowMs }, thresholdMs)
  const heldBy = skipped.length === 0 ? undefined : await openWriters(options, signal)
  return {
    // The row at the mark may have been deleted.
    head: isBelow(head, state.mark) ? state.mark : head,
    settled: state.mark,
    mark: state.mark,
    gaps,
    holders: [],
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

function start({ sequenceStart }: Opened, stored: HighWaterRequest<bigint>['stored'] = []): StaleThreshold {
  const mark = resumeSettled(denseOrder, stored, UNPROVEN_INCARNATION)
  return startStaleThreshold(mark, sequenceStart === undefined ? undefined : sequenceStart - 1n)
}

async function readVisible(
  { pool, sql }: ResolvedPostgresEventsOptions<unknown>,
  mark: bigint | undefined,
  signal: AbortSignal,
): Promise<{ head: bigint | undefined; visible: bigint[] }> {
  const [seen] = await withConnection(pool, signal, (client) =>
    transactUnlessLocked(
      client,
      `select (select max(${sql.position}) from ${sql.table})::text as head, array_to_string(array(
         select ${sql.position} from ${sql.table}
         ${mark === undefined ? '' : `where ${sql.position} > ${mark}`}
         order by ${sql.position} limit ${WINDOW}
       ), ',') as visible`,
    ),
  )
  const { head, visible } = seen?.rows[0] ?? {}
  return {
    head: typeof head === 'string' ? BigInt(head) : undefined,
    visible: visible ? String(visible).split(',').map(BigInt) : [],
  }
}
