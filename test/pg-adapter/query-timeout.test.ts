import { afterEach, expect, test, vi } from 'vitest'
import { withConnection } from '../../packages/pg-adapter/src/client.ts'
import { boundedClient, boundedPool } from '../../packages/pg-adapter/src/query-timeout.ts'

afterEach(() => {
  vi.useRealTimers()
})

/** As the server says it, in its language. */
const canceled = () => Object.assign(new Error('Anweisung wird storniert'), { code: '57014' })

/** A connection whose server ends every statement after a while. */
const ending = (afterMs: number, queryTimeoutMs: number, error: Error = canceled()) =>
  boundedClient(
    {
      query: async () => {
        await new Promise((resolve) => setTimeout(resolve, afterMs))
        throw error
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

test('one that a pool tells in an error of its own is found in its causes', async () => {
  const told = new Error('the query failed', { cause: new Error('of this instance', { cause: canceled() }) })
  await expect(ending(0, 30_000, told).query('select 1')).rejects.toMatchObject({
    code: 'TIDEMARK_QUERY_TIMEOUT',
    cause: told,
  })
})

test('a connection on which no answer came in time is destroyed, not returned, though the answer comes later', async () => {
  vi.useFakeTimers()
  const released: (boolean | undefined)[] = []
  let answer = (): void => {}
  const client = {
    query: () =>
      new Promise<never>((resolve) => {
        answer = () => resolve(undefined as never)
      }),
    release: (destroy?: boolean) => void released.push(destroy),
    on: () => {},
    removeListener: () => {},
  }
  const pool = boundedPool({ connect: async () => client }, 30_000)
  const asked = withConnection(pool, new AbortController().signal, (given) => given.query('select 1'))
  const failed = expect(asked).rejects.toMatchObject({ code: 'TIDEMARK_QUERY_TIMEOUT' })
  await vi.advanceTimersByTimeAsync(31_000)
  answer()
  await failed
  expect(released).toEqual([true])
})
