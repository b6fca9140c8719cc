import type { KeySlots } from '@tidemark/core/adapter'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { copyRows } from '../../packages/pg-adapter/src/copy-rows.ts'
import { type BroughtRun, TailMemory } from '../../packages/pg-adapter/src/tail-memory.ts'

const TYPES = ['a', 'b', 'c']
const typeOf = (position: bigint): string => TYPES[Number(position % 3n)] ?? ''
/** Numbers that died. */
const isThere = (position: bigint): boolean => position % 5n !== 0n

/** Two columns with a key, and eight slots. */
const COLUMNS = ['key', 'other']
const slotBy = (column: string, position: bigint): number =>
  Number((position * (column === 'key' ? 5n : 3n)) % 8n)
const isOf = (slots: KeySlots | undefined, position: bigint): boolean => {
  if (slots === undefined) return true
  const slot = slotBy(slots.column, position)
  return slots.from <= slot && slot <= slots.to
}

const clock = { sentAtMs: 0, serverMs: 0, answeredAtMs: 0 }
const asText = { position: false, appendedAt: false }

function runOf(
  after: bigint,
  upTo: bigint,
  types: readonly string[] | undefined,
  more: Partial<BroughtRun> = {},
) {
  const { slots, keyColumns = slots === undefined ? [] : [slots.column] } = more
  const positions = Array.from({ length: Number(upTo - after) }, (_, n) => after + BigInt(n) + 1n)
  const rows = positions
    .filter((position) => isThere(position) && (types?.includes(typeOf(position)) ?? true))
    .filter((position) => isOf(slots, position))
    .map((position) => ({
      position,
      types: [typeOf(position)],
      slots: keyColumns.map((column) => slotBy(column, position)),
      row: { position, data: { of: [position], made: new Date(0) } },
    }))
  const run: BroughtRun = {
    ...{ after, upTo, rows, slots, keyColumns, asText, clock },
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
const anySlots = fc.option(
  fc
    .record({
      column: fc.constantFrom(...COLUMNS),
      ends: fc.tuple(fc.integer({ min: 0, max: 7 }), fc.integer({ min: 0, max: 7 })),
    })
    .map(({ column, ends }): KeySlots => ({ column, from: Math.min(...ends), to: Math.max(...ends) })),
  { nil: undefined },
)

test('whatever polls have brought, a page of it is all that is wanted up to its end, in order, and of its reader alone', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          steps: fc.integer({ min: 1, max: 9 }),
          cut: fc.integer({ min: 0, max: 3 }),
          types: anyTypes,
          slots: anySlots,
          keyColumns: fc.subarray(COLUMNS),
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
          slots: anySlots,
        }),
        { maxLength: 12 },
      ),
      (polls, takes) => {
        const memory = new TailMemory()
        let mark = 0n
        for (const { steps, cut, types, slots, keyColumns: more } of polls) {
          const end = mark + BigInt(Math.max(1, steps - cut))
          const keyColumns = [...new Set([...more, ...(slots === undefined ? [] : [slots.column])])]
          memory.add(runOf(mark, end, types, { slots, keyColumns }))
          mark += BigInt(steps)
        }
        for (const { after, length, eventTypes, slots, ...bounds } of takes) {
          const asked = { after, upTo: after + length, eventTypes, slots, incarnation: 'first', ...bounds }
          const taken = memory.take(asked, 1)
          if (taken === undefined) continue
          expect(taken.upTo).toBeGreaterThan(after)
          expect(taken.upTo).toBeLessThanOrEqual(mark)
          const rows = taken.parts.flatMap((part) => part.rows)
          const wanted = runOf(after, taken.upTo, eventTypes, { slots }).rows.map(({ row }) => row)
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

test('a page of which every position is kept, with its types and slots, is never read', () => {
  const memory = new TailMemory()
  const kept = [{ keyColumns: COLUMNS }, { slots: { column: 'key', from: 2, to: 6 } }]
  for (let n = 0n; n < 5n; n++) {
    memory.add(runOf(n * 4n, n * 4n + 4n, n % 2n === 0n ? undefined : ['a', 'b'], kept[Number(n % 2n)]))
  }
  const whole = { limit: 100, mostBytes: 1_000, incarnation: 'first' }
  const slots = { column: 'key', from: 2, to: 3 }
  for (let after = 0n; after < 20n; after++) {
    const taken = memory.take({ ...whole, after, upTo: 20n, eventTypes: ['a'], slots }, 1)
    expect(taken?.upTo).toBe(20n)
  }
})

const KEY: KeySlots = { column: 'key', from: 2, to: 5 }

test.each([
  ['of another incarnation', { incarnation: 'second' }, {}, 1],
  ['of types that were not asked for', {}, { eventTypes: ['other'] }, 1],
  ['that begins before what is kept', {}, { after: 3n }, 1],
  ['that begins after what is kept', {}, { after: 9n }, 1],
  ['that was read long ago', {}, {}, 10_000],
  ['of slots by a column that rows say nothing of', { keyColumns: ['other'] }, { slots: KEY }, 1],
  ['of slots by another column than came', { slots: { ...KEY, column: 'other' } }, { slots: KEY }, 1],
  ['of slots below those that came', { slots: { ...KEY, from: 3 } }, { slots: KEY }, 1],
  ['of slots above those that came', { slots: { ...KEY, to: 4 } }, { slots: KEY }, 1],
  ['of every slot where some came', { slots: KEY }, {}, 1],
] as const)('a page %s has to be read', (_, run, asked, nowMs) => {
  const memory = new TailMemory()
  memory.add(runOf(4n, 8n, undefined, run))
  const request = {
    after: 4n,
    upTo: 20n,
    limit: 100,
    mostBytes: 1_000,
    eventTypes: undefined,
    slots: undefined,
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
    slots: undefined,
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
