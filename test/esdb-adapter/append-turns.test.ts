import type { CheckpointStore } from '@tidemark/core'
import { wholeUnit } from '@tidemark/core/adapter'
import { esdbCheckpoints } from '@tidemark/esdb-adapter'
import { expect, test } from 'vitest'

const NOTHING = { incarnation: 'log', settled: '0', logPosition: undefined }

test('checkpoints of one process are appended one at a time, whatever the number of projections and stores', async () => {
  const pending: (() => void)[] = []
  let most = 0
  const inTurn = async (): Promise<void> => {
    const answered = new Promise<void>((resolve) => pending.push(resolve))
    most = Math.max(most, pending.length)
    setImmediate(() => pending.shift()?.())
    await answered
  }
  const client = {
    async *readStream(): AsyncGenerator<never> {},
    appendToStream: async () => {
      await inTurn()
      return { success: true, nextExpectedRevision: 0n }
    },
    setStreamMetadata: inTurn,
  }
  const first = esdbCheckpoints({ client })
  const second = esdbCheckpoints({ client })
  const advance = (store: CheckpointStore<undefined>, projection: string): Promise<unknown> =>
    store.advance(
      {
        unit: wholeUnit(projection),
        source: '$all',
        from: undefined,
        to: '0/0',
        evidence: NOTHING,
        signal: new AbortController().signal,
      },
      async () => {},
    )
  await Promise.all([advance(first, 'a'), advance(first, 'b'), advance(second, 'c'), advance(second, 'd')])
  expect(most).toBe(1)
})
