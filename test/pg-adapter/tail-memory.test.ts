import fc from 'fast-check'
import { expect, test } from 'vitest'
import { copyRows } from '../../packages/pg-adapter/src/copy-rows.ts'
import { type BroughtRun, TailMemory } from '../../packages/pg-adapter/src/tail-memory.ts'

const TYPES = ['a', 'b', 'c']
const typeOf = (position: bigint): string => TYPES[Number(position % 3n)] ?? ''
/** Numbers that died. */
const isThere = (position: bigint): boolean => position % 5n !== 0n

const clock = { sentAtMs: 0, serverMs: 0, answeredAtMs: 0 }
const asText = { position: false, appendedAt: false }

function runOf(
  after: bigint,
  upTo: bigint,
  types: readonly string[] | undefined,
  more: Partial<BroughtRun> = {},
) {
  const positions = Array.from({ length: Number(upTo - after) }, (_, n) => after + BigInt(n) + 1n)
  const rows = positions
    .filter((position) => isThere(position) && (types?.includes(typeOf(position)) ?? true))
    .map((position) => ({
      position,
      types: [typeOf(position)],
      row: { position, data: { of: [position], made: new Date(0) } },
    }))
  const run: BroughtRun = {
    ...{ after, upTo, rows, asText, clock },
    incarnation: 'first',
    isOfEveryType: types === undefined,
    types: new Set(types ?? TYPES),
    bytes: rows.length,
    readAtMs: 0,
    ...more,
  }
  return run
}

const anyTypes = fc.option(fc.subarray(TYPES), { nil: undefined })

test('whatever polls have brought, a page of it is all that is wanted up to its end, in order, and of its reader alone', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          steps: fc.integer({ min: 1, max: 9 }),
          cut: fc.integer({ min: 0, max: 3 }),
          types: anyTypes,
        }),
        {
          maxLength: 12,
        },
      ),
      fc.array(
        fc.record({
          after: fc.bigInt({ min: 0n, max: 60n }),
          length: fc.bigInt({ min: 1n, max: 40n }),
          limit: fc.integer({ min: 1, max: 20 }),
          mostBytes: fc.integer({ min: 1, max: 30 }),
          eventTypes: anyTypes,
        }),
        { maxLength: 12 },
      ),
      (polls, takes) => {
        const memory = new TailMemory()
        let mark = 0n
        for (const { steps, cut, types } of polls) {
          const end = mark + BigInt(Math.max(1, steps - cut))
          memory.add(runOf(mark, end, types))
          mark += BigInt(steps)
        }
        for (const { after, length, eventTypes, ...bounds } of takes) {
          const asked = { after, upTo: after + length, eventTypes, incarnation: 'first', ...bounds }
          const taken = memory.take(asked, 1)
          if (taken === undefined) continue
          expect(taken.upTo).toBeGreaterThan(after)
          expect(taken.upTo).toBeLessThanOrEqual(mark)
          const rows = taken.parts.flatMap((part) => part.rows)
          const wanted = runOf(after, taken.upTo, eventTypes).rows.map(({ row }) => row)
          expect(rows).toEqual(wanted)
          for (const { data } of rows as { data: { of: unknown[]; made: Date } }[]) {
            data.of.push('spoilt')
            data.made.setTime(1)
          }
        }
      },
    ),
  )
})

test('a page of which every position is kept, with its types, is never read', () => {
  const memory = new TailMemory()
  for (let n = 0n; n < 5n; n++) memory.add(runOf(n * 4n, n * 4n + 4n, n % 2n === 0n ? undefined : ['a', 'b']))
  const whole = { limit: 100, mostBytes: 1_000, incarnation: 'first' }
  for (let after = 0n; after < 20n; after++) {
    const taken = memory.take({ ...whole, after, upTo: 20n, eventTypes: ['a'] }, 1)
    expect(taken?.upTo).toBe(20n)
  }
})

test.each([
  ['of another incarnation', { incarnation: 'second' }, {}, 1],
  ['of types that were not asked for', {}, { eventTypes: ['other'] }, 1],
  ['that begins before what is kept', {}, { after: 3n }, 1],
  ['that begins after what is kept', {}, { after: 9n }, 1],
  ['that was read long ago', {}, {}, 10_000],
] as const)('a page %s has to be read', (_, run, asked, nowMs) => {
  const memory = new TailMemory()
  memory.add(runOf(4n, 8n, undefined, run))
  const request = {
    after: 4n,
    upTo: 20n,
    limit: 100,
    mostBytes: 1_000,
    eventTypes: undefined,
    incarnation: 'first',
  }
  expect(memory.take({ ...request, ...asked }, nowMs)).toBeUndefined()
})

test('the memory that is taken up is bounded: the oldest is forgotten, the newest is kept, however large it is', () => {
  const memory = new TailMemory()
  const asked = {
    limit: 100,
    mostBytes: Number.POSITIVE_INFINITY,
    eventTypes: undefined,
    incarnation: 'first',
  }
  const isKept = (after: bigint) => memory.take({ ...asked, after, upTo: after + 4n }, 1) !== undefined
  for (let n = 0n; n < 6n; n++) memory.add(runOf(n * 4n, n * 4n + 4n, undefined, { bytes: 2 ** 20 }))
  expect([0n, 4n, 8n, 12n, 16n, 20n].map(isKept)).toEqual([false, false, false, true, true, true])
  memory.add(runOf(24n, 28n, undefined, { bytes: 2 ** 30 }))
  expect(isKept(24n)).toBe(true)
  memory.add(runOf(28n, 32n, undefined))
  expect([20n, 24n, 28n].map(isKept)).toEqual([false, false, true])
  for (let n = 8n; n < 100n; n++) memory.add(runOf(n * 4n, n * 4n + 4n, undefined))
  expect([67n, 68n].map((n) => isKept(n * 4n))).toEqual([false, true])
})

class OfAParser {}

test.each<[string, unknown, boolean]>([
  ['null', null, true],
  ['text', 'a', true],
  ['a bigint', 5n, true],
  ['JSON', { a: [1, { b: null }], c: false }, true],
  ['JSON with a key of that name', JSON.parse('{"__proto__": {"a": 1}}'), true],
  ['an object without a prototype', Object.assign(Object.create(null), { a: 1 }), true],
  ['a time', new Date(5), true],
  ['bytes', Buffer.from('abc'), true],
  ['an array of times', [new Date(5), null], true],
  ['an object of a class', new OfAParser(), false],
  ['one inside an array', [[new OfAParser()]], false],
  ['a Map', new Map(), false],
  ['a function', () => 1, false],
])('a value that is %s is copied, or said to be no value that can be', (_, value, isCopied) => {
  const row = { value }
  const [copy] = copyRows([row]) ?? []
  expect(copy !== undefined).toBe(isCopied)
  if (copy === undefined) return
  expect(copy).toEqual(row)
  if (typeof value === 'object' && value !== null) {
    expect(copy.value).not.toBe(value)
    expect(Object.getPrototypeOf(copy.value)).toBe(Object.getPrototypeOf(value))
  }
})
