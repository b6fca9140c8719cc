import { type HighWaterReading, type HighWaterRequest, type Settlement, settle } from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from '../options.ts'
import type { KnownBackends } from '../server/backends.ts'
import { waitUntilDurable } from '../server/durability.ts'
import { halted } from '../server/rewind.ts'
import { requireNoneAbove } from './explicit-positions.ts'
import type { SourceMemory } from './poll-memory.ts'
import { lookUpMark, partitionsOf } from './proven-rows.ts'
import { type JudgedPoll, lookUpMarkAt, readingOf, stillInTheWay } from './reading.ts'
import { type Claim, requireNotReplaced } from './replacement.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** Settles a poll, looks up the mark where it is not known, and answers once no crash can take the answer back. */
export async function conclude(
  options: Options,
  { backends, former }: SourceMemory,
  request: HighWaterRequest<bigint>,
  judged: JudgedPoll,
): Promise<HighWaterReading<bigint>> {
  const { sharesLog, projected, signal } = request
  const { inspection, sequence, poll, incarnation, settlement: before } = judged
  backends.add(incarnation, poll.backendKey)
  backends.partitions = partitionsOf(inspection)
  requireNoneAbove(options, judged)
  const formerHolders = stillInTheWay(poll, before)
  if (formerHolders.length === 0) former.forgetAllBut(sequence.oid)
  const holders = [...poll.holders, ...formerHolders]
  const settled = settle(before, {
    lastHandedOut: poll.lastHandedOut,
    holders: holders.map((holder) => holder.transaction),
    visible: poll.visible,
    windowEnd: poll.windowEnd,
  })
  const pending = await stillPending(options, backends, request, judged, settled.settlement)
  const lookUpAt = lookUpMarkAt(settled, judged)
  const lookedUp =
    lookUpAt === undefined ? undefined : await lookUpMark(options, backends, incarnation, lookUpAt, signal)
  if (!poll.isFlushed && !sharesLog) {
    await waitUntilDurable(options.pool, backends, incarnation, poll.insertLsn, signal)
  }
  return readingOf(judged, { ...settled, holders, lookedUp, pending, projected }, performance.now())
}

/** Throws where what was passed on before the table or its sequence was replaced no longer holds, once that can be told. */
async function stillPending(
  options: Options,
  backends: KnownBackends,
  request: HighWaterRequest<bigint>,
  judged: JudgedPoll,
  { settled }: Settlement,
): Promise<readonly Claim[]> {
  const { pending, poll } = judged
  if (pending.length === 0 || settled === undefined) return pending
  // Whoever held the new sequence when it was first seen has ended.
  const noHolders = { ...judged, poll: { ...poll, holders: [] } }
  const toDecide = halted(request.toDecide)
  return await requireNotReplaced(options, backends, pending, noHolders, toDecide, request.signal)
}
