import type { StoredConsumer } from '@tidemark/core/adapter'
import { type AxonToken, parseAxonToken } from './axon-token.ts'

/** A row of Axon's token table: one segment of a processor. */
export interface AxonSegment {
  readonly processor: string
  readonly segment: string
  /** The token's class; `undefined` where nothing was stored yet. */
  readonly type: string | undefined
  readonly token: Uint8Array | undefined
}

interface ReadSegment {
  readonly processor: string
  readonly segment: string
  readonly token: AxonToken
}

/**
 * Each processor as one consumer. An event is handled by one of its segments, and nothing says by which: each segment passes
 * the events of the others too. So the processor has passed an event only when every segment has.
 *
 * A gap that any processor keeps is kept for all of them. Processors in one Java process share a cache of events, and it hands
 * a late event also to one whose own token has dropped that gap.
 */
export function axonProcessors(rows: readonly AxonSegment[]): readonly StoredConsumer[] {
  const segments = rows
    .map(({ processor, segment, type, token }) => ({
      processor,
      segment,
      token: parseAxonToken(type, token),
    }))
    .toSorted((a, b) => Number(a.segment) - Number(b.segment))
  const gaps = segments.flatMap(({ token }) => ('index' in token ? token.gaps : []))
  const kept = [...new Set(gaps)].toSorted(ascending)
  return [...new Set(segments.map(({ processor }) => processor))].map((consumer) => {
    const own = segments.filter(({ processor }) => processor === consumer)
    return {
      consumer,
      checkpoint: passedByAll(own, kept),
      text: own.map(describeSegment).join('; '),
      run: undefined,
    }
  })
}

function passedByAll(
  segments: readonly ReadSegment[],
  kept: readonly bigint[],
): StoredConsumer['checkpoint'] {
  const indexes = segments.flatMap(({ token }) => ('index' in token ? [token.index] : []))
  const [position] = indexes.toSorted(ascending)
  if (position === undefined || indexes.length < segments.length) return undefined
  return { kind: 'gaps', position, gaps: kept.filter((gap) => gap <= position) }
}

const MOST_NAMED = 5

/** For `status()`: a token with many gaps is long. */
function describeSegment({ segment, token }: ReadSegment): string {
  if ('cannotTell' in token) return `segment ${segment}: cannot tell, ${token.cannotTell}`
  const { index, gaps } = token
  const named = gaps.slice(0, MOST_NAMED).join(', ')
  const more = gaps.length > MOST_NAMED ? ` and ${gaps.length - MOST_NAMED} more` : ''
  return `segment ${segment}: ${index}${gaps.length === 0 ? '' : ` without ${named}${more}`}`
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
