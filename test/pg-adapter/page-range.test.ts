import fc from 'fast-check'
import { expect, test, vi } from 'vitest'
import { QueryTimeoutError } from '../../packages/pg-adapter/src/errors.ts'
import { PageRanges, rangeAfterPage, rangeAfterTimeout } from '../../packages/pg-adapter/src/page-range.ts'

const LIMIT_MS = 1_000

test('a page that took too long is followed by narrower ones, down to one position', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 2n, max: 2n ** 63n }), (positions) => {
      const next = rangeAfterTimeout(positions)
      expect(next).toBeGreaterThanOrEqual(1n)
      expect(next).toBeLessThan(positions)
    }),
  )
  expect(rangeAfterTimeout(1n)).toBe(1n)
})

test('over a store that reads so many positions a second, ranges come to where pages are neither tiny nor too long', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 10_000_000 }),
      fc.bigInt({ min: 1n, max: 2n ** 62n }),
      (perSecond, positions) => {
        const took = (range: bigint) => (Number(range) / perSecond) * 1_000
        let range: bigint | undefined = positions
        let timeouts = 0
        for (let page = 0; page < 100; page++) {
          if (range === undefined) throw new Error('it was never too wide')
          if (took(range) >= LIMIT_MS) timeouts++
          range =
            took(range) >= LIMIT_MS ? rangeAfterTimeout(range) : rangeAfterPage(range, took(range), LIMIT_MS)
        }
        expect(timeouts).toBeLessThanOrEqual(19)
        expect(took(range ?? 0n)).toBeGreaterThanOrEqual(LIMIT_MS / 8)
        expect(took(range ?? 0n)).toBeLessThanOrEqual(LIMIT_MS / 2)
      },
    ),
  )
})

test('where nothing takes long any more there is no range, and no number grows for ever', () => {
  let range: bigint | undefined = 1n
  for (let pages = 0; range !== undefined; pages++) {
    expect(pages).toBeLessThan(100)
    range = rangeAfterPage(range, 0, LIMIT_MS)
  }
})

const TRANSACTION_TIMEOUT = Object.assign(new Error('terminating connection'), { code: '25P04' })
const READ_TIMEOUT = new Error('Query read timeout')
const wrapped = (cause: Error) => new Error('failed', { cause: new Error('of this pool', { cause }) })

test.each([
  ['queryTimeoutMs', new QueryTimeoutError(LIMIT_MS)],
  ['transaction_timeout', TRANSACTION_TIMEOUT],
  ["transaction_timeout, told in an error of the pool's own", wrapped(TRANSACTION_TIMEOUT)],
  ['query_timeout of node-postgres', READ_TIMEOUT],
  ["query_timeout of node-postgres, told in an error of the pool's own", wrapped(READ_TIMEOUT)],
])('a page that was ended by %s is followed by a narrower one', async (_, error) => {
  const ranges = new PageRanges()
  const learnt = ranges.learn(undefined, 1_000n, LIMIT_MS, () => Promise.reject(error))
  await expect(learnt).rejects.toBe(error)
  expect(ranges.of(undefined)).toBe(100n)
})

test("a limit of somebody else's that has ended a page is known from then on: pages that come near it become no wider", async () => {
  let nowMs = 0
  const now = vi.spyOn(performance, 'now').mockImplementation(() => nowMs)
  const ranges = new PageRanges()
  const page = async (tookMs: number, error?: Error) => {
    const read = async () => {
      nowMs += tookMs
      if (error) throw error
    }
    await ranges.learn(undefined, ranges.of(undefined) ?? 1_000n, 30_000, read).catch(() => {})
    return ranges.of(undefined)
  }
  expect(await page(800, READ_TIMEOUT)).toBe(100n)
  expect(await page(90)).toBe(200n)
  expect(await page(180)).toBe(200n)
  expect(await page(500)).toBe(100n)
  now.mockRestore()
})

test('what is filtered for in vain narrows no page of another filter, and other failures none at all', async () => {
  const ranges = new PageRanges()
  const failing = (error: Error) => () => Promise.reject(error)
  const learn = (types: string[] | undefined, error: Error) =>
    ranges.learn(types, 1_000n, LIMIT_MS, failing(error)).catch((reason: unknown) => reason)
  expect(await learn(['rare'], new QueryTimeoutError(LIMIT_MS))).toBeInstanceOf(QueryTimeoutError)
  await learn(undefined, new Error('connection refused'))
  expect([ranges.of(['rare']), ranges.of(['frequent']), ranges.of(undefined)]).toEqual([
    100n,
    undefined,
    undefined,
  ])
})
