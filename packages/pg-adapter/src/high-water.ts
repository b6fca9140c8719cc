import type { HighWaterReading, HighWaterRequest, OpenedSource } from '@tidemark/core/adapter'
import type { ResolvedPostgresEventsOptions } from './options.ts'
import { openProven } from './proof/first-poll.ts'
import type { InspectedSequence } from './proof/inspection.ts'
import type { SourceMemory } from './proof/poll-memory.ts'
import { readProvenHighWater } from './proof/proven-high-water.ts'
import { openStale, readStaleHighWater } from './stale-high-water.ts'

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

/** One poll, in the mode that the options name. */
export async function readHighWater(
  options: Options,
  memory: SourceMemory,
  request: HighWaterRequest<bigint>,
): Promise<HighWaterReading<bigint>> {
  return options.staleThreshold === undefined
    ? await readProvenHighWater(options, memory, request)
    : await readStaleHighWater(options, options.staleThreshold.thresholdMs, request)
}
