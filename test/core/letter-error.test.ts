import fc from 'fast-check'
import { expect, test } from 'vitest'
import { letterError } from '../../packages/core/src/failures/letter-error.ts'
import { type ErrorJson, errorJson } from '../../packages/core/src/kernel/json.ts'
import type { LetterError } from '../../packages/core/src/ports/dead-letters.ts'

const innerOf = ({ cause, errors = [] }: LetterError): readonly LetterError[] =>
  cause === undefined ? errors : [cause, ...errors]
const allOf = (error: LetterError): readonly LetterError[] => [error, ...innerOf(error).flatMap(allOf)]
const leftOut = (error: LetterError): number => allOf(error).filter(({ name }) => name === 'LeftOut').length

/** As errors are when each wraps `width` others, `depth` deep. */
function nested(depth: number, width: number, message: string): Error {
  if (depth === 0) return new Error(message)
  const parts = Array.from({ length: width }, () => nested(depth - 1, width, message))
  return new AggregateError(parts, message)
}

/** Errors that wrap `width` others and have a cause, `depth` deep, with texts of these lengths. */
function wrapped(
  depth: number,
  width: number,
  texts: Pick<ErrorJson, 'name' | 'message' | 'stack'>,
): ErrorJson {
  if (depth === 0) return texts
  const inner = wrapped(depth - 1, width, texts)
  return { ...texts, cause: inner, errors: Array.from({ length: width }, () => inner) }
}

const upTo = (max: number) => fc.nat({ max })

test('a letter is never longer than its budget, says at most once that it left something out, and halves no character', () => {
  fc.assert(
    fc.property(
      upTo(3),
      upTo(10),
      upTo(6_000),
      upTo(12_000),
      upTo(1),
      (depth, width, pairs, stackLength, shift) => {
        // Each of these characters has two halves.
        const message = 'm'.repeat(shift) + '😀'.repeat(pairs)
        const error = wrapped(depth, width, { name: 'Error', message, stack: 's'.repeat(stackLength) })
        const told = letterError(error)
        const halved = allOf(told).filter((each) => /\p{Surrogate}/u.test(each.message))
        expect(JSON.stringify(told).length).toBeLessThan(100_000)
        expect(leftOut(told)).toBeLessThanOrEqual(1)
        expect(halved.length).toBe(0)
      },
    ),
    { numRuns: 60 },
  )
})

test('an error of a few parts and causes is kept whole', () => {
  const error = errorJson(
    new AggregateError([new Error('one'), new Error('two', { cause: new RangeError('why') })], 'both'),
  )
  expect(letterError(error)).toEqual(error)
})

test('of errors that wrap many, what comes first is kept, and one part says that the rest is left out', () => {
  const told = letterError(errorJson(nested(4, 8, 'm'.repeat(9_000))))
  expect(JSON.stringify(told).length).toBeLessThan(100_000)
  expect(told.message).toBe('m'.repeat(9_000))
  expect(told.errors?.[0]?.message).toBe('m'.repeat(9_000))
  expect(leftOut(told)).toBe(1)
})

test('errors without a text count too', () => {
  const bare = (depth: number): ErrorJson => ({
    name: '',
    message: '',
    ...(depth === 0 ? {} : { errors: Array.from({ length: 8 }, () => bare(depth - 1)) }),
  })
  expect(allOf(letterError(bare(5))).length).toBeLessThan(700)
})
