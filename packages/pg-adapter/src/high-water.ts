import type { HighWaterReading, HighWaterRequest, OpenedSource } from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { openProven } from './proof/first-poll.ts'
import type { InspectedSequence } from './proof/inspection.ts'
import type { SourceMemory } from './proof/poll-memory.ts'
import { readProvenHighWater } from './proof/proven-high-water.ts'
import { openStale, readStaleHighWater } from './stale-high-water.ts'
import type { Tails } from './tail.ts'

type Options = ResolvedPostgresEventsOptions<unknown>

/** Names the incarnation, and checks what the mode needs of the table. */
export async function openHighWater(
  options: Options,
  memory: SourceMemory,
  signal: AbortSignal,
): Promise<OpenedSource> {
  return options.staleThreshold === undefined
    ? await openProven(options, memory, signal)
    : await openStale(options, signal)
}

/** The sequence, quoted for SQL, that an opened source or a poll of it has found. */
export function sequenceIn(memory: unknown): string | undefined {
  return (memory as { readonly sequence?: InspectedSequence }).sequence?.name
}

/** One poll, in the mode that the options name. Rows come along with one that proves. */
export async function readHighWater(
  options: Options,
  memory: SourceMemory,
  tails: Tails,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  const { staleThreshold } = options
  if (staleThreshold !== undefined)
    return await readStaleHighWater(options, staleThreshold.thresholdMs, request)
  const along = tails.ask(options, request)
  const statements = along === undefined ? [] : [along.statement]
  const answer = await readProvenHighWater(options, memory, request, statements)
  const { reading } = answer
  // The same object where nothing has changed.
  if (along !== undefined && reading !== request.previous) tails.keep(along.asked, reading, answer.along)
  return reading
}
