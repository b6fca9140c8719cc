import { expect, test } from 'vitest'
import { boundedClient } from '../../packages/pg-adapter/src/query-timeout.ts'

/** A connection whose server ends every statement after a while. */
const ending = (afterMs: number, queryTimeoutMs: number) =>
  boundedClient(
    {
      query: async () => {
        await new Promise((resolve) => setTimeout(resolve, afterMs))
        throw Object.assign(new Error('canceling statement due to statement timeout'), { code: '57014' })
      },
      release: () => {},
      on: () => {},
      removeListener: () => {},
    },
    queryTimeoutMs,
  )

test('a statement that the server ended long before its time is blamed on the limit that is lower, not on queryTimeoutMs', async () => {
  const error = ending(0, 30_000).query('select 1')
  await expect(error).rejects.toMatchObject({ code: 'TIDEMARK_QUERY_TIMEOUT' })
  await expect(error).rejects.toThrow(/after \d+ ms, .*raise the statement_timeout of this role/)
})

test('one that took its whole time is told so', async () => {
  await expect(ending(60, 50).query('select 1')).rejects.toThrow(
    /which has queryTimeoutMs \(50 ms\).*or raise queryTimeoutMs/,
  )
})
