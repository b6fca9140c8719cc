import type { EventSource, HighWaterReading } from '@tidemark/core'
import type { StoredProgress } from '@tidemark/core/adapter'
import { never } from './never.ts'

/** One poll of a source by itself, which goes on from `previous`, or opens the source. */
export async function pollOf<P>(
  source: EventSource<P, unknown>,
  previous?: HighWaterReading<P>,
  stored: readonly StoredProgress<P>[] = [],
  told?: P,
): Promise<HighWaterReading<P>> {
  const signal = never()
  const opened = previous
    ? { incarnation: previous.incarnation, memory: undefined }
    : await source.open({ signal })
  return await source.readHighWater({
    previous,
    opened,
    stored,
    sharesLog: true,
    signal,
    ...(told === undefined ? {} : { told }),
  })
}
