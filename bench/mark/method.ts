import { createHighWaterAgent, type HighWaterAgent } from '@tidemark/core'
import { postgresCheckpoints, postgresEvents } from '@tidemark/pg-adapter'
import type pg from 'pg'
import { machineNowMs } from './writers-protocol.ts'
import { xminFilter } from './xmin-filter.ts'

export type MethodName = 'Tidemark' | 'xmin filter' | 'fixed wait'

export interface Method {
  readonly agent: HighWaterAgent<bigint>
  /** When the event at this position could be read; `undefined` when it never could. */
  readonly readableAtMs: (position: number) => number | undefined
}

export function createMethod(
  name: MethodName,
  pool: pg.Pool,
  table: string,
  options: { readonly pollTimeShare: number; readonly thresholdMs: number },
): Method {
  const { pollTimeShare, thresholdMs } = options
  if (name === 'xmin filter') {
    const readableAt = new Map<number, number>()
    const source = xminFilter(pool, table, (positions) => {
      const now = machineNowMs()
      for (const position of positions) readableAt.set(position, now)
    })
    return {
      agent: createHighWaterAgent({ source, pollTimeShare, pollDelayMs: 0 }),
      readableAtMs: (position) => readableAt.get(position),
    }
  }
  const marks: { readonly mark: number; readonly atMs: number }[] = []
  const agent = createHighWaterAgent({
    source: postgresEvents({
      pool,
      table,
      highWater: name === 'Tidemark' ? { mode: 'proof' } : { mode: 'stale-threshold', thresholdMs },
    }),
    checkpoints: postgresCheckpoints({ pool }),
    pollTimeShare,
    // So that the share alone decides.
    pollDelayMs: 0,
    telemetry: {
      polled: ({ reading }) => {
        const mark = Number(reading.mark ?? 0)
        if (mark > (marks.at(-1)?.mark ?? 0)) marks.push({ mark, atMs: machineNowMs() })
      },
    },
  })
  return { agent, readableAtMs: (position) => firstReaching(marks, position) }
}

function firstReaching(
  marks: readonly { readonly mark: number; readonly atMs: number }[],
  position: number,
): number | undefined {
  let low = 0
  let high = marks.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((marks[middle]?.mark ?? 0) >= position) high = middle
    else low = middle + 1
  }
  return marks[low]?.atMs
}
